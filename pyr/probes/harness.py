"""The harness probe: lm-eval tasks over an engine, item by item.

lm-eval's own Task objects build the requests and score the answers; Pyr decides the order of the
items, keeps every answer, and adds the bits per byte of the right answer to every multiple-choice
item, which moves long before accuracy does.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pyr import content
from pyr.errors import ContentError, DataMissing, MeasureError
from pyr.files import json_sha256, text_sha256
from pyr.probes import Chunk, ItemsChanged, Subject, skip_without_template
from pyr.probes.compilation import Compiled, Compiler, Prepared
from pyr.probes.grading import Grading, doc_hash, skipped_items
from pyr.probes.needs import Need, no_template, refuse
from pyr.probes.tasks import HarnessOptions, TaskSpec, expand, lacking, of_task, task_manager
from pyr.schema import Checkpoint, Record, Skipped
from pyr.store import Document

_ITEMS_A_CHUNK = 64
"""Items that a killed run may lose; also what is sorted by length and batched together."""


class Harness:
    """Runs lm-eval tasks; see HarnessOptions for the keys a suite may write."""

    def __init__(self, options: dict[str, Any], *, name: str) -> None:
        self.name = name
        self.options = content.check(options, HarnessOptions, where=f"probe '{name}'")

    def needs(self, checkpoint: Checkpoint | None, mirror: Path | None) -> Iterator[Need]:
        """Packages, data sets and a chat template that are not here."""
        if self.options.apply_chat_template and checkpoint and not checkpoint.chat:
            yield no_template(self.name)
            return
        yield from lacking(expand(task_manager(self.options), self.options), self.options, mirror)

    def reads(self) -> Iterator[str]:
        """What every task is made of, as a digest a task: its files, and the keys set for it."""
        for spec in expand(task_manager(self.options), self.options):
            yield json_sha256([spec.name, spec.definition.digest(), repr(spec.overrides)])

    def writes(self) -> bool:
        """Whether a task's answers are generated, as lm-eval's are by default."""
        specs = expand(task_manager(self.options), self.options)
        return any(
            spec.definition.mentions("generate_until")
            or not spec.definition.mentions("output_type")
            for spec in specs
        )

    def run(self, subject: Subject) -> Iterator[Chunk]:
        """What is missing; then of every task its documents and data, and 64 items at a time."""
        if self.options.apply_chat_template and not subject.checkpoint.chat:
            yield skip_without_template(self.name)
            return
        manager = task_manager(self.options)
        compiler = Compiler(manager, self.options, subject)
        prepared = []
        # All data before any request: what is missing is said before a minute is spent.
        for spec in expand(manager, self.options):
            if _enough(spec.name, subject):
                continue
            try:
                prepared.append(_prepared(compiler, spec))
            except DataMissing as error:
                if not subject.skip_missing:
                    raise
                # An empty fingerprint: the run is out of date once the data has come.
                data = {} if of_task(spec, self.options) else dict.fromkeys(spec.sources, "")
                reason = error.what.replace(f"the data of task '{spec.name}'", "its data")
                yield Chunk(skipped=[Skipped(spec.name, reason, group=spec.group)], data=data)
        for each in prepared:
            compiled = compiler.compile(each)
            yield Chunk(
                documents=list(_documents(compiled)),
                data=compiled.data,
                notes=[*compiled.notes, *_fitted(subject.lm, compiled)],
                sizes={each.spec.name: len(compiled.order)},
                requests={each.spec.name: compiled.digest()},
            )
            yield from self._score(compiled, subject)

    # -------------------------------------------------------------- scoring

    def _score(self, compiled: Compiled, subject: Subject) -> Iterator[Chunk]:
        name = compiled.spec.name
        grading = Grading(compiled)
        done = _done(name, subject)
        _check_unchanged(compiled, subject)
        todo = [item for item in compiled.order if item not in done]
        asked = len(done)
        while asked < len(compiled.order):
            subject.progress(name, asked, len(compiled.order))
            there = len(compiled.order)
            wanted = subject.wanted(name)
            stop = min(asked + _ITEMS_A_CHUNK, there, there if wanted is None else wanted)
            items = todo[asked - len(done) : stop - len(done)]
            if not items:
                break
            yield Chunk(records=list(self._answered(grading, items, subject.lm)))
            if not done:
                grading.check_any()
            asked = stop
        subject.progress(name, asked, asked)
        if grading.pending or _is_open(name, subject):
            for item, responses in _earlier_answers(name, subject).items():
                grading.regrade(item, responses)
        records, notes = grading.finish(whole=not done)
        skipped = skipped_items(compiled, grading.faults)
        yield Chunk(revised=records, notes=notes, skipped=skipped)

    def _answered(self, grading: Grading, items: Sequence[str], lm: Any) -> Iterator[Record]:
        """The records of these items, and of the same with swapped contexts if they are asked."""
        compiled = grading.compiled
        _ask(lm, compiled, [each for item in items for each in compiled.requests[item]])
        others: dict[str, list[Any]] = {}
        if self.options.swap_contexts:
            others = swapped(compiled, items)
            _ask(lm, compiled, [each for requests in others.values() for each in requests])
        control = Grading(compiled)
        for item in items:
            own = grading.grade(item, compiled.requests[item])
            yield from own
            if item in others:
                yield from contrasted(own, control.grade(item, others[item]))


def _prepared(compiler: Compiler, spec: TaskSpec) -> Prepared:
    """The task with its data found. Raises DataMissing, also for a package that it imports."""
    refuse(of_task(spec, compiler.options))
    return compiler.prepare(spec)


def _fitted(lm: Any, compiled: Compiled) -> list[str]:
    """Cut the lengths of answers to what the model holds; a note if that changed any."""
    if compiled.task.OUTPUT_TYPE != "generate_until" or not isinstance(lm, Bounded):
        return []
    said = fit(lm, [each for asked in compiled.requests.values() for each in asked])
    return [f"{compiled.spec.name}: {said}"] if said else []


def _done(task: str, subject: Subject) -> set[str]:
    """The items that have been asked."""
    earlier = subject.earlier
    return set(earlier.loc[earlier["task"] == task, "item"])


def _check_unchanged(compiled: Compiled, subject: Subject) -> None:
    """Raise ItemsChanged unless what was asked before is what would be asked now."""
    earlier, name = subject.earlier, compiled.spec.name
    rows = earlier[earlier["task"] == name].drop_duplicates("item").to_dict("records")
    for row in rows:
        requests = compiled.requests.get(row["item"])
        now = (doc_hash(requests[0].doc), text_sha256(requests[0].args[0])) if requests else None
        if now != (row["doc_hash"], row["prompt_hash"]):
            raise ItemsChanged(f"task '{name}', item {row['item']} is not what it was before")


def _is_open(task: str, subject: Subject) -> bool:
    """Whether items were asked before whose values could not be known yet."""
    earlier = subject.earlier
    return bool(earlier.loc[earlier["task"] == task, "value"].isna().any())


def _earlier_answers(task: str, subject: Subject) -> dict[str, str]:
    """What the model said to the items that were asked before, by item."""
    earlier = subject.earlier
    rows = earlier[earlier["task"] == task].drop_duplicates("item")
    return dict(zip(rows["item"], rows["responses"], strict=True))


def _enough(task: str, subject: Subject) -> bool:
    """Whether a later stage has nothing to ask of this task, so that it need not be prepared."""
    wanted, done = subject.wanted(task), len(_done(task, subject))
    return task in subject.sizes and wanted is not None and wanted <= done


def _ask(lm: Any, compiled: Compiled, instances: Sequence[Any]) -> None:
    """Put the model's answers into these instances."""
    from pyr.engines.fast.lm import FastLM

    by_type: dict[str, list[Any]] = defaultdict(list)
    for instance in instances:
        by_type[instance.request_type].extend([instance] * (instance.repeats or 1))
    for request_type, requests in by_type.items():
        known = all(id(each) in compiled.encoded for each in requests)
        if request_type == "loglikelihood" and known and isinstance(lm, FastLM):
            encoded = [(each.args, *compiled.encoded[id(each)]) for each in requests]
            answers = lm.loglikelihood_encoded(encoded)
        else:
            answers = getattr(lm, request_type)(requests, disable_tqdm=True)
        for instance, answer in zip(requests, answers, strict=True):
            _check_finite(answer, instance)
            instance.resps.append(answer)


