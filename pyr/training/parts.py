"""A source in parts, each read and tokenised by itself, then put together as if read in one piece.

What depends on one row alone is done in the parts: filters, contents, the look for test items, the
tokens. What depends on the rows before it (repetitions, limits, counts) is decided again when they
are put together, in their order. So the shards are those of one piece, byte for byte.

    <data>/.<source>-<digest>.parts/00000.parquet    complete or absent, as the shards are

A row of it is a row that the source's filters keep, with what had been counted when it was read;
the last one holds the counts of the whole part.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pyr.files import aside
from pyr.training import prepare, sources
from pyr.training.decontaminate import Blocked, holds_an_item
from pyr.training.encode import Document, RowEncoder
from pyr.training.prepare import Job
from pyr.training.recipe import Source
from pyr.training.shards import Encoded
from pyr.training.sources import Counted, Sieve, Sifted

_ROWS = 256
_END = "end"
_DECIDED_AGAIN = ("repeated", "left_out")


def count(job: Job) -> int:
    """The parts of a source."""
    return sources.parts(job.source, job.places)


def write(job: Job, part: int, blocked: Blocked) -> None:
    """Read and tokenise a part; one that is there is kept.

    blocked: what test items hold.
    """
    import pyarrow
    import pyarrow.parquet

    if there(job, part):
        return
    file = _file(job, part)
    file.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = _read(job, part, blocked), _columns()
    with (
        aside(file) as path,
        pyarrow.parquet.ParquetWriter(path, columns, compression="zstd") as writer,
    ):
        while batch := list(islice(rows, _ROWS)):
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=columns))


def put_together(job: Job) -> None:
    """Write the shards of a source from its parts, and let the parts go."""
    if job.done:
        return
    files = [_file(job, part) for part in range(count(job))]
    counted, about = Counted(), {"contaminated": 0}
    prepare.write_source(job, _documents(files, job.source, counted, about), counted, about)
    shutil.rmtree(files[0].parent)


def there(job: Job, part: int) -> bool:
    """True if a part need not be read any more."""
    return job.done or _file(job, part).is_file()


def _file(job: Job, part: int) -> Path:
    return job.folder.with_name(f".{job.folder.name}.parts") / f"{part:05d}.parquet"


# ------------------------------------------------------------------ one part


def _columns() -> Any:
    import pyarrow

    return pyarrow.schema(
        {
            "fate": pyarrow.string(),
            "counted": pyarrow.string(),
            "digest": pyarrow.binary(),
            "size": pyarrow.int64(),
            "contaminated": pyarrow.bool_(),
            "id": pyarrow.string(),
            "ids": pyarrow.list_(pyarrow.uint16()),
            "loss": pyarrow.list_(pyarrow.uint8()),
            "bytes": pyarrow.int64(),
            "held_out": pyarrow.bool_(),
            "text": pyarrow.string(),
        }
    )


def _read(job: Job, part: int, blocked: Blocked) -> Iterator[dict[str, Any]]:
    """What became of each row, and its tokens if it may be used."""
    counted, encoder = Counted(), job.encoder()
    for each in sources.sifted(job.source, job.places, counted, part):
        yield {
            "fate": each.fate,
            "counted": json.dumps(asdict(counted), sort_keys=True),
            "digest": each.digest,
            "size": each.size,
            **(_told(each, job, encoder, blocked) if each.fate == "used" else {}),
        }
    yield {"fate": _END, "counted": json.dumps(asdict(counted), sort_keys=True)}


def _told(each: Sifted, job: Job, encoder: RowEncoder, blocked: Blocked) -> dict[str, Any]:
    if holds_an_item(each.row, blocked):
        return {"contaminated": True}
    found: dict[str, Any] = {"contaminated": False}
    for document, text in encoder.documents([each.row], job.held_out):
        found |= asdict(document) | {"text": text if document.held_out else None}
    return found


# ------------------------------------------------------------------ all parts


def _documents(
    files: Sequence[Path], source: Source, counted: Counted, about: dict[str, int]
) -> Iterator[Document]:
    """The documents of the source in their order, counted as in one piece."""
    sieve, before = Sieve(source, counted), Counted()
    for file in files:
        for row in _rows(file):
            _count(counted, before, json.loads(row["counted"]))
            if row["fate"] == _END:
                before = replace(counted, reasons=dict(counted.reasons))
                continue
            fate = sieve.fate(row["digest"], row["size"])
            if fate == "enough":
                return
            if fate == "used":
                about["contaminated"] += row["contaminated"]
                if row["ids"] is not None:
                    yield _document(row), row["text"] or ""


def _count(counted: Counted, before: Counted, here: dict[str, Any]) -> None:
    """Set what has been counted to that of the parts before and of this one, up to a row."""
    reasons = dict(before.reasons)
    for reason, found in here.pop("reasons").items():
        reasons[reason] = reasons.get(reason, 0) + found
    counted.reasons = reasons
    for name, found in here.items():
        if name not in _DECIDED_AGAIN:
            setattr(counted, name, getattr(before, name) + found)


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(file) as table:
        for batch in table.iter_batches(batch_size=_ROWS):
            ids, loss = batch.column("ids"), batch.column("loss")
            rest = batch.drop_columns(["ids", "loss"]).to_pylist()
            for number, row in enumerate(rest):
                yield {**row, "ids": _numbers(ids[number]), "loss": _numbers(loss[number])}


def _numbers(cell: Any) -> Any:
    return cell.values.to_numpy() if cell.is_valid else None


def _document(row: dict[str, Any]) -> Encoded:
    kept = {name: row[name] for name in ("id", "bytes", "held_out", "loss")}
    return Encoded(ids=np.asarray(row["ids"], dtype=np.uint16), **kept)
