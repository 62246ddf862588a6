"""The tables of a run: records, aggregates and documents as Parquet files, checked by digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pyr.errors import MeasureError, StoreError
from pyr.schema import Aggregate, Record, Run


@dataclass(frozen=True, slots=True)
class Document:
    """One item as it was asked, stored once a run so that reports can show it."""

    task: str
    item: str
    prompt: str
    choices: tuple[str, ...]
    """The texts offered; empty for a free generation."""
    target: str


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Results:
    """Everything known of one run, as the rooms after `store` see it. Never changed once made."""

    run: Run
    records: pd.DataFrame
    """The fields of `schema.Record` plus `probe`; may be empty."""
    aggregates: pd.DataFrame
    """The fields of `schema.Aggregate`; only imported results without samples have any."""


Row = Record | Aggregate | Document

REMOVE_AND_REPEAT = "restore it from a copy, or remove that run's folder and evaluate again"

_ARROW = {
    "str": pa.string(),
    "float": pa.float64(),
    "float | None": pa.float64(),
    "int | None": pa.int64(),
    "Direction": pa.string(),
    "Kind": pa.string(),
    "bool": pa.bool_(),
    "tuple[str, ...]": pa.string(),
}


def columns(kind: type[Row]) -> pa.Schema:
    """The Arrow schema of the rows of one kind, in the order of the fields."""
    return pa.schema([(f.name, _ARROW[str(f.type)]) for f in dataclasses.fields(kind)])


def to_table(kind: type[Row], rows: Sequence[Row], *, where: str) -> pa.Table:
    """The rows as an Arrow table; raises MeasureError if a value does not fit its column.

    A tuple of texts becomes a JSON list. where: who made the rows, for the message.
    """
    arrays = []
    for column in columns(kind):
        values = list(map(attrgetter(column.name), rows))
        if column.name == "choices":
            values = list(map(json.dumps, values))
        try:
            arrays.append(_array(values, column.type))
        except (TypeError, ValueError) as error:
            raise MeasureError(
                f"a {kind.__name__.lower()}'s {column.name} is not of the type {column.type}: "
                f"{error}",
                where=where,
                remedy="make that a plain Python value of the type pyr.schema states",
            ) from error
    return pa.table(arrays, schema=columns(kind))


def _array(values: list[object], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, type=kind)
    except UnicodeEncodeError:
        # A lone surrogate is a legal Python and JSON text but no UTF-8: keep it, escaped.
        texts = [str(value).encode("utf-8", "backslashreplace").decode() for value in values]
        return pa.array(texts, type=kind)


def ordered(table: pa.Table) -> pa.Table:
    """Return the same rows by task, metric and item, numbers in the order of numbers."""
    keys = [name for name in ("task", "metric") if name in table.column_names]
    if "item" in table.column_names:
        # "9" before "10": the shorter of two numbers is the smaller one.
        table = table.append_column("_digits", pc.utf8_length(table["item"]))
        keys += ["_digits", "item"]
    in_order = table.sort_by([(key, "ascending") for key in keys])
    return in_order.drop_columns("_digits") if "_digits" in keys else in_order


def last_of_each(table: pa.Table) -> pa.Table:
    """Return the records without those that a later one of the same task, metric and item revises.

    What remains stays in its place.
    """
    places: dict[tuple[str, str, str], int] = {}
    keys = zip(*(table[name].to_pylist() for name in ("task", "metric", "item")), strict=True)
    for place, key in enumerate(keys):
        places[key] = place
    return table.take(pa.array(places.values(), type=pa.int64()))


def records_frame(tables: Sequence[tuple[str, pa.Table]]) -> pd.DataFrame:
    """Return the records of several probes, given as (probe, table), in one frame."""
    parts = []
    for probe, table in tables or [("", columns(Record).empty_table())]:
        names = pa.repeat(probe, table.num_rows)
        parts.append(table.append_column("probe", names))
    frame: pd.DataFrame = pa.concat_tables(parts).to_pandas()
    return frame


def aggregates_frame(rows: Sequence[Aggregate]) -> pd.DataFrame:
    """Published scores as `Results` holds them; no rows if there are none."""
    frame: pd.DataFrame = to_table(Aggregate, rows, where="aggregates").to_pandas()
    return frame


def records_digest(results: Results) -> str:
    """sha256 over every value of the run's records and aggregates, whatever wrote the files.

    Columns in order, each as its name and its values: numbers as little-endian float64, texts as
    their UTF-8 with the lengths before.
    """
    digest = hashlib.sha256()
    for frame in (results.records, results.aggregates):
        for name in frame.columns:
            digest.update(name.encode())
            _digest_column(digest, frame[name])
    return digest.hexdigest()


def _digest_column(digest: hashlib._Hash, column: pd.Series) -> None:
    if pd.api.types.is_numeric_dtype(column):
        digest.update(column.to_numpy(dtype="<f8", na_value=np.nan).tobytes())
        return
    texts = column.tolist()
    lengths = pc.binary_length(pa.array(texts, type=pa.large_string()))
    digest.update(lengths.to_numpy(zero_copy_only=False).astype("<i8").tobytes())
    digest.update("".join(texts).encode())


# ------------------------------------------------------------------ files


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise StoreError where the system refuses to write the file or folder in this block."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"the results cannot be written: {error.strerror or error}.",
            where=str(path),
            remedy="free space there or make it writable, or name another folder with --store; "
            "what was finished before is kept",
        ) from error


def read(path: Path, *, sha256: str = "", remedy: str = REMOVE_AND_REPEAT) -> bytes:
    """Return a file's content; raises StoreError if it is gone or its sha256 begins otherwise."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"a file of the results cannot be read: {error.strerror or error}.",
            where=str(path),
            remedy=remedy,
        ) from error
    if not hashlib.sha256(content).hexdigest().startswith(sha256):
        raise StoreError(
            "a file of the results is damaged: its content is not what was written.",
            where=str(path),
            remedy=remedy,
        )
    return content


def to_parquet(table: pa.Table) -> bytes:
    """Return the table as a Parquet file: the same table gives the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read_parquet(path: Path, *, sha256: str, remedy: str = REMOVE_AND_REPEAT) -> pa.Table:
    """Return the table in a Parquet file whose sha256 must begin so; raises StoreError."""
    content = read(path, sha256=sha256, remedy=remedy)
    try:
        # Half the time of pq.read_table on a chunk of a few hundred rows.
        return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"a file of the results is no Parquet file: {error}", where=str(path), remedy=remedy
        ) from error
