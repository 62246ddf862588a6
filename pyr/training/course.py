"""A whole run of a recipe as plain data: its phases, their verdicts, and what was forgotten.

Read from the run's folder and from the store alone, so that the same run gives the same report.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from pyr.compare import Point, chances, compare, score_history
from pyr.gate import read_verdict
from pyr.gate.spec import Finding
from pyr.report import forgetting
from pyr.report.forgetting import Matrix
from pyr.report.outline import finding_rank
from pyr.report.provenance import flat
from pyr.schema import Run, State
from pyr.store import Results, Store
from pyr.training import checkpoints
from pyr.training.order import LOG, read_log
from pyr.training.recipe import Curriculum

if TYPE_CHECKING:
    from pyr.training.curriculum import Passage, RunOutcome

_POINTS = 80
"""Of a phase's loss curve: each is the mean of the steps around it."""
_STATED = {
    "device": "evaluated on",
    "dtype": "dtype",
    "machine": "machine",
    "python": "python",
    "threads": "threads",
}
"""Keys of a run's environment, as the report words them."""


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
    report: str
    """Its own report, from the folder of the run; empty where none was written."""
    evaluated: str
    """When that run ended."""
    order: str
    """sha256 of what the phase was asked to do, and of the weights that came of it."""
    weights: str
    findings: tuple[Finding, ...]
    losses: tuple[Point, ...]


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
    matrix: Matrix | None = None
    """What was forgotten; None before the second phase."""
    trails: dict[str, tuple[Point, ...]] = field(default_factory=dict)
    """Every task's main measures over the legs."""
    chances: dict[str, float] = field(default_factory=dict)
    """What guessing would score, by measure, where the items' choices are known."""
    facts: tuple[tuple[str, str], ...] = ()
    """Seed, dates, device and versions: a label and what is said of it."""

    @property
    def tokens(self) -> int:
        """Training tokens of the whole run."""
        return max((leg.end for leg in self.legs), default=0)

    @property
    def seconds(self) -> float:
        """Spent in training steps."""
        return sum(leg.seconds for leg in self.legs)


def collect(curriculum: Curriculum, outcome: RunOutcome, output: Path, store: Store) -> Course:
    """The run that lies in `output`, as far as `outcome` says that it came."""
    results = [store.results(store.run(passage.run)) for passage in outcome.passages]
    runs = [each.run for each in results]
    legs = tuple(_legs(curriculum, zip(outcome.passages, runs, strict=True), output))
    return Course(
        recipe=curriculum.recipe.name,
        description=curriculum.recipe.description,
        state=outcome.state,
        planned=tuple(phase.name for phase in curriculum.phases),
        legs=legs,
        matrix=forgetting.matrix(results[-1], results[:-1]) if results else None,
        trails=score_history(results).lines,
        chances=_chances(results[-1], store) if results else {},
        facts=tuple(_facts(curriculum, runs)),
    )


def _chances(results: Results, store: Store) -> dict[str, float]:
    return chances(store.documents(results.run), compare(results, None))


def _facts(curriculum: Curriculum, runs: Sequence[Run]) -> Iterator[tuple[str, str]]:
    """What the runs were measured with; where they differ, every value once."""
    yield "seed of the recipe", str(curriculum.recipe.seed)
    if not runs:
        return
    yield "evaluated", f"{runs[0].started} to {runs[-1].finished}"
    yield "engine", _once(run.engine_used for run in runs)
    stated = [flat(run.environment) for run in runs]
    for key in dict.fromkeys(key for each in stated for key in each):
        if key in _STATED or key.startswith("versions."):
            label = _STATED.get(key, key.removeprefix("versions."))
            yield label, _once(each.get(key, "") for each in stated)


def _once(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(value for value in values if value))


def _legs(
    curriculum: Curriculum, passages: Iterable[tuple[Passage, Run]], output: Path
) -> Iterator[Leg]:
    for passage, run in passages:
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
            report=_from(output, passage.report),
            evaluated=run.finished,
            order=str(about.get("digest", "")),
            weights=run.checkpoint.digests.get("weights", ""),
            findings=tuple(sorted(verdict.findings, key=finding_rank)),
            losses=tuple(_thinned(lines, phase.name)),
        )


def _from(folder: Path, file: Path) -> str:
    return Path(os.path.relpath(file, folder)).as_posix()


def _thinned(lines: Sequence[dict[str, float]], phase: str) -> Iterator[Point]:
    size = max(1, -(-len(lines) // _POINTS))
    for first in range(0, len(lines), size):
        some = lines[first : first + size]
        mean = sum(line["loss"] for line in some) / len(some)
        middle = some[len(some) // 2]
        yield Point(int(middle["tokens"]), mean, f"step {middle['step']:.0f}", phase)