def _check_finite(answer: Any, instance: Any) -> None:
    likelihood = answer[0] if isinstance(answer, tuple) else answer
    if isinstance(likelihood, float) and not math.isfinite(likelihood):
        raise MeasureError(
            f"{instance.task_name}, document {instance.doc_id}: log-likelihood {likelihood}.",
            where=f"context: {str(instance.args[0])[-80:]!r}",
            remedy="the weights or the arithmetic overflow: try --set dtype=float32",
        )


# ------------------------------------------------------------------ documents


def _documents(compiled: Compiled) -> Iterator[Document]:
    """What was asked, once a run: reports show it beside the answers."""
    for item in compiled.order:
        instances = compiled.requests[item]
        arguments = instances[0].args
        rolling = instances[0].request_type == "loglikelihood_rolling"
        choice = instances[0].request_type == "loglikelihood"
        yield Document(
            task=compiled.spec.name,
            item=item,
            prompt="" if rolling else arguments[0],
            choices=tuple(instance.args[1] for instance in instances) if choice else (),
            target=_target(compiled.task, instances[0].doc),
        )


def _target(task: Any, doc: Any) -> str:
    try:
        return str(task.doc_to_target(doc))
    # A task's own code can raise anything; the item is left out where its answer is graded.
    except Exception:
        return ""


