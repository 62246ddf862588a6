"""Frozen request bundles: a task compiled once, reused by every checkpoint with the same tokenizer.

A bundle holds what lm-eval's Task made of its documents: the requests with their token ids, in the
suite's fixed random order, and the documents, so that answers are scored without loading the data
set again. Its name is the digest of everything that could change it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_VERSIONS = ("pyr-lm", "lm_eval", "transformers", "tokenizers", "datasets")

Encode = Callable[[Sequence[tuple[str, str]]], Iterable[tuple[Any, Any, Any]]]
"""(context, continuation) pairs -> (pair, context ids, continuation ids)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as lm-eval built it; token ids where the engine takes them."""

    kind: str
    arguments: tuple[Any, ...]
    context_ids: Sequence[int] = ()
    continuation_ids: Sequence[int] = ()


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
    return hashlib.sha256(text.encode()).hexdigest()


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
                _, context, continuation = next(ids)
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
    try:
        rows = _rows(items)
    except TypeError:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), aside, compression="zstd")
    aside.replace(file)


def _rows(items: Sequence[Item]) -> list[dict[str, Any]]:
    return [
        {
            "number": item.number,
            "doc": json.dumps(item.doc, ensure_ascii=False),
            "repeats": item.repeats,
            "kinds": [asked.kind for asked in item.requests],
            "arguments": [
                json.dumps(asked.arguments, ensure_ascii=False) for asked in item.requests
            ],
            "context_ids": [list(asked.context_ids) for asked in item.requests],
            "continuation_ids": [list(asked.continuation_ids) for asked in item.requests],
        }
        for item in items
    ]


def read(file: Path) -> list[Item] | None:
    """The bundle in `file`; None if it is not there or cannot be read: it is only a cache."""
    try:
        rows = pq.read_table(file, schema=_SCHEMA).to_pylist()
    except (OSError, pa.ArrowInvalid, ValueError):
        return None
    return [
        Item(
            number=row["number"],
            doc=json.loads(row["doc"]),
            repeats=row["repeats"],
            requests=tuple(
                Asked(kind, tuple(json.loads(arguments)), context, continuation)
                for kind, arguments, context, continuation in zip(
                    row["kinds"],
                    row["arguments"],
                    row["context_ids"],
                    row["continuation_ids"],
                    strict=True,
                )
            ),
        )
        for row in rows
    ]
