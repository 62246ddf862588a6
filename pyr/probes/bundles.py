"""Frozen request bundles: a task compiled once, reused by every checkpoint with the same tokenizer.

A bundle holds what lm-eval's Task made of its documents: the requests with their token ids, in the
suite's fixed random order, and the documents, so that answers are scored without loading the data
set again. Its name is the digest of everything that could change it.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pyr.files import aside, text_sha256

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


def write(file: Path, items: Sequence[Item]) -> None:
    """Keep a bundle; whoever reads it while it is written sees all of it or nothing.

    Documents that are not JSON (images, dates) are not kept: their tasks are built every time.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with aside(file) as path, pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
            for start in range(0, len(items), _ITEMS_A_BATCH):
                rows = [_row(item) for item in items[start : start + _ITEMS_A_BATCH]]
                writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))
    except TypeError:
        return


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


def read(file: Path) -> list[Item] | None:
    """The bundle in `file`; None if it is not there or cannot be read: it is only a cache."""
    try:
        with pq.ParquetFile(file) as opened:
            if not opened.schema_arrow.equals(_SCHEMA):
                return None
            batches = opened.iter_batches(_ITEMS_A_BATCH)
            return [_item(row) for batch in batches for row in batch.to_pylist()]
    except (OSError, pa.ArrowInvalid, ValueError):
        return None


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
