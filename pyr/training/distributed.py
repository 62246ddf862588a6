"""A recipe's data prepared as tasks of datatrove: on this machine, under Slurm, on Ray.

First one task for every part of every source, which is read and tokenised by itself. Then one for
every source, which joins its parts as if they had been read in one piece:

    <data>/.<source>-<digest>.parts/part-00000.parquet    complete or absent, as the shards are

What depends on one row alone is done in the parts: filters, contents, the look for test items, the
tokens. What depends on the rows before it (repetitions, limits, counts) is decided again when they
are joined, in their order. So the shards are those of `pyr data prepare` without an executor, byte
for byte. What is there is not made again, so that the same command goes on after any end: known by
our own files, as a mark of datatrove's would outlive them. datatrove keeps its logs below
`<data>/datatrove`.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pyr.data.filters import Candidate, SourceStats, candidates, select
from pyr.data.ngrams import Blocked, holds_an_item
from pyr.data.shards import Encoded
from pyr.data.source import Source, count_parts
from pyr.errors import DataMissing, UsageError, did_you_mean
from pyr.files import aside, write
from pyr.training import prepare
from pyr.training.prepare import Job, Kitchen, RowEncoder
from pyr.training.recipe import Curriculum

_CLASSES = {
    "local": "LocalPipelineExecutor",
    "slurm": "SlurmPipelineExecutor",
    "ray": "RayPipelineExecutor",
}
_OURS = {"pipeline", "tasks", "logging_dir", "depends", "skip_completed", "job_name"}
_ROWS = 256
_END = "end"


@dataclass(frozen=True, slots=True)
class Executor:
    """Which of datatrove's executors, and its options as they are passed on."""

    kind: str
    options: dict[str, Any]


def read(text: str) -> Executor:
    """Read an executor from ``KIND:KEY=VALUE,...``, as ``slurm:partition=cpu,time=24:00:00``.

    Raises UsageError for a word that datatrove's executor does not know.
    """
    kind, _, rest = text.partition(":")
    if kind not in _CLASSES:
        raise UsageError(
            f"--executor {text}: there is no executor '{kind}'.",
            remedy=did_you_mean(kind, _CLASSES) or f"there are: {', '.join(_CLASSES)}",
        )
    options = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--executor {text}: '{pair}' has no value.", remedy="KEY=VALUE")
        # Not as YAML, which reads the time 10:00:00 as a number.
        options[key] = int(value) if value.lstrip("-").isdigit() else value
    known = set(inspect.signature(_class(kind)).parameters) - _OURS
    for key in options:
        if key not in known:
            raise UsageError(
                f"--executor {text}: '{key}' is no option of {_CLASSES[kind]}.",
                remedy=did_you_mean(key, known) or f"there are: {', '.join(sorted(known))}",
            )
    if kind == "local":
        options.setdefault("workers", os.cpu_count() or 1)
    return Executor(kind, options)


def _class(kind: str) -> Any:
    try:
        from datatrove import executor
    except ImportError as error:
        raise UsageError(
            "--executor needs datatrove, which is not installed.",
            remedy='install it: pip install "pyr-lm[datatrove]"',
        ) from error
    return getattr(executor, _CLASSES[kind])


# ------------------------------------------------------------------ the run


def run(curriculum: Curriculum, kitchen: Kitchen, executor: Executor) -> bool:
    """Prepare what is not there yet. False if it has only been submitted, as under Slurm.

    Raises DataMissing if a task has failed, UsageError for options that datatrove refuses.
    """
    waiting = [_absolute(job) for job in prepare.open_jobs(curriculum, kitchen)]
    if not waiting:
        return True
    parts: list[tuple[Job, int]] = []
    for job in waiting:
        parts += [(job, part) for part in range(count_parts(job.source, job.places))]
    kitchen.say(f"  {len(waiting)} sources in {len(parts)} parts, by {_CLASSES[executor.kind]}")
    logs = kitchen.data.resolve() / "datatrove"
    # In a file, as every process reads it for itself.
    blocked = (logs / "test-items.bin").resolve()
    write(blocked, kitchen.blocked.to_bytes())
    first = _make_executor(executor, ReadParts(parts, blocked), len(parts), logs / "parts")
    last = _make_executor(executor, JoinParts(waiting), len(waiting), logs / "sources")
    if executor.kind == "slurm":
        last.depends = first
        last.run()
        return False
    if executor.kind == "ray":
        import ray

        # The cluster that RAY_ADDRESS names, or one that is started here.
        if not ray.is_initialized():
            ray.init()
    # Not by `depends`: on Ray it would wait for ever for a task that has failed.
    first.run()
    _complain({job.source.name for job, part in parts if not _is_read(job, part)}, logs)
    last.run()
    _complain({job.source.name for job in waiting if not job.done}, logs)
    return True


def _absolute(job: Job) -> Job:
    """Return the job for a process that runs elsewhere."""
    places = replace(
        job.places,
        folders=tuple(folder.resolve() for folder in job.places.folders),
        cache=job.places.cache and job.places.cache.resolve(),
    )
    folder, tokenizer = job.folder.resolve(), job.tokenizer.resolve()
    return replace(job, folder=folder, tokenizer=tokenizer, places=places)


def _make_executor(executor: Executor, task: Any, count: int, logs: Path) -> Any:
    options = {"skip_completed": False, "logging_dir": str(logs), **executor.options}
    if executor.kind == "slurm":
        options["job_name"] = f"pyr-{logs.name}"
    try:
        return _class(executor.kind)([task], tasks=count, **options)
    except TypeError as error:
        raise UsageError(f"--executor {executor.kind}: {error}") from error


