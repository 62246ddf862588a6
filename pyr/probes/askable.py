"""Which items cannot be asked of this model: each is left out with its reason, the others are not.

Stock lm-eval ends with a traceback on the first of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import jinja2

from pyr.errors import ContentError

_TRIED = 1000
"""Documents that are looked at for a sound one."""


@runtime_checkable
class Choosing(Protocol):
    """An LM that says itself which items it cannot be asked."""

    def unaskable(self, requests: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """Reasons by item; requests: lm-eval's Instances by item."""
        ...


@contextmanager
def past_unsound_documents() -> Iterator[None]:
    """Let lm-eval make tasks whose first documents it could not: one without choices, say.

    It tries each new task on its first document, and sees from it how many inputs and targets there
    are. Here it is shown the documents from the first sound one on; the task has all of them.
    Raises ContentError, when a task is made, if it has no documents or none is sound.
    """
    from lm_eval.api.task import ConfigurableTask, Task

    def eval_docs(self: Any) -> Any:
        documents = Task.eval_docs.fget(self)
        # As lm-eval sets them before it tries the first document.
        self.features = list(documents.features)
        self.multiple_input = self.multiple_target = 0
        start = first_sound(self, documents)
        return documents.select(range(start, len(documents))) if start else documents

    ConfigurableTask.eval_docs = property(eval_docs)
    try:
        yield
    finally:
        del ConfigurableTask.eval_docs


def first_sound(task: Any, documents: Any) -> int:
    """The place of the first document that lm-eval can make sense of."""
    if not len(documents):
        raise ContentError(f"task '{task.task_name}' has no items.")
    first = ""
    for place in range(min(len(documents), _TRIED)):
        try:
            _try(task, documents[place])
        # A task's own code can raise anything.
        except Exception as error:
            first = first or describe(error)
        else:
            return place
    raise ContentError(
        f"no item of task '{task.task_name}' can be asked.",
        where=f"first item: {first}",
        remedy="mend the task's file or functions, or take it out of the suite",
    )


def _try(task: Any, document: Any) -> None:
    """What `ConfigurableTask.__init__` does with a task's first document (lm-eval 0.4.13)."""
    target = task.doc_to_text(document), task.doc_to_target(document)
    if task.config.doc_to_choice is not None:
        choices = task.doc_to_choice(document)
        if not choices or not all(choices):
            raise ValueError("it has no choices, or an empty one")
        if isinstance(target[1], int):
            choices[target[1]]


@contextmanager
def forgiving(task: Any) -> Iterator[dict[int, str]]:
    """Let lm-eval build the requests of all documents but those on which the task's code fails.

    Gives the reasons by lm-eval's number of the document. Where it fails on every document, this
    raises the first error of a template, or else ContentError.
    """
    guard = _Guard(task)
    vars(task).update(guard.methods)
    try:
        yield guard.failed
    # lm-eval's own word for "no request at all".
    except ValueError as error:
        first = next(iter(guard.errors), error)
        if guard.built or isinstance(first, jinja2.TemplateError):
            raise first from None
        why = next(iter(guard.failed.values()), str(error))
        raise ContentError(
            f"no item of task '{task.task_name}' can be asked.",
            where=f"first item: {why}",
            remedy="mend the task's file or functions, or take it out of the suite",
        ) from first
    finally:
        for name in guard.methods:
            delattr(task, name)


class _Guard:
    """Stands before the methods that lm-eval builds a document's requests by, in this order."""

    def __init__(self, task: Any) -> None:
        self.failed: dict[int, str] = {}
        self.errors: list[Exception] = []
        self.built = 0
        self._error: Exception | None = None
        """What the document at hand has raised."""
        self._construct = task.construct_requests
        self.methods: dict[str, Callable[..., Any]] = {
            "doc_to_prefix": functools.partial(self._keep, task.doc_to_prefix),
            "fewshot_context": functools.partial(self._keep, task.fewshot_context),
            "construct_requests": self._requests,
        }

    def _keep(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """What the method gives; where it raises, nothing, and the error is kept."""
        try:
            return method(*arguments, **options)
        # A task's own code can raise anything.
        except Exception as error:
            self._error = self._error or error
            return None

    def _requests(self, *arguments: Any, **options: Any) -> list[Any]:
        requests: Any = []
        if self._error is None:
            requests = self._keep(self._construct, *arguments, **options) or []
        listed: list[Any] = requests if isinstance(requests, list) else [requests]
        why = _why(self._error, listed)
        if not why:
            self.built += 1
            return listed
        self.failed[options["metadata"][1]] = why
        if self._error is not None:
            self.errors.append(self._error)
        self._error = None
        return []


def _why(error: Exception | None, requests: Sequence[Any]) -> str:
    """Why a document has no requests that could be put, or an empty text."""
    if error is not None:
        return f"its requests cannot be built: {describe(error)}"
    if not requests:
        return "it has no choices"
    for request in requests:
        for text in request.args:
            if isinstance(text, str) and not _is_unicode(text):
                return "its text is no valid Unicode"
    return ""


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def faults(
    lm: Any, requests: Mapping[str, Sequence[Any]], encoded: Mapping[int, tuple[Any, Any]]
) -> dict[str, str]:
    """Why the model cannot be asked an item, by its number; only of an engine that has tokens.

    encoded: context and continuation ids by the id() of an instance, where they are known.
    """
    from lm_eval.api.model import TemplateLM

    if isinstance(lm, Choosing):
        return lm.unaskable(requests)
    if not isinstance(lm, TemplateLM):
        return {}
    found = {}
    for number, instances in requests.items():
        for instance in instances:
            why = _instance_fault(lm, instance, encoded.get(id(instance)))
            if why:
                found[number] = why
                break
    return found


def _instance_fault(lm: Any, instance: Any, ids: tuple[Any, Any] | None) -> str:
    from pyr.engines.hflm import ReferenceLM

    opened = lm if isinstance(lm, ReferenceLM) else None
    if instance.request_type == "loglikelihood":
        context, continuation = ids or _encode(lm, instance.args)
        why = _pair_fault(len(context), len(continuation), lm.max_length)
        return why or (opened.lacking_row([*context, *continuation]) if opened else "")
    if instance.request_type == "generate_until":
        # Some tokenizers put a token before every text: an empty one is then no empty prompt.
        if not instance.args[0].strip() and not len(lm.tok_encode(instance.args[0])):
            return "its prompt has no token"
        if opened and opened.cannot_generate:
            return opened.cannot_generate
    if opened and opened.lacks_rows:
        return opened.lacking_row(opened.tok_encode(instance.args[0]))
    return ""


def _encode(lm: Any, pair: tuple[str, str]) -> tuple[Sequence[int], Sequence[int]]:
    """Context and continuation ids as `lm_eval.api.model.TemplateLM.loglikelihood` gives them."""
    if pair[0]:
        context, continuation = lm._encode_pair(*pair)
        return context, continuation
    ids = lm.tok_encode(pair[1], add_special_tokens=False)
    if ids and ids[0] == lm.prefix_token_id:
        return ids[:1], ids[1:]
    return [lm.prefix_token_id], ids


def _pair_fault(context: int, continuation: int, limit: int) -> str:
    if not continuation:
        return "an answer has no token of its own: the tokenizer merges it into the prompt"
    if not context:
        return "its prompt has no token, so that nothing predicts the answer's first"
    if continuation > limit:
        return f"an answer has {continuation} tokens, longer than the model's context of {limit}"
    return ""


def describe(error: Exception) -> str:
    """An error of somebody else's code in a line."""
    words = " ".join(str(error).split())[:160]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
