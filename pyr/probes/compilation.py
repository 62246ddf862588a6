"""From a task of a suite to requests in the suite's order: from its bundle, or built anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyr import datasets
from pyr.errors import CheckpointError, ContentError
from pyr.probes import Subject, bundles, fixed_order
from pyr.probes.bundles import Ids, Item
from pyr.probes.tasks import HarnessOptions, Place, TaskSpec, load, place, scorer
from pyr.store.lm_eval_format import Form, task_forms


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task whose data is known to be here."""

    spec: TaskSpec
    place: Place
    task: Any
    forms: Mapping[str, Form]
    bundle: Path | None
    """Where its bundle is or goes; None if its data has no fingerprint."""
    items: Sequence[Item] | None
    """What the bundle holds; None if there is none yet."""


@dataclass
class Compiled:
    """A task with its requests built, in the suite's order."""

    spec: TaskSpec
    task: Any
    forms: Mapping[str, Form]
    order: Sequence[str]
    """Item numbers in the fixed random order; any prefix is a fair sample."""
    requests: Mapping[str, Sequence[Any]]
    """lm-eval Instances by item number."""
    encoded: Mapping[int, tuple[Ids, Ids]]
    """Context and continuation ids by the id() of an Instance; empty if the engine encodes."""
    raw: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    """What process_results returned, by metric, for the check against lm-eval's aggregate."""


class Compiler:
    """Compiles the tasks of one probe for one checkpoint's tokenizer and template."""

    def __init__(self, manager: Any, options: HarnessOptions, subject: Subject) -> None:
        self.manager = manager
        self.options = options
        self.subject = subject

    def prepare(self, spec: TaskSpec) -> Prepared:
        """Find the task's bundle, or load its data.

        Raises DataMissing, and ContentError for a metric that is no mean over items.
        """
        where = place(spec, self.subject.mirror)
        bundle = self._bundle(spec, where)
        items = bundles.read(bundle) if bundle else None
        if items:
            task = scorer(self.manager, spec, items[0].doc)
        else:
            task = load(self.manager, spec, where)
        return Prepared(spec, where, task, task_forms(task, spec.name), bundle, items or None)

    def compile(self, prepared: Prepared) -> Compiled:
        """The requests of the items that this suite takes, built as lm-eval builds them."""
        spec, task = prepared.spec, prepared.task
        items = prepared.items
        if items is None:
            items = self._build(spec, task)
            if prepared.bundle:
                bundles.write(prepared.bundle, items)
        requests = {item.number: _instances(spec.name, item) for item in items}
        encoded = {
            id(instance): (asked.context_ids, asked.continuation_ids)
            for item in items
            for instance, asked in zip(requests[item.number], item.requests, strict=True)
            if len(asked.continuation_ids)
        }
        order = [item.number for item in items]
        return Compiled(spec, task, prepared.forms, order, requests, encoded)

    def _bundle(self, spec: TaskSpec, where: Place) -> Path | None:
        """The file named after everything that could change the requests."""
        if self.subject.bundles is None or not where.fingerprints:
            return None
        digests = self.subject.checkpoint.digests
        tokenizer = {part: digests.get(part) for part in ("tokenizer", "template")}
        name = bundles.digest(
            {
                "task": spec.name,
                "files": datasets.fingerprint(spec.folder),
                "overrides": spec.overrides,
                "limit": spec.limit,
                "data": where.fingerprints,
                "options": self.options.model_dump(
                    exclude={"tasks", "families", "limit", "swap_contexts"}
                ),
                "seed": self.subject.seed,
                # A GGUF file is one whole: its tokenizer has no digest of its own.
                "tokenizer": tokenizer if any(tokenizer.values()) else digests,
            }
        )
        return self.subject.bundles / f"{name}.parquet"

    def _build(self, spec: TaskSpec, task: Any) -> list[Item]:
        self._configure(task)
        total = len(task.eval_docs)
        if total == 0:
            raise ContentError(f"task '{spec.name}' has no items.", where=str(spec.folder))
        order = fixed_order(self.subject.seed, spec.name, total)[: spec.limit]
        self._build_requests(task, order)
        # With `samples`, lm-eval numbers the documents it took, not those of the data set.
        numbers = sorted(order)
        instances: dict[str, list[Any]] = defaultdict(list)
        for instance in task.instances:
            instances[str(numbers[instance.doc_id])].append(instance)
        # Not imported at the top: it loads torch, and here the model is loaded already.
        from pyr.engines.fast.lm import FastLM

        lm = self.subject.lm
        encode = lm.encode_pairs if isinstance(lm, FastLM) else None
        return bundles.compile_items([str(number) for number in order], instances, encode)

    def _build_requests(self, task: Any, order: Sequence[int]) -> None:
        import jinja2

        lm = self.subject.lm
        template = lm.apply_chat_template if self.options.apply_chat_template else None
        try:
            task.build_all_requests(
                samples=set(order),
                system_instruction=self.options.system_instruction,
                apply_chat_template=template is not None,
                fewshot_as_multiturn=self.options.fewshot_as_multiturn,
                chat_template=template,
                tokenizer_name=lm.tokenizer_name if template is not None else "",
            )
        except jinja2.TemplateError as error:
            raise CheckpointError(
                f"a prompt of task '{task.task_name}' cannot be rendered: {error}",
                where=f"checkpoint: {self.subject.checkpoint.path}",
                remedy="mend the chat template, or the template in the task's YAML",
            ) from error

    def _configure(self, task: Any) -> None:
        """Shots, generation settings and seed, as lm_eval.simple_evaluate sets them."""
        if task.OUTPUT_TYPE == "generate_until" and self.options.gen_kwargs:
            task.set_config("generation_kwargs", self.options.gen_kwargs, update=True)
        shots = task.get_config("num_fewshot")
        if self.options.num_fewshot is not None and shots != 0:
            shots = self.options.num_fewshot
        task.set_config("num_fewshot", shots or 0)
        task.set_fewshot_seed(seed=self.subject.seed)


def _instances(task: str, item: Item) -> list[Any]:
    """lm-eval's Instances of an item, with nothing answered yet."""
    from lm_eval.api.instance import Instance

    metadata = (task, int(item.number), item.repeats)
    return [
        Instance(asked.kind, item.doc, asked.arguments, index, metadata)
        for index, asked in enumerate(item.requests)
    ]
