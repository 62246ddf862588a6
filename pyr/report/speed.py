"""Speeds beside speeds: whether two runs' machines were equally fast, and rates of readable size.

The throughput probe measures what the machine itself could do when it ran. Where that differs
between two runs, so do all speeds, whatever the models are like.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyr.report import words
from pyr.schema import Comparison, Estimate, Kind

if TYPE_CHECKING:
    from pyr.report.measures import Measure

ALIKE = 1.1
"""Two machines are equally fast where neither has this many times the other's peak."""
_PEAKS = {"matrix_peak": "matrix products", "memory_bandwidth": "memory"}
"""What the machine's peaks are called in a sentence."""
SPEEDS: tuple[Kind, ...] = ("speed", "machine")
"""What depends on how fast the machine is; memory does not."""


def other_speed(comparisons: Sequence[Comparison | Measure]) -> str:
    """Why the speeds of the two runs do not compare; empty where nothing speaks against it."""
    said = []
    for row in comparisons:
        if row.kind != "machine" or row.candidate is None or row.baseline is None:
            continue
        now, before = row.candidate.value, row.baseline.value
        if min(now, before) > 0 and max(now, before) > ALIKE * min(now, before):
            factor, unit = words.prefix(row.unit, now, before)
            rates = [words.number(value / factor) for value in (now, before)]
            what = _PEAKS.get(row.metric, row.metric)
            said.append(f"{what} {rates[0]} {unit}, {rates[1]} for the baseline")
    if not said:
        return ""
    return f"The machine was not equally fast for both ({'; '.join(said)}): speeds do not compare."


def readable(measure: Measure) -> Measure:
    """The same measure for reading: bytes and operations in GB or GFLOP/s."""
    known = [each.value for each in (measure.candidate, measure.baseline) if each is not None]
    factor, unit = words.prefix(measure.unit, *known)
    if factor == 1:
        return measure

    def scaled(value: float | None) -> float | None:
        return None if value is None else value / factor

    def shown(estimate: Estimate | None) -> Estimate | None:
        if estimate is None:
            return None
        return dataclasses.replace(
            estimate, value=estimate.value / factor, se=estimate.se / factor, shares=None
        )

    return dataclasses.replace(
        measure,
        unit=unit,
        candidate=shown(measure.candidate),
        baseline=shown(measure.baseline),
        delta=shown(measure.delta),
        least=scaled(measure.least),
        most=scaled(measure.most),
        low=scaled(measure.low),
        high=scaled(measure.high),
    )
