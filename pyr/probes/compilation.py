"""From a task of a suite to requests in the suite's order: from its bundle, or built anew."""

from __future__ import annotations

import glob
import importlib.metadata
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pyr import datasets
from pyr.errors import CheckpointError, ContentError
from pyr.files import aside, text_sha256
from pyr.probes import Subject, askable, fixed_order
from pyr.probes.task_files import opened, read_besides
from pyr.probes.tasks import HarnessOptions, Place, TaskSpec, load, place, scorer


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task whose data is known to be here."""

    spec: TaskSpec
    place: Place
    task: Any
    file: Path | None
    """Where its bundle is or goes; None if its data has no fingerprint."""
    bundle: Bundle | None
    """What it holds; None if there is none yet."""
    reads: Mapping[str, str]
    """Fingerprints of the files that were read besides its definition and its data."""


@dataclass
class Compiled:
    """A task with its requests built, in the suite's order."""

    spec: TaskSpec
    task: Any
    order: Sequence[str]
    """Item numbers in the fixed random order; any prefix is a fair sample."""
    requests: Mapping[str, Sequence[Any]]
    """lm-eval Instances by item number."""
    data: Mapping[str, str]
    """Fingerprints of all that was read for it."""
    encoded: Mapping[int, tuple[Ids, Ids]]
    """Context and continuation ids by the id() of an Instance; empty if the engine encodes."""
    unaskable: Mapping[str, str]
    """Why an item cannot be asked, by its number; it is not in the order."""
    notes: Sequence[str] = ()

    def digest(self) -> str:
        """sha256 of all that the model is given: an answer to the same is the same answer."""
        asked = []
        for item in self.order:
            given = [[each.request_type, each.args, each.repeats] for each in self.requests[item]]
            asked.append([item, given])
        return text_sha256(json.dumps(asked, sort_keys=True, default=str))


_NOT_IN_REQUESTS = ("swap_contexts", "run_code", "on_too_long")
"""Options that leave the requests as they are."""


