"""The tables of a run: what a Parquet file of records, aggregates or documents holds."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pyr.errors import MeasureError
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
            values = [json.dumps(value) for value in values]
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
        return pa.array([_escaped(value) for value in values], type=kind)


def _escaped(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def ordered(table: pa.Table) -> pa.Table:
    """The same rows by task, metric and item, numbers in the order of numbers."""
    keys = [name for name in ("task", "metric") if name in table.column_names]
    if "item" not in table.column_names:
        return table.sort_by([(key, "ascending") for key in keys])
    digits = pc.utf8_length(table["item"])
    by = [*keys, "_digits", "item"]
    wide = table.append_column("_digits", digits).sort_by([(key, "ascending") for key in by])
    return wide.drop_columns("_digits")


def records_frame(tables: Sequence[tuple[str, pa.Table]]) -> pd.DataFrame:
    """The records of several probes, given as (probe, table), in one frame."""
    parts = [(probe, table) for probe, table in tables] or [("", columns(Record).empty_table())]
    whole = pa.concat_tables(
        table.append_column("probe", pa.array([probe] * table.num_rows, type=pa.string()))
        for probe, table in parts
    )
    frame: pd.DataFrame = whole.to_pandas()
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
