"""A run under way: chunks of records, each durable when `append` returns, merged at the end.

`run.json` says how the run stands, and has the sha256 of every file that belongs to a finished one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pandas as pd
import pyarrow as pa

from pyr import files
from pyr.errors import MeasureError, StoreError
from pyr.schema import Aggregate, Checkpoint, Record, Run, Skipped
from pyr.store import tables
from pyr.store.tables import Document, Row

AGGREGATES = "aggregates"
DOCUMENTS = "documents"
LOCK = "lock"

_MANIFEST = "run.json"
_LAYOUT = 2
_CHUNKS = "chunks"
_REVISED = "-revised"
_CHUNK_NAME = re.compile(rf"(\d+)-([0-9a-f]{{16}})({_REVISED})?\.parquet")
_PROBE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,99}")
_MEASURE_AGAIN = "delete that file and run again: only its items are measured anew"


class OpenRun:
    """The one writer of a run's folder; use it in a `with` statement, which releases the lock.

    A process that dies at any instant leaves the folder unfinished, with every chunk that
    `append` had returned from, or finished.
    """

    def __init__(self, folder: Path, run: Run, lock: ExitStack) -> None:
        """folder: the run's own. lock: holds its lock; empty if the run is finished."""
        self.run = run
        self._folder = folder
        self._lock = lock
        self._seen: dict[str, set[tuple[str, ...]]] = {}
        self._numbers: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    @property
    def finished(self) -> bool:
        """True if there is nothing left to measure: by this process, or by one we waited for."""
        return bool(self.run.finished)

    def records(self, probe: str) -> pd.DataFrame:
        """The records of one probe that are already durable; no rows if there are none."""
        return tables.records_frame([(probe, merged(self._folder, probe, Record))])

    def append(self, probe: str, records: Sequence[Record]) -> None:
        """Make these records durable, all of them or none; an empty list does nothing.

        Raises StoreError if the disk refuses, MeasureError for a record that was there before.
        """
        if not _PROBE_NAME.fullmatch(probe) or probe in (AGGREGATES, DOCUMENTS):
            raise MeasureError(
                f"a probe cannot be named {probe!r}: its records are kept in a file of that name.",
                remedy="name it with letters, digits and . _ : + - in the suite (name: ...)",
            )
        seen = self._known(probe, Record)
        for record in records:
            key = (record.task, record.metric, record.item)
            if key in seen:
                raise MeasureError(
                    f"{record.task}/{record.metric}: item {record.item!r} was measured twice.",
                    where=f"probe {probe}",
                    remedy="give every record of a task and metric an item of its own",
                )
            seen.add(key)
        self._append(probe, Record, records)

    def revise(self, probe: str, records: Sequence[Record]) -> None:
        """Put these records in the place of those of the same task, metric and item.

        An aggregate over all items gives each of them its value only when all have been asked.
        """
        self._append(probe, Record, records, revised=True)

    def put_documents(self, documents: Iterable[Document]) -> None:
        """Keep the items as they were asked; those already kept are passed over."""
        seen = self._known(DOCUMENTS, Document)
        new = []
        for document in documents:
            key = (document.task, document.item)
            if key not in seen:
                seen.add(key)
                new.append(document)
        self._append(DOCUMENTS, Document, new)

    def note_data(self, data: Mapping[str, str]) -> None:
        """Keep the fingerprints of what is read, so that they outlast a kill."""
        if not data.items() <= self.run.data.items():
            self.run = dataclasses.replace(self.run, data={**self.run.data, **data})
            write_manifest(self._folder, Manifest(self.run))

    def put_aggregates(self, aggregates: Sequence[Aggregate]) -> None:
        """Keep published scores that come without items."""
        self._append(AGGREGATES, Aggregate, aggregates)

    def discard(self) -> None:
        """Forget what is durable so far."""
        shutil.rmtree(self._folder / _CHUNKS, ignore_errors=True)
        self._seen.clear()
        self._numbers.clear()

    def finish(
        self,
        *,
        finished: str,
        skipped: Sequence[Skipped],
        notes: Sequence[str],
        data: Mapping[str, str],
        environment: Mapping[str, Any],
        asked: Mapping[str, Sequence[int]] | None = None,
        requests: Mapping[str, str] | None = None,
    ) -> None:
        """Merge the chunks into one sorted file a probe, then declare the run finished.

        finished: when, ISO 8601; not empty. `run.json` is written last, so that a run is finished
        only when all of it is durable. Raises StoreError.
        """
        assert finished, "a run is finished at some time"
        digests = {}
        for part, table in unfinished(self._folder).items():
            content = tables.to_parquet(tables.ordered(table))
            file = self._folder / f"{part}.parquet"
            with tables.writing(file):
                files.write(file, content)
            digests[file.name] = hashlib.sha256(content).hexdigest()
        run = dataclasses.replace(
            self.run,
            finished=finished,
            skipped=tuple(skipped),
            notes=tuple(notes),
            data=dict(data),
            environment=dict(environment),
            asked=dict(asked or {}),
            requests=dict(requests or {}),
        )
        write_manifest(self._folder, Manifest(run, digests))
        self.run = run
        remove_scaffold(self._folder)

    def _known(self, part: str, kind: type[Row]) -> set[tuple[str, ...]]:
        """The keys of the rows that are durable, read once."""
        if part not in self._seen:
            table = merged(self._folder, part, kind)
            keys = [name for name in ("task", "metric", "item") if name in table.column_names]
            values = [table[key].to_pylist() for key in keys]
            self._seen[part] = set(zip(*values, strict=True))
        return self._seen[part]

    def _append(
        self, part: str, kind: type[Row], rows: Sequence[Row], *, revised: bool = False
    ) -> None:
        if not rows:
            return
        folder = self._folder / _CHUNKS / part
        if part not in self._numbers:
            chunks = _chunks(folder)
            self._numbers[part] = chunks[-1].number + 1 if chunks else 0
        content = tables.to_parquet(tables.to_table(kind, rows, where=f"probe {part}"))
        digest = hashlib.sha256(content).hexdigest()[:16]
        mark = _REVISED if revised else ""
        file = folder / f"{self._numbers[part]:06}-{digest}{mark}.parquet"
        with tables.writing(file):
            files.write(file, content)
        self._numbers[part] += 1