class Compiler:
    """Compiles the tasks of one probe for one checkpoint's tokenizer and template."""

    def __init__(self, manager: Any, options: HarnessOptions, subject: Subject) -> None:
        self.manager = manager
        self.options = options
        self.subject = subject

    def prepare(self, spec: TaskSpec) -> Prepared:
        """Find the task's bundle, or load its data. Raises DataMissing, ContentError."""
        where = place(spec, self.subject.mirror)
        file = self._bundle(spec, where)
        bundle = read(file) if file else None
        if bundle:
            task = scorer(self.manager, spec, bundle.first)
            return Prepared(spec, where, task, file, bundle, bundle.reads)
        with opened() as noted:
            task = load(self.manager, spec, where)
        return Prepared(spec, where, task, file, None, self._fingerprints(spec, noted))

    def compile(self, prepared: Prepared) -> Compiled:
        """The requests of the items that this suite takes, built as lm-eval builds them.

        Raises ContentError if no item can be asked, or if one cannot and the suite forbids that.
        """
        spec, task, lm = prepared.spec, prepared.task, self.subject.lm
        bundle, notes = prepared.bundle, []
        if bundle is None:
            with opened() as noted:
                bundle = self._build(spec, task, lm)
            reads = {**prepared.reads, **self._fingerprints(spec, noted)}
            bundle = replace(bundle, reads=reads)
            why = write(prepared.file, bundle) if prepared.file else ""
            notes = [f"{spec.name}: its compiled form was not kept: {why}"] if why else []
        requests = {item.number: _instances(spec.name, item) for item in bundle.items}
        encoded = _encoded(lm, bundle.items, requests)
        unaskable = {**bundle.failed, **askable.faults(lm, requests, encoded)}
        order = [item.number for item in bundle.items if item.number not in unaskable]
        self._check_askable(spec, unaskable, order)
        named = {f"{datasets.FILE}{name}": value for name, value in bundle.reads.items()}
        data = {**prepared.place.fingerprints, **named}
        # Looked at after the data was loaded: that may have fetched a newer revision.
        commit = datasets.hub_revision(spec.dataset) if spec.dataset else None
        if commit and self.subject.mirror is None:
            data[f"{datasets.HUB}{spec.dataset}"] = commit
        return Compiled(spec, task, order, requests, data, encoded, unaskable, notes)

    def _check_askable(
        self, spec: TaskSpec, unaskable: Mapping[str, str], order: Sequence[str]
    ) -> None:
        if unaskable and (not order or self.options.on_too_long == "fail"):
            item, why = next(iter(unaskable.items()))
            if order:
                what = f"item {item} of task '{spec.name}' cannot be asked."
                remedy = "on_too_long: skip leaves such items out, and counts them"
            else:
                what = f"no item of task '{spec.name}' can be asked."
                remedy = "take it out of the suite, or evaluate a model with a longer context"
            raise ContentError(what, where=f"item {item}: {why}", remedy=remedy)

    def _fingerprints(self, spec: TaskSpec, noted: set[str]) -> dict[str, str]:
        """Of the files opened meanwhile that count for the task and are not known yet."""
        from datasets import config
        from huggingface_hub.constants import HF_HOME

        caches = [Path(HF_HOME), Path(config.HF_DATASETS_CACHE), self.subject.bundles]
        ignored = [*caches, self.subject.mirror, Path(self.subject.checkpoint.path)]
        ignored += [Path(found) for each in spec.files for found in glob.glob(each, recursive=True)]
        known = spec.definition.every
        names = read_besides(noted, known, [each for each in ignored if each is not None])
        return {name: datasets.files_fingerprint(name) for name in names}

    def _bundle(self, spec: TaskSpec, where: Place) -> Path | None:
        """The file named after everything that could change the requests."""
        if self.subject.bundles is None or not where.fingerprints:
            return None
        digests = self.subject.checkpoint.digests
        tokenizer = {part: digests.get(part) for part in ("tokenizer", "template")}
        name = digest(
            {
                "task": spec.name,
                "files": spec.definition.digest(),
                "overrides": spec.overrides,
                "limit": spec.limit,
                "data": where.fingerprints,
                "options": self.options.model_dump(
                    exclude={"tasks", "families", "include_path", "limit", *_NOT_IN_REQUESTS}
                ),
                "seed": self.subject.seed,
                # A GGUF file is one whole: its tokenizer has no digest of its own.
                "tokenizer": tokenizer if any(tokenizer.values()) else digests,
            }
        )
        return self.subject.bundles / f"{name}.parquet"

    def _build(self, spec: TaskSpec, task: Any, lm: Any) -> Bundle:
        self._configure(task)
        documents = task.eval_docs
        first = documents[askable.first_sound(task, documents)]
        order = fixed_order(self.subject.seed, spec.name, len(documents))[: spec.limit]
        failed = self._build_requests(task, order, lm)
        # With `samples`, lm-eval numbers the documents it took, not those of the data set.
        numbers = sorted(order)
        instances: dict[str, list[Any]] = defaultdict(list)
        for instance in task.instances:
            instances[str(numbers[instance.doc_id])].append(instance)
        # Not imported at the top: it loads torch, and here the model is loaded already.
        from pyr.engines.fast.lm import FastLM

        encode = lm.encode_pairs if isinstance(lm, FastLM) else None
        reasons = {str(numbers[place]): why for place, why in failed.items()}
        whole = [str(number) for number in order if str(number) not in reasons]
        return Bundle(compile_items(whole, instances, encode), first, reasons, {})

    def _build_requests(self, task: Any, order: Sequence[int], lm: Any) -> dict[int, str]:
        """Build them all; of what could not be built the reason, by lm-eval's number."""
        import jinja2

        template = lm.apply_chat_template if self.options.apply_chat_template else None
        try:
            with askable.forgiving(task) as failed:
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
        return failed

    def _configure(self, task: Any) -> None:
        """Shots, generation settings and seed, as lm_eval.simple_evaluate sets them."""
        if task.OUTPUT_TYPE == "generate_until" and self.options.gen_kwargs:
            task.set_config("generation_kwargs", self.options.gen_kwargs, update=True)
        shots = task.get_config("num_fewshot")
        if self.options.num_fewshot is not None and shots != 0:
            shots = self.options.num_fewshot
        task.set_config("num_fewshot", shots or 0)
        task.set_fewshot_seed(seed=self.subject.seed)


