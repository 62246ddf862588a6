"""The small marks inside the page's tables: where an interval lies, and a sparkline's path.

Interval marks are in percent of the cell, so that they fit every width; to the right is always
better, whatever the measure's own direction.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyr.compare import Point
from pyr.report.measures import Measure

SPARK_WIDTH, SPARK_HEIGHT = 96, 24
_EDGE = 2.0
"""Percent of the cell kept free at either end."""


@dataclass(frozen=True, slots=True)
class Mark:
    """An interval with its middle, in percent of the cell's width."""

    low: float
    high: float
    at: float
    tick: float | None
    """Where chance stands, under a score of its own; None draws nothing."""
    limit: float | None = None
    """How far a rule lets the measure fall."""
    cut: bool = False
    """True if the interval reaches beyond the scale."""


@dataclass(frozen=True, slots=True)
class Spark:
    """A line through a measure's checkpoints, in pixels."""

    path: str
    x: float
    y: float
    """The candidate's own point."""


def scales(measures: Sequence[Measure]) -> dict[str, float]:
    """What the edge of the cell means, by `scale_name`.

    Wide enough for all that changed or has a rule; the few intervals that are wider still (tasks
    of a dozen items) are cut rather than squeezing the rest to dots.
    """
    reaches: dict[str, list[float]] = {}
    telling: dict[str, list[float]] = {}
    for measure in measures:
        reach = _reach(measure)
        if reach is None or reach == 0:
            continue
        reaches.setdefault(scale_name(measure), []).append(reach)
        if measure.word in ("worse", "better") or measure.rule is not None:
            telling.setdefault(scale_name(measure), []).append(reach)
    return {
        name: 1.05 * max(telling.get(name, [statistics.median(found)]))
        for name, found in reaches.items()
    }


def scale_name(measure: Measure) -> str:
    """Measures of one unit share a scale: all fractions, all bits/byte; else the same metric."""
    return "fractions" if measure.fraction else measure.unit or measure.metric


def difference(measure: Measure, scale: Mapping[str, float]) -> Mark | None:
    """The mark of a difference, zero in the middle; None if there is nothing to draw."""
    reach = scale.get(scale_name(measure))
    if reach is None or measure.delta is None or not math.isfinite(measure.delta.value):
        return None
    sign = 1.0 if measure.direction == "higher" else -1.0
    low = measure.delta.value if measure.low is None else measure.low
    high = measure.delta.value if measure.high is None else measure.high
    ends = sorted((sign * low, sign * high))
    return Mark(
        low=_percent(ends[0], reach),
        high=_percent(ends[1], reach),
        at=_percent(sign * measure.delta.value, reach),
        tick=None,
        limit=_percent(-measure.limit, reach) if measure.limit else None,
        cut=max(abs(ends[0]), abs(ends[1])) > reach,
    )


def score(measure: Measure) -> Mark | None:
    """The mark of a score between 0 and 1 with its interval; the tick is what guessing gives."""
    if measure.candidate is None or not measure.fraction:
        return None
    value = measure.candidate.value
    least = value if measure.least is None else measure.least
    most = value if measure.most is None else measure.most
    return Mark(
        low=100 * max(0.0, least),
        high=100 * min(1.0, most),
        at=100 * value,
        tick=100 * measure.chance if measure.chance is not None else None,
    )


def spark(ways: Sequence[Point], at: int | None) -> Spark | None:
    """A sparkline over a measure's checkpoints; the scale is its own range.

    at: the candidate's place; the last point where it has none.
    """
    if len(ways) < 2:
        return None
    xs, values = [point.x for point in ways], [point.value for point in ways]
    if max(values) > 30 * min(values) > 0:
        values = [math.log(value) for value in values]
    left, bottom = min(xs), min(values)
    wide, tall = max(xs) - left or 1, max(values) - bottom or 1.0
    spots = [
        (
            3 + (SPARK_WIDTH - 6) * (x - left) / wide,
            3 + (SPARK_HEIGHT - 6) * (1 - (value - bottom) / tall),
        )
        for x, value in zip(xs, values, strict=True)
    ]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
    mine = spots[xs.index(at)] if at in xs else spots[-1]
    return Spark(path=path, x=round(mine[0], 1), y=round(mine[1], 1))


def _reach(measure: Measure) -> float | None:
    bounds = [measure.low, measure.high, measure.delta.value if measure.delta else None]
    known = [abs(bound) for bound in bounds if bound is not None and math.isfinite(bound)]
    return max(known, default=None)


def _percent(value: float, reach: float) -> float:
    share = max(-1.0, min(1.0, value / reach))
    return round(50 + share * (50 - _EDGE), 2)