@dataclass(frozen=True, slots=True, order=True)
class _Chunk:
    number: int
    digest: str
    """The first 16 hexadecimal digits of its sha256, which its name carries."""
    path: Path
    revises: bool
    """True if its rows take the place of earlier ones."""


def kind_of(part: str) -> type[Row]:
    """What a file of a run holds, by its name without the ending."""
    return {DOCUMENTS: Document, AGGREGATES: Aggregate}.get(part, Record)


def unfinished(folder: Path) -> dict[str, pa.Table]:
    """What is durable of a run under way, by part; raises StoreError."""
    parts = [path.name for path in listing(folder / _CHUNKS)]
    return {part: merged(folder, part, kind_of(part)) for part in parts}


def merged(folder: Path, part: str, kind: type[Row]) -> pa.Table:
    """All chunks of one part in one table, with no rows if there are none; raises StoreError."""
    read = [tables.columns(kind).empty_table()]
    chunks = _chunks(folder / _CHUNKS / part)
    for chunk in chunks:
        read.append(tables.read_parquet(chunk.path, sha256=chunk.digest, remedy=_MEASURE_AGAIN))
    table = pa.concat_tables(read)
    return tables.last_of_each(table) if any(chunk.revises for chunk in chunks) else table


def _chunks(folder: Path) -> list[_Chunk]:
    chunks = []
    for path in listing(folder):
        if name := _CHUNK_NAME.fullmatch(path.name):
            chunks.append(_Chunk(int(name[1]), name[2], path, bool(name[3])))
    return sorted(chunks)


def listing(folder: Path) -> list[Path]:
    """What is in the folder, sorted; nothing if it is not there. Raises StoreError."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(
            f"the results folder cannot be read: {error.strerror or error}.",
            where=str(folder),
            remedy="name another folder with --store",
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that a killed process left; the caller holds the lock."""
    for path in (*folder.glob(f".*{files.TEMPORARY}"), *folder.glob(f"{_CHUNKS}/*/.*")):
        with suppress(OSError):  # nothing reads it: not worth an error
            path.unlink()


def remove_scaffold(folder: Path) -> None:
    """Delete what a finished run no longer needs: its chunks and its lock, if it can be."""
    shutil.rmtree(folder / _CHUNKS, ignore_errors=True)
    # Whoever waits for this lock finds the run finished, and so does whoever makes a new one.
    with suppress(OSError):
        (folder / LOCK).unlink()


# ------------------------------------------------------------------ run.json


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `run.json` says."""

    run: Run
    files: Mapping[str, str] = field(default_factory=dict)
    """sha256 by file name; empty while the run is under way."""


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put the manifest into the run's folder, whole or not at all; raises StoreError."""
    raw = {
        "layout": _LAYOUT,
        **dataclasses.asdict(manifest.run),
        "files": dict(sorted(manifest.files.items())),
    }
    with tables.writing(folder / _MANIFEST):
        files.write(folder / _MANIFEST, json.dumps(raw, indent=1, default=str) + "\n")


def is_run(folder: Path) -> bool:
    """True if the folder is a run's."""
    return os.path.isfile(folder / _MANIFEST)


def _skipped(items: Sequence[str] = (), **others: Any) -> Skipped:
    """What `run.json` says of one skipped thing: JSON has no tuples."""
    return Skipped(items=tuple(items), **others)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the run in the folder, whose name is the run's id; raises StoreError."""
    path = folder / _MANIFEST
    try:
        raw = json.loads(tables.read(path))
        layout = raw.pop("layout")
        if layout != _LAYOUT:
            raise StoreError(
                f"the run was written in layout {layout}; this Pyr reads layout {_LAYOUT}.",
                where=str(path),
                remedy="read it with the version of Pyr that wrote it",
            )
        digests = raw.pop("files")
        raw["id"] = folder.name
        raw["checkpoint"] = Checkpoint(**raw["checkpoint"])
        raw["notes"] = tuple(raw["notes"])
        raw["skipped"] = tuple(_skipped(**skipped) for skipped in raw["skipped"])
        return Manifest(Run(**raw), digests)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"this is no run of Pyr, or a damaged one: {type(error).__name__}: {error}",
            where=str(path),
            remedy="move that folder out of the results folder, or restore it from a copy",
        ) from error