def _encoded(
    lm: Any, items: Sequence[Item], requests: Mapping[str, Sequence[Any]]
) -> dict[int, tuple[Ids, Ids]]:
    """Context and continuation ids by the id() of an instance, where the engine takes them."""
    from pyr.engines.fast.lm import FastLM

    if not isinstance(lm, FastLM):
        return {}
    encoded, others = {}, []
    for item in items:
        for instance, asked in zip(requests[item.number], item.requests, strict=True):
            if len(asked.continuation_ids):
                encoded[id(instance)] = (asked.context_ids, asked.continuation_ids)
            elif asked.kind == "loglikelihood":
                others.append(instance)
    if others:  # of a bundle that another engine made, or continuations without a token
        pairs = lm.encode_pairs([each.args for each in others])
        for instance, (_, context, continuation) in zip(others, pairs, strict=True):
            encoded[id(instance)] = (context, continuation)
    return encoded


def _instances(task: str, item: Item) -> list[Any]:
    """lm-eval's Instances of an item, with nothing answered yet."""
    from lm_eval.api.instance import Instance

    metadata = (task, int(item.number), item.repeats)
    return [
        Instance(asked.kind, item.doc, asked.arguments, index, metadata)
        for index, asked in enumerate(item.requests)
    ]


# ------------------------------------------------------------------
# Frozen request bundles: a task compiled once, reused by every checkpoint with the same tokenizer.
#
# A bundle holds what lm-eval's Task made of its documents: the requests with their token ids, in
# the suite's fixed random order, and the documents, so that answers are scored without loading the
# data set again. Its name is the digest of everything that could change it.


_VERSIONS = ("pyr-lm", "lm_eval", "transformers", "tokenizers", "datasets")

_ITEMS_A_BATCH = 256
"""Items that are Python objects at a time: as lists, 10,000 long contexts would take gigabytes."""

Ids = NDArray[np.int32]
_NONE = np.empty(0, np.int32)

Encode = Callable[[Sequence[tuple[str, str]]], Iterable[tuple[Any, Any, Any]]]
"""(context, continuation) pairs -> (pair, context ids, continuation ids)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as lm-eval built it; token ids where the engine takes them."""

    kind: str
    arguments: tuple[Any, ...]
    context_ids: Ids = field(default_factory=_NONE.copy)
    continuation_ids: Ids = field(default_factory=_NONE.copy)


@dataclass(frozen=True, slots=True)
class Item:
    """One document with its requests."""

    number: str
    doc: Any
    repeats: int
    """How often each request is put; over 1 only for sampled answers."""
    requests: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A compiled task, and what it was made of besides what its name covers."""

    items: Sequence[Item]
    first: Any
    """The data set's first document: from it lm-eval sees how many inputs and targets there are."""
    failed: Mapping[str, str]
    """Why an item has no requests, by its number."""
    reads: Mapping[str, str]
    """Fingerprints by path of files that were opened while it was made."""


_ABOUT = b"pyr_about"
"""The key of a bundle's metadata that holds all but the items."""

_SCHEMA = pa.schema(
    [
        ("number", pa.string()),
        ("doc", pa.string()),
        ("repeats", pa.int32()),
        ("kinds", pa.list_(pa.string())),
        ("arguments", pa.list_(pa.string())),
        ("context_ids", pa.list_(pa.list_(pa.int32()))),
        ("continuation_ids", pa.list_(pa.list_(pa.int32()))),
    ]
)


def digest(ingredients: Mapping[str, Any]) -> str:
    """The name of the bundle made of these ingredients, under these versions of the libraries."""
    versions = {name: importlib.metadata.version(name) for name in _VERSIONS}
    text = json.dumps({**ingredients, "versions": versions}, sort_keys=True, default=str)
    return text_sha256(text)


