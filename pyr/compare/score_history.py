"""Earlier checkpoints of the same training: which they are, in which order, and what they scored.

One rule each for three questions that noise, signal checks, charts and the forgetting table ask:
whether two checkpoints are of one phase or one training, how far along a checkpoint is, and what a
metric scored on the way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pyr.compare import versions
from pyr.compare.limits import Interval, interval
from pyr.compare.scores import averaged, scores
from pyr.schema import Axis, Checkpoint, Estimate, Run
from pyr.store import Results

_NUMBER = re.compile(r"[-_]?(?:step|checkpoint)[-_]?\d+.*$")
_MEAN = re.compile(r" \(mean of \d+\)$")
FEWEST_POINTS = 3
"""A line through fewer checkpoints shows nothing."""


# ------------------------------------------------------------------ which belong together


def phase_of(checkpoint: Checkpoint) -> tuple[str, str]:
    """What the checkpoints of one phase have in common: the phase, the name up to the step."""
    name = _MEAN.sub("", checkpoint.name)
    if checkpoint.phase and checkpoint.step is not None:
        name = name.removesuffix(f"-{checkpoint.step}")
    return checkpoint.phase, _NUMBER.sub("", name)


def training_of(checkpoint: Checkpoint) -> str | tuple[str, str]:
    """What the checkpoints of all phases of one training have in common: the recipe's name.

    A checkpoint that knows no phase is of a training of one phase.
    """
    if not checkpoint.phase:
        return phase_of(checkpoint)
    name = _MEAN.sub("", checkpoint.name)
    recipe = re.sub(rf"-{re.escape(checkpoint.phase)}(-\d+)?$", "", name)
    return recipe or phase_of(checkpoint)


def same_training(candidate: Run, runs: Iterable[Run]) -> list[Run]:
    """The finished runs of the candidate's training by the same engine, under whatever suite.

    Means of several checkpoints are left out: they stand beside the checkpoints they are made of.
    """
    own = training_of(candidate.checkpoint)
    found = []
    for run in runs:
        comparable = bool(run.finished) and run.engine == candidate.engine and averaged(run) == 1
        if comparable and training_of(run.checkpoint) == own:
            found.append(run)
    return found


def same_question(candidate: Run, runs: Iterable[Run]) -> list[Run]:
    """Those of `same_training` that were asked the candidate's suite, under like libraries."""
    return [
        run
        for run in same_training(candidate, runs)
        if run.suite_digest == candidate.suite_digest and not versions.between(candidate, run)
    ]


# ------------------------------------------------------------------ how far along they are


def axis_of(runs: Iterable[Run]) -> Axis:
    """Tokens where every run that knows its place knows its tokens, else steps."""
    for run in runs:
        if run.checkpoint.tokens is None and run.checkpoint.step is not None:
            return "step"
    return "tokens"


def in_order(results: Iterable[Results], axis: Axis) -> list[Results]:
    """The results that have a place on the axis, each run once, by place.

    A phase of preferences counts no tokens: it comes behind the one that it started from, which
    began earlier.
    """
    once = {each.run.id: each for each in results}.values()
    placed = [each for each in once if each.run.checkpoint.reached(axis) is not None]

    def place(each: Results) -> tuple[int, str, str]:
        return (each.run.checkpoint.reached(axis) or 0, each.run.started, each.run.id)

    return sorted(placed, key=place)


# ------------------------------------------------------------------ what they scored


@dataclass(frozen=True, slots=True)
class Point:
    """One metric at one checkpoint."""

    x: int
    """Training tokens seen, or the step."""
    value: float
    checkpoint: str
    phase: str
    estimate: Estimate | None = None
    """None of what has no error, as a training loss."""

    @property
    def interval(self) -> Interval | None:
        """The two-sided 95% interval, the same as in a report's table; None without an error."""
        if self.estimate is None or not math.isfinite(self.estimate.se):
            return None
        return interval(self.estimate, 0.95)

    @property
    def low(self) -> float:
        """The lower end of the interval; the value itself without one."""
        known = self.interval
        return known.low if known else self.value

    @property
    def high(self) -> float:
        """The upper end of the interval; the value itself without one."""
        known = self.interval
        return known.high if known else self.value


@dataclass(frozen=True, slots=True)
class ScoreHistory:
    """Every metric's scores over the checkpoints of one training."""

    axis: Axis
    points: dict[str, tuple[Point, ...]]
    """By ``task/metric``, in the order of the axis."""
    left_out: tuple[str, ...] = ()
    """Runs that have no place on the axis."""
    phase: tuple[Results, ...] = field(default=(), repr=False)
    """The checkpoints of the candidate's phase up to itself: what noise and signal rest on."""

    @property
    def lines(self) -> dict[str, tuple[Point, ...]]:
        """The metrics that can be drawn: those of three checkpoints or more."""
        long = {}
        for name, points in self.points.items():
            if len(points) >= FEWEST_POINTS:
                long[name] = points
        return long


def score_history(results: Sequence[Results], candidate: Results | None = None) -> ScoreHistory:
    """What the given runs scored, in order.

    candidate: the run that is judged, itself among the results or not; its phase is picked out.
    """
    every = [*results, candidate] if candidate is not None else list(results)
    axis = axis_of(each.run for each in every)
    ordered = in_order(every, axis)
    points: dict[str, list[Point]] = {}
    for each in ordered:
        checkpoint = each.run.checkpoint
        x = checkpoint.reached(axis) or 0
        for (task, metric), measured in sorted(scores(each).items()):
            known = measured.estimate
            if known is not None and math.isfinite(known.value):
                point = Point(x, known.value, checkpoint.name, checkpoint.phase, known)
                points.setdefault(f"{task}/{metric}", []).append(point)
    left_out = {each.run.id for each in every} - {each.run.id for each in ordered}
    return ScoreHistory(
        axis=axis,
        points={name: tuple(way) for name, way in points.items()},
        left_out=tuple(sorted(left_out)),
        phase=tuple(phase_history(candidate, results)) if candidate is not None else (),
    )


def phase_history(candidate: Results, history: Sequence[Results]) -> list[Results]:
    """The checkpoints of the candidate's phase up to itself, in order.

    Only finished runs of the same suite and engine count, of one checkpoint the latest. Empty if
    the candidate has no place.
    """
    run = candidate.run
    by_id = {each.run.id: each for each in history}
    if averaged(run) == 1:
        by_id[run.id] = candidate
    alike = same_question(run, (each.run for each in by_id.values()))
    by_digest = {}
    for each in alike:
        # Runs in stages hold different items, so that their scores are no one trajectory.
        if not each.asked and phase_of(each.checkpoint) == phase_of(run.checkpoint):
            by_digest[each.checkpoint.digest] = by_id[each.id]
    axis = axis_of([run, *(each.run for each in by_digest.values())])
    last = run.checkpoint.reached(axis)
    if last is None:
        return []
    ordered = in_order(by_digest.values(), axis)
    return [each for each in ordered if (each.run.checkpoint.reached(axis) or 0) <= last]
