"""Probes measure one thing of a checkpoint each. The whole interface is `Probe.run`.

A probe is a class whose `__init__` takes the options written in the suite (a dict) and the
probe's name; `run` yields chunks. A chunk is durable as soon as it is taken, so that a killed
evaluation loses at most one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pandas as pd

from pyr.engines import EngineSettings, load_object
from pyr.engines.model_reuse import ModelReuse
from pyr.errors import ContentError, MeasureError, did_you_mean
from pyr.schema import Checkpoint, ProbeSpec, Record, Skipped
from pyr.store import Document

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_PROBES = {
    "harness": "pyr.probes.harness:Harness",
    "health": "pyr.probes.health:Health",
    "samples": "pyr.probes.samples:Samples",
    "texts": "pyr.probes.texts:Texts",
    "throughput": "pyr.probes.throughput:Throughput",
    "tokenizer": "pyr.probes.tokenizer:Tokenizer",
    "tools": "pyr.probes.tools:Tools",
    "turns": "pyr.probes.turns:Turns",
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a probe has found since its last chunk."""

    records: Sequence[Record] = ()
    revised: Sequence[Record] = ()
    """Records that take the place of earlier ones of the same task, metric and item."""
    documents: Sequence[Document] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints of the data sets read, by hub name."""
    skipped: Sequence[Skipped] = ()
    notes: Sequence[str] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    """How many items there are to be asked, by task."""
    requests: Mapping[str, str] = field(default_factory=dict)
    """Digest of all that the model is given, by task."""


def _all(task: str) -> None:
    """No limit."""


@dataclass(frozen=True)
class Subject:
    """What a probe is given: the checkpoint, how to open it, and what is already known."""

    checkpoint: Checkpoint
    settings: EngineSettings
    seed: int
    mirror: Path | None
    bundles: Path | None
    """Where compiled tasks are kept for the next checkpoint; None keeps none."""
    skip_missing: bool
    earlier: pd.DataFrame
    """Records of this probe that an interrupted run has already stored."""
    progress: Callable[[str, int, int], None]
    """Called with (what, done, total)."""
    models: ModelReuse
    wanted: Callable[[str], int | None] = _all
    """How many items of a task are to have been asked by now (None: all); called before a chunk."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Items there are in each task, as far as an earlier stage has told."""

    @property
    def lm(self) -> LM:
        """The model, loaded at the first use and shared by all probes of the run."""
        return self.models.open(self.checkpoint, self.settings)


def fixed_order(seed: int, task: str, total: int) -> list[int]:
    """Return the one random order in which a task's items are asked of every checkpoint.

    Any prefix of it is a fair sample, so that a limit takes one.
    """
    return random.Random(f"{seed}:{task}").sample(range(total), total)


def skip_without_template(task: str) -> Chunk:
    """Say that `task` is skipped because the checkpoint cannot write a chat."""
    return Chunk(skipped=[Skipped(task, "the checkpoint has no chat template", missing=False)])


class Probe(Protocol):
    """All that a measurement must do."""

    name: str

    def run(self, subject: Subject) -> Iterator[Chunk]:
        """Measure, yielding what was found as it is found."""
        ...


@runtime_checkable
class Reading(Protocol):
    """A probe that can say beforehand what it reads."""

    def reads(self) -> Iterable[str]:
        """Digests of what decides what it asks, besides the suite's own words; in fixed order."""
        ...


@runtime_checkable
class Writing(Protocol):
    """A probe that can say beforehand whether it lets the model write; others are taken to."""

    def writes(self) -> bool:
        """Whether answers are generated, so that the checkpoint's generation config counts."""
        ...


class ItemsChanged(MeasureError):
    """What an unfinished run has measured is not what would be asked now."""


def make_probe(spec: ProbeSpec) -> Probe:
    """The probe that a suite's entry asks for: one of ours by name, any other as ``module:Class``.

    Raises ContentError for an unknown probe or a wrong option.
    """
    target = _PROBES.get(spec.probe, spec.probe)
    if ":" not in target:
        raise ContentError(
            f"unknown probe '{spec.probe}'.",
            remedy=did_you_mean(spec.probe, _PROBES) or f"there are: {', '.join(_PROBES)}",
        )
    factory: Any = load_object(target, what="probe")
    probe: Probe = factory(dict(spec.options), name=spec.label)
    return probe
