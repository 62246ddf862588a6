"""Where a checkpoint's scores come from: the same measures at the checkpoints before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pyr.compare import compare
from pyr.schema import Axis
from pyr.store import Results


@dataclass(frozen=True, slots=True)
class Point:
    """One measure at one checkpoint."""

    x: int
    """Training tokens seen, or the step where no run knows its tokens."""
    value: float
    se: float | None
    checkpoint: str
    phase: str


@dataclass(frozen=True, slots=True)
class Trails:
    """Every measure's way through the checkpoints."""

    axis: Axis
    points: dict[str, tuple[Point, ...]]
    """By ``task/metric``, in the order of `axis`; three or more points each."""
    left_out: tuple[str, ...]
    """Runs that know neither tokens nor step."""


def follow(results: Sequence[Results]) -> Trails:
    """The way of every measure through the given runs; each run counts once.

    Tokens are the axis as soon as two checkpoints know theirs, steps otherwise.
    """
    once = {each.run.id: each for each in results}
    with_tokens = sum(each.run.checkpoint.tokens is not None for each in once.values())
    axis: Axis = "tokens" if with_tokens >= 2 else "step"
    places = [(each.run.checkpoint.reached(axis), each) for each in once.values()]
    placed = [(x, each) for x, each in places if x is not None]
    left_out = [each.run.id for x, each in places if x is None]
    points: dict[str, list[Point]] = {}
    for x, each in sorted(placed, key=_when):
        for name, point in _points(x, each):
            points.setdefault(name, []).append(point)
    long_enough = {name: tuple(way) for name, way in points.items() if len(way) >= 3}
    return Trails(axis, long_enough, tuple(sorted(left_out)))


def _when(placed: tuple[int, Results]) -> tuple[int, str, str]:
    # A phase of preferences counts no tokens: it comes behind the one that it started from.
    x, results = placed
    return (x, results.run.started, results.run.id)


def _points(x: int, results: Results) -> list[tuple[str, Point]]:
    checkpoint = results.run.checkpoint
    return [
        (
            each.measure,
            Point(
                x=x,
                value=each.candidate.value,
                se=each.candidate.se if math.isfinite(each.candidate.se) else None,
                checkpoint=checkpoint.name,
                phase=checkpoint.phase,
            ),
        )
        for each in compare(results, None)
        if each.candidate is not None and math.isfinite(each.candidate.value)
    ]
