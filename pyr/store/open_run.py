"""A run under way: chunks of records, each durable when `append` returns, merged at the end."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd
import pyarrow as pa

from pyr.errors import MeasureError
from pyr.files import TEMPORARY
from pyr.schema import Aggregate, Record, Run, Skipped
from pyr.store import files, manifest, table
from pyr.store.table import Document, Row

AGGREGATES = "aggregates"
DOCUMENTS = "documents"
LOCK = "lock"

_CHUNKS = "chunks"
_CHUNK_NAME = re.compile(r"(\d+)-([0-9a-f]{16})\.parquet")
_PROBE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,99}")
_MEASURE_AGAIN = "delete that file and run again: only its items are measured anew"


class OpenRun:
    """The one writer of a run's folder; use it in a `with` statement, which releases the lock.

    A process that dies at any instant leaves the folder unfinished, with every chunk that
    `append` had returned from, or finished.
    """

    def __init__(self, folder: Path, run: Run, *, lock: int | None) -> None:
        """folder: the run's own. lock: the descriptor that holds its lock; None if finished."""
        self.run = run
        self._folder = folder
        self._lock = lock
        self._seen: dict[str, set[tuple[str, ...]]] = {}
        self._numbers: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def finished(self) -> bool:
        """True if there is nothing left to measure: by this process, or by one we waited for."""
        return bool(self.run.finished)

    def records(self, probe: str) -> pd.DataFrame:
        """The records of one probe that are already durable; no rows if there are none."""
        return table.records_frame([(probe, merged(self._folder, probe, Record))])

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

    def put_documents(self, documents: Iterable[Document]) -> None:
        """Keep the items as they were asked; those already kept are passed over."""
        seen = self._known(DOCUMENTS, Document)
        new = {(row.task, row.item): row for row in documents if (row.task, row.item) not in seen}
        seen |= new.keys()
        self._append(DOCUMENTS, Document, list(new.values()))

    def put_aggregates(self, aggregates: Sequence[Aggregate]) -> None:
        """Keep published scores that come without items."""
        self._append(AGGREGATES, Aggregate, aggregates)

    def discard(self) -> None:
        """Forget what is durable so far."""
        files.remove_tree(self._folder / _CHUNKS)
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
    ) -> None:
        """Merge the chunks into one sorted file a probe, then declare the run finished.

        finished: when, ISO 8601; not empty. `run.json` is written last, so that a run is finished
        only when all of it is durable. Raises StoreError.
        """
        assert finished, "a run is finished at some time"
        digests = {}
        for part in _parts(self._folder):
            content = files.to_parquet(table.ordered(merged(self._folder, part, kind_of(part))))
            name = f"{part}.parquet"
            files.write(self._folder / name, content)
            digests[name] = hashlib.sha256(content).hexdigest()
        run = dataclasses.replace(
            self.run,
            finished=finished,
            skipped=tuple(skipped),
            notes=tuple(notes),
            data=dict(data),
            environment=dict(environment),
            asked=dict(asked or {}),
        )
        manifest.write(self._folder, manifest.Manifest(run, digests))
        self.run = run
        remove_scaffold(self._folder)

    def _known(self, part: str, kind: type[Row]) -> set[tuple[str, ...]]:
        """The keys of the rows that are durable, read once."""
        if part not in self._seen:
            keys = [
                name for name in ("task", "metric", "item") if name in table.columns(kind).names
            ]
            rows = merged(self._folder, part, kind).select(keys)
            self._seen[part] = set(zip(*(rows[key].to_pylist() for key in keys), strict=True))
        return self._seen[part]

    def _append(self, part: str, kind: type[Row], rows: Sequence[Row]) -> None:
        if not rows:
            return
        folder = self._folder / _CHUNKS / part
        if part not in self._numbers:
            files.make_folder(folder)
            self._numbers[part] = max((chunk.number for chunk in _chunks(folder)), default=-1) + 1
        content = files.to_parquet(table.to_table(kind, rows, where=f"probe {part}"))
        digest = hashlib.sha256(content).hexdigest()[:16]
        files.write(folder / f"{self._numbers[part]:06}-{digest}.parquet", content)
        self._numbers[part] += 1


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class _Chunk:
    number: int
    digest: str
    """The first 16 hexadecimal digits of its sha256, which its name carries."""
    path: Path


def kind_of(part: str) -> type[Row]:
    """What a file of a run holds, by its name without the ending."""
    return {DOCUMENTS: Document, AGGREGATES: Aggregate}.get(part, Record)


def unfinished(folder: Path) -> dict[str, pa.Table]:
    """What is durable of a run under way, by part; raises StoreError."""
    return {part: merged(folder, part, kind_of(part)) for part in _parts(folder)}


def merged(folder: Path, part: str, kind: type[Row]) -> pa.Table:
    """All chunks of one part in one table, with no rows if there are none; raises StoreError."""
    chunks = _chunks(folder / _CHUNKS / part)
    tables = [
        files.read_parquet(chunk.path, sha256=chunk.digest, remedy=_MEASURE_AGAIN)
        for chunk in chunks
    ]
    return pa.concat_tables([table.columns(kind).empty_table(), *tables])


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that a killed process left; the caller holds the lock."""
    for path in (*folder.glob(f".*{TEMPORARY}"), *folder.glob(f"{_CHUNKS}/*/.*")):
        files.remove(path)


def remove_scaffold(folder: Path) -> None:
    """Delete what a finished run no longer needs: its chunks and its lock."""
    files.remove_tree(folder / _CHUNKS)
    # Whoever waits for this lock finds the run finished, and so does whoever makes a new one.
    files.remove(folder / LOCK)


def _parts(folder: Path) -> list[str]:
    return [path.name for path in files.listing(folder / _CHUNKS)]


def _chunks(folder: Path) -> list[_Chunk]:
    found = [(_CHUNK_NAME.fullmatch(path.name), path) for path in files.listing(folder)]
    return sorted(_Chunk(int(name[1]), name[2], path) for name, path in found if name)