# ------------------------------------------------------------------
# The counterfactual control: the same items, each asked with the context of another one.
#
# A score that does not fall when the question is another's does not come from reading the question,
# and neither does its change from one checkpoint to the next. Of every metric of an item this gives
# ``swapped_<metric>``, the score under another item's context, and ``reads_<metric>``, the item's
# own score less that: what reading the question is worth, as one number an item, which compares in
# pairs.


def swapped(compiled: Compiled, items: Sequence[str]) -> dict[str, list[Any]]:
    """lm-eval Instances of these items with the context of the next item in the suite's order.

    Next is the first one after it whose context is another. Raises ContentError for a task whose
    items have no one context, and for one whose items all have the same.
    """
    places = {item: place for place, item in enumerate(compiled.order)}
    contexts = [_context(compiled, item) for item in compiled.order]
    found: dict[str, list[Any]] = {}
    for item in items:
        place = places[item]
        later = [*contexts[place + 1 :], *contexts[:place]]
        other = next((context for context in later if context != contexts[place]), None)
        if other is None:
            raise ContentError(
                f"task '{compiled.spec.name}': all items have the same context.",
                remedy="leave swap_contexts out for this task",
            )
        found[item] = [_asked(each, other) for each in compiled.requests[item]]
    return found


def _context(compiled: Compiled, item: str) -> str:
    requests = compiled.requests[item]
    kinds = {each.request_type for each in requests}
    # An empty context is that of a choice alone, as lm-eval asks it for acc_mutual_info.
    contexts = {str(each.args[0]) for each in requests} - {""}
    if kinds - {"loglikelihood", "generate_until"} or len(contexts) != 1:
        raise ContentError(
            f"task '{compiled.spec.name}': item {item} has no one context that could be swapped.",
            remedy="leave swap_contexts out for this task",
        )
    return contexts.pop()


def _asked(instance: Any, context: str) -> Any:
    """The same request behind another context, with nothing answered yet."""
    arguments = (context if instance.args[0] else "", *instance.args[1:])
    return dataclasses.replace(instance, arguments=arguments, resps=[], filtered_resps={})


def contrasted(own: Sequence[Record], other: Sequence[Record]) -> Iterator[Record]:
    """What an item scores under another's context, and what its own is worth.

    own, other: the records of one item, metric by metric.
    """
    by_metric = {record.metric: record for record in own}
    for record in other:
        if record.metric not in by_metric or math.isnan(record.value):
            continue  # a metric that is no mean of items has no value of one item
        mine = by_metric[record.metric]
        # The prompt is the item's own: two checkpoints swap alike, as the order is the suite's.
        theirs = dataclasses.replace(
            record, metric=f"swapped_{record.metric}", prompt_hash=mine.prompt_hash
        )
        yield theirs
        worth = mine.value - record.value
        yield dataclasses.replace(
            theirs, metric=f"reads_{record.metric}", value=worth, responses=""
        )


# ------------------------------------------------------------------ room for answers
# lm-eval's HFLM cuts the prompt to the context less the answer (0.4.13, `generate_until`): IFEval's
# 1,280 tokens leave a model of 1,400 only 120 tokens of prompt, and one of 1,280 stops it with an
# assertion. Here the answer gives way to the prompt until it has half of the context.


@runtime_checkable
class Bounded(Protocol):
    """An LM that knows what it can hold, as lm-eval's HFLM does."""

    @property
    def max_length(self) -> int:
        """Tokens of prompt and answer together."""
        ...

    def tok_encode(self, string: str) -> Sequence[int]:
        """Token ids of a prompt."""
        ...


def allowed(prompt: int, asked: int, context: int) -> int:
    """Tokens that an answer gets of `asked`, after a prompt of so many in such a context."""
    return min(asked, max(context - prompt, context // 2))


def fit(lm: Bounded, instances: Iterable[Any]) -> str:
    """Shorten the answers asked for to what their prompts leave; says so in a sentence, or ''.

    instances: lm-eval Instances; only those of generate_until are looked at, and changed in place.
    """
    from lm_eval.models.utils import normalize_gen_kwargs

    shortened, total, most = 0, 0, 0
    for instance in instances:
        if instance.request_type != "generate_until":
            continue
        prompt, options = instance.args
        asked = int(normalize_gen_kwargs(dict(options), 256)["max_gen_toks"])
        total, most = total + 1, max(most, asked)
        # A token stands for a byte at least, so that a short prompt need not be encoded.
        if len(prompt.encode()) + asked < lm.max_length:
            continue
        given = allowed(len(lm.tok_encode(prompt)), asked, lm.max_length)
        if given < asked:
            instance.arguments = (prompt, {**options, "max_gen_toks": given})
            shortened += 1
    if not shortened:
        return ""
    return (
        f"{shortened} of {total} answers could not get the {most} tokens that the task asks for: "
        f"the model holds {lm.max_length} tokens, prompt and answer together"
    )