def compile_items(
    order: Sequence[str], instances: Mapping[str, Sequence[Any]], encode: Encode | None
) -> list[Item]:
    """Items in `order` from lm-eval's Instances by item number.

    encode: gives the token ids of (context, continuation) pairs; None leaves them out.
    """
    pairs = [
        instance.args
        for number in order
        for instance in instances[number]
        if instance.request_type == "loglikelihood"
    ]
    ids = iter(encode(pairs)) if encode else iter(())
    items = []
    for number in order:
        asked = []
        for instance in instances[number]:
            if encode and instance.request_type == "loglikelihood":
                _, *both = next(ids)
                context, continuation = (np.asarray(each, np.int32) for each in both)
                asked.append(Asked("loglikelihood", instance.args, context, continuation))
            else:
                asked.append(Asked(instance.request_type, instance.args))
        first = instances[number][0]
        items.append(Item(number, first.doc, first.repeats or 1, tuple(asked)))
    return items


def write(file: Path, bundle: Bundle) -> str:
    """Keep a bundle; whoever reads it while it is written sees all of it or nothing.

    Gives the reason where there is no room for it: it is only a cache. Documents that are not JSON
    (images, dates, broken Unicode) are not kept: their tasks are built every time.
    """
    items = bundle.items
    about = {"first": bundle.first, "failed": bundle.failed, "reads": bundle.reads}
    try:
        schema = _SCHEMA.with_metadata({_ABOUT: json.dumps(about, ensure_ascii=False)})
        file.parent.mkdir(parents=True, exist_ok=True)
        with aside(file) as path, pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for start in range(0, len(items), _ITEMS_A_BATCH):
                rows = [_row(item) for item in items[start : start + _ITEMS_A_BATCH]]
                writer.write_table(pa.Table.from_pylist(rows, schema))
    except (TypeError, UnicodeEncodeError):
        return ""
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _row(item: Item) -> dict[str, Any]:
    """A context that is that of the request before is left empty: choices share theirs."""
    contexts = []
    before = _NONE
    for asked in item.requests:
        contexts.append(_NONE if np.array_equal(asked.context_ids, before) else asked.context_ids)
        before = asked.context_ids
    return {
        "number": item.number,
        "doc": json.dumps(item.doc, ensure_ascii=False),
        "repeats": item.repeats,
        "kinds": [asked.kind for asked in item.requests],
        "arguments": [json.dumps(asked.arguments, ensure_ascii=False) for asked in item.requests],
        "context_ids": contexts,
        "continuation_ids": [asked.continuation_ids for asked in item.requests],
    }


def read(file: Path) -> Bundle | None:
    """The bundle in `file`, as long as what it was made of is still the same.

    None if it is not there or cannot be read: it is only a cache.
    """
    try:
        with pq.ParquetFile(file) as parquet:
            if not parquet.schema_arrow.equals(_SCHEMA):
                return None
            about = json.loads(parquet.schema_arrow.metadata[_ABOUT])
            batches = parquet.iter_batches(_ITEMS_A_BATCH)
            items = [_item(row) for batch in batches for row in batch.to_pylist()]
    except (OSError, pa.ArrowInvalid, ValueError, KeyError, TypeError):
        return None
    for name, known in about["reads"].items():
        if datasets.files_fingerprint(name) != known:
            return None
    return Bundle(items, **about)


def _item(row: Mapping[str, Any]) -> Item:
    return Item(row["number"], json.loads(row["doc"]), row["repeats"], tuple(_requests(row)))


def _requests(row: Mapping[str, Any]) -> Iterator[Asked]:
    context = _NONE
    columns = (row[name] for name in ("kinds", "arguments", "context_ids", "continuation_ids"))
    for kind, arguments, context_ids, continuation_ids in zip(*columns, strict=True):
        if context_ids:
            context = np.asarray(context_ids, np.int32)
        continuation = np.asarray(continuation_ids, np.int32)
        shown = context if len(continuation) else _NONE
        yield Asked(kind, tuple(json.loads(arguments)), shown, continuation)