def _complain(names: set[str], logs: Path) -> None:
    if names:
        raise DataMissing(
            f"not prepared: {', '.join(sorted(names))}.",
            where=f"logs: {logs}",
            remedy="mend what they say; the same command goes on with the parts that are missing",
        )


# ------------------------------------------------------------------ tasks, as datatrove calls them


@dataclass(frozen=True, slots=True)
class ReadParts:
    """Task number `rank` reads and tokenises one part."""

    parts: Sequence[tuple[Job, int]]
    blocked: Path
    """A file with what test items hold."""

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        """Do one task."""
        job, part = self.parts[rank]
        read_part(job, part, Blocked.from_bytes(self.blocked.read_bytes()))


@dataclass(frozen=True, slots=True)
class JoinParts:
    """Task number `rank` writes the shards of one source."""

    jobs: Sequence[Job]

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        """Do one task."""
        join_parts(self.jobs[rank])


def _part_file(job: Job, part: int) -> Path:
    return job.folder.with_name(f".{job.folder.name}.parts") / f"part-{part:05d}.parquet"


def _is_read(job: Job, part: int) -> bool:
    return job.done or _part_file(job, part).is_file()


def read_part(job: Job, part: int, blocked: Blocked) -> None:
    """Read and tokenise a part; one that is there is kept.

    A row of its file is a row that the source's filters keep, with what had been counted when it
    was read; the last one holds the counts of the whole part.
    blocked: what test items hold.
    """
    import pyarrow as pa
    import pyarrow.parquet

    if _is_read(job, part):
        return
    columns = {
        "decision": pa.string(),
        "counted": pa.string(),
        "digest": pa.binary(),
        "size": pa.int64(),
        "contaminated": pa.bool_(),
        "id": pa.string(),
        "ids": pa.list_(pa.uint16()),
        "loss": pa.list_(pa.uint8()),
        "bytes": pa.int64(),
        "held_out": pa.bool_(),
        "text": pa.string(),
    }
    schema = pa.schema(columns)
    file = _part_file(job, part)
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = _read_rows(job, part, blocked)
    with aside(file) as path, pa.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _ROWS)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))


def _read_rows(job: Job, part: int, blocked: Blocked) -> Iterator[dict[str, Any]]:
    """Yield what became of each row, and its tokens if it may be used."""
    stats = SourceStats()
    encoder = RowEncoder(job.tokenizer, chat=job.chat, column=job.source.column)
    found = candidates(job.source, job.places, stats, part)
    for candidate, decision in select(found, job.source, stats):
        row: dict[str, Any] = {
            "decision": decision,
            "counted": json.dumps(asdict(stats)),
            "digest": candidate.digest,
            "size": candidate.size,
        }
        if decision == "used":
            row["contaminated"] = holds_an_item(candidate.row, blocked)
            if not row["contaminated"]:
                for document in encoder.encode([candidate.row], job.held_out):
                    # Of the texts only those that are held out are needed again.
                    text = document.text if document.held_out else ""
                    row |= asdict(document) | {"text": text}
        yield row
    yield {"decision": _END, "counted": json.dumps(asdict(stats))}


def join_parts(job: Job) -> None:
    """Write the shards of a source from its parts, and let the parts go."""
    if job.done:
        return
    count = count_parts(job.source, job.places)
    files = [_part_file(job, part) for part in range(count)]
    stats = SourceStats()
    prepare.write_source(job, _join_documents(files, job.source, stats), stats)
    shutil.rmtree(files[0].parent)


def _join_documents(files: Sequence[Path], source: Source, stats: SourceStats) -> Iterator[Encoded]:
    """Yield the documents of the source in their order, counted as in one piece."""
    for candidate, decision in select(_read_parts(files, stats), source, stats):
        row = candidate.row
        if decision != "used":
            continue
        stats.contaminated += row["contaminated"]
        if row["ids"] is not None:
            kept = {name: row[name] for name in ("id", "bytes", "held_out", "loss", "text")}
            yield Encoded(ids=np.asarray(row["ids"], dtype=np.uint16), **kept)


def _read_parts(files: Sequence[Path], stats: SourceStats) -> Iterator[Candidate]:
    """Yield the rows of all parts; `stats` counts what had been counted up to each of them."""
    import pyarrow.parquet

    before = SourceStats()
    for file in files:
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=_ROWS):
                ids, loss = batch.column("ids"), batch.column("loss")
                rows = batch.drop_columns(["ids", "loss"]).to_pylist()
                for number, row in enumerate(rows):
                    _set_counts(stats, before, json.loads(row["counted"]))
                    if row["decision"] == _END:
                        continue
                    # As arrays: a list of Python numbers takes many times the memory.
                    for name, cell in (("ids", ids[number]), ("loss", loss[number])):
                        row[name] = cell.values.to_numpy() if cell.is_valid else None
                    yield Candidate(row["digest"], row["size"], row)
        before = replace(stats)


def _set_counts(stats: SourceStats, before: SourceStats, part: dict[str, Any]) -> None:
    """Set the counts to those of the parts before, and of this one up to a row."""
    stats.reasons = dict(Counter(before.reasons) + Counter(part["reasons"]))
    # The other counts depend on the rows before, and are made anew when parts are joined.
    for name in ("read", "filtered", "empty", "missing"):
        setattr(stats, name, getattr(before, name) + part[name])
