"""A recipe's data prepared as tasks of datatrove: on this machine, under Slurm, on Ray.

First one task for every part of every source (parts.py), then one for every source, which puts its
parts together. The shards are those of `pyr data prepare` without an executor, byte for byte. What
is there is not made again, so that the same command goes on after any end: known by our own files,
as a mark of datatrove's would outlive them.

datatrove keeps its logs below `<data>/datatrove`.
"""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyr.errors import DataMissing, UsageError, did_you_mean
from pyr.files import write
from pyr.training import parts, prepare
from pyr.training.decontaminate import Blocked
from pyr.training.prepare import Job, Kitchen
from pyr.training.recipe import Curriculum

_CLASSES = {
    "local": "LocalPipelineExecutor",
    "slurm": "SlurmPipelineExecutor",
    "ray": "RayPipelineExecutor",
}
_OURS = {"pipeline", "tasks", "logging_dir", "depends", "skip_completed", "job_name"}


@dataclass(frozen=True, slots=True)
class Executor:
    """Which of datatrove's executors, and its options as they are passed on."""

    kind: str
    options: dict[str, Any]


def read(text: str) -> Executor:
    """An executor from ``KIND:KEY=VALUE,...``, as ``slurm:partition=cpu,time=24:00:00``.

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


# ------------------------------------------------------------------ tasks, as datatrove calls them


@dataclass(frozen=True, slots=True)
class ReadParts:
    """Task number `rank` reads and tokenises one part."""

    parts: tuple[tuple[Job, int], ...]
    blocked: Path
    """What test items hold: a file, as every process reads it for itself."""

    @property
    def count(self) -> int:
        """Of the tasks."""
        return len(self.parts)

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        """One task."""
        job, part = self.parts[rank]
        parts.write(job, part, Blocked.from_bytes(self.blocked.read_bytes()))


@dataclass(frozen=True, slots=True)
class PutTogether:
    """Task number `rank` writes the shards of one source."""

    jobs: tuple[Job, ...]

    @property
    def count(self) -> int:
        """Of the tasks."""
        return len(self.jobs)

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        """One task."""
        parts.put_together(self.jobs[rank])


def _keep_blocked(blocked: Blocked, folder: Path) -> Path:
    file = folder / "test-items.bin"
    write(file, blocked.to_bytes())
    return file.resolve()


# ------------------------------------------------------------------ the run


def run(curriculum: Curriculum, kitchen: Kitchen, executor: Executor) -> bool:
    """Prepare what is not there yet. False if it has only been submitted, as under Slurm.

    Raises DataMissing if a task has failed, UsageError for options that datatrove refuses.
    """
    waiting = tuple(_absolute(job) for job in prepare.jobs(curriculum, kitchen))
    if not waiting:
        return True
    split = tuple((job, part) for job in waiting for part in range(parts.count(job)))
    kitchen.say(f"  {len(waiting)} sources in {len(split)} parts, by {_CLASSES[executor.kind]}")
    logs = kitchen.data.resolve() / "datatrove"
    first = _made(executor, ReadParts(split, _keep_blocked(kitchen.blocked, logs)), logs / "parts")
    last = _made(executor, PutTogether(waiting), logs / "sources")
    if executor.kind == "slurm":
        last.depends = first
        last.run()
        return False
    if executor.kind == "ray":
        _join_ray()
    # Not by `depends`: on Ray it would wait for ever for a task that has failed.
    first.run()
    _complain({job.source.name for job, part in split if not parts.there(job, part)}, logs)
    last.run()
    _complain({job.source.name for job in waiting if not job.done}, logs)
    return True


def _absolute(job: Job) -> Job:
    """The job for a process that runs elsewhere."""
    places = replace(
        job.places,
        folders=tuple(folder.resolve() for folder in job.places.folders),
        contents=job.places.contents and job.places.contents.resolve(),
    )
    folder, tokenizer = job.folder.resolve(), job.tokenizer.resolve()
    return replace(job, folder=folder, tokenizer=tokenizer, places=places)


def _made(executor: Executor, task: ReadParts | PutTogether, logs: Path) -> Any:
    options = {"skip_completed": False, "logging_dir": str(logs), **executor.options}
    if executor.kind == "slurm":
        options["job_name"] = f"pyr-{logs.name}"
    try:
        return _class(executor.kind)([task], tasks=task.count, **options)
    except TypeError as error:
        raise UsageError(f"--executor {executor.kind}: {error}") from error


def _complain(names: set[str], logs: Path) -> None:
    if names:
        raise DataMissing(
            f"not prepared: {', '.join(sorted(names))}.",
            where=f"logs: {logs}",
            remedy="mend what they say; the same command goes on with the parts that are missing",
        )


def _join_ray() -> None:
    """Connect to the cluster that RAY_ADDRESS names, or start one here."""
    import ray

    if not ray.is_initialized():
        ray.init()
