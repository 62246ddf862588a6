"""A whole run of a recipe as plain data: its phases, their verdicts, and what was forgotten.

Read from the run's folder and from the store alone, so that the same run gives the same report.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal

from pyr.compare import compare
from pyr.gate import read_verdict
from pyr.report.trail import Point, follow
from pyr.schema import Finding, State
from pyr.store import Results, Store
from pyr.training import checkpoints
from pyr.training.recipe import Curriculum
from pyr.training.watch import LOG, read_log

if TYPE_CHECKING:
    from pyr.training.curriculum import Outcome, Passage

_POINTS = 80
"""Of a phase's loss curve: each is the mean of the steps around it."""
_TWO_SIDED_95 = 1.959964
HELD_OUT = "held_out_"
MATRIX_METRIC = "bits_per_byte"

Standing = Literal["before", "own", "worse", "better", "same"]


@dataclass(frozen=True, slots=True)
class Leg:
    """One phase of the run, trained and judged."""

    phase: str
    stage: str
    description: str
    begin: int
    """Training tokens seen when it began, and when it ended."""
    end: int
    steps: int
    seconds: float
    """Of the training steps, without preparing and evaluating."""
    rate: float
    """Median tokens a second."""
    state: State
    opens: bool
    run: str
    findings: tuple[Finding, ...]
    losses: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """Bits per byte of one phase's held-out documents after some phase."""

    value: float
    margin: float
    """Half width of the 95% interval over documents."""
    standing: Standing
    """before, own: not yet, or just, taught; else against the phase that taught it, in pairs."""
    delta: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """The whole run."""

    recipe: str
    description: str
    state: str
    """pass, fail, unclear or stopped."""
    planned: tuple[str, ...]
    """Every phase of the recipe."""
    legs: tuple[Leg, ...]
    matrix: dict[str, tuple[Cell, ...]] = field(default_factory=dict)
    """By the phase whose documents are asked; a cell after every leg."""
    trails: dict[str, tuple[Point, ...]] = field(default_factory=dict)
    """Every task's main measures over the legs."""

    @property
    def tokens(self) -> int:
        """Training tokens of the whole run."""
        return max((leg.end for leg in self.legs), default=0)

    @property
    def seconds(self) -> float:
        """Spent in training steps."""
        return sum(leg.seconds for leg in self.legs)


def collect(curriculum: Curriculum, outcome: Outcome, output: Path, store: Store) -> Course:
    """The run that lies in `output`, as far as `outcome` says that it came."""
    results = [store.results(store.run(passage.run)) for passage in outcome.passages]
    legs = tuple(_legs(curriculum, outcome.passages, output))
    return Course(
        recipe=curriculum.recipe.name,
        description=curriculum.recipe.description,
        state=outcome.state,
        planned=tuple(phase.name for phase in curriculum.phases),
        legs=legs,
        matrix=forgetting([leg.phase for leg in legs], results),
        trails=follow(results).points,
    )


def _legs(curriculum: Curriculum, passages: Sequence[Passage], output: Path) -> Iterator[Leg]:
    for passage in passages:
        phase, folder = curriculum.phase(passage.phase), output / passage.phase
        final = checkpoints.final(folder)
        assert final is not None
        about = json.loads((folder / "order.json").read_text(encoding="utf-8"))
        lines = read_log(folder / LOG)
        verdict = read_verdict(folder / "verdict.json")
        yield Leg(
            phase=phase.name,
            stage=phase.stage,
            description=phase.description,
            begin=int(about["tokens_before"]),
            end=int(final.about["tokens"]),
            steps=final.step,
            seconds=sum(line["seconds"] for line in lines),
            rate=median(line["tokens_per_second"] for line in lines),
            state=passage.state,
            opens=passage.opens,
            run=passage.run,
            findings=tuple(verdict.findings),
            losses=tuple(_thinned(lines, phase.name)),
        )


def _thinned(lines: Sequence[dict[str, float]], phase: str) -> Iterator[Point]:
    size = max(1, -(-len(lines) // _POINTS))
    for first in range(0, len(lines), size):
        some = lines[first : first + size]
        mean = sum(line["loss"] for line in some) / len(some)
        middle = some[len(some) // 2]
        yield Point(int(middle["tokens"]), mean, None, f"step {middle['step']:.0f}", phase)


def forgetting(phases: Sequence[str], results: Sequence[Results]) -> dict[str, tuple[Cell, ...]]:
    """Bits per byte of every phase's held-out documents, after every phase.

    results: a run after each of `phases`, in order. A phase without held-out documents has no row.
    Later phases are compared with the one that taught the documents, document by document.
    """
    matrix = {}
    for own, phase in enumerate(phases):
        cells = [
            _cell(f"{HELD_OUT}{phase}/{MATRIX_METRIC}", results, own, after)
            for after in range(len(phases))
        ]
        found = tuple(cell for cell in cells if cell is not None)
        if len(found) == len(phases):
            matrix[phase] = found
    return matrix


def _cell(measure: str, results: Sequence[Results], own: int, after: int) -> Cell | None:
    baseline = results[own] if after > own else None
    rows = [row for row in compare(results[after], baseline) if row.measure == measure]
    if not rows or rows[0].candidate is None:
        return None
    [row] = rows
    assert row.candidate is not None
    margin = _TWO_SIDED_95 * row.candidate.se
    if row.delta is None or row.low is None or row.high is None:
        return Cell(row.candidate.value, margin, "own" if after == own else "before")
    standing: Standing = "worse" if row.low > 0 else "better" if row.high < 0 else "same"
    return Cell(row.candidate.value, margin, standing, row.delta.value, row.low, row.high)
