"""The smallest difference worth reading: what changes where nothing should."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyr.compare.differences import compare
from pyr.compare.measures import COUNTED
from pyr.store import Results


@dataclass(frozen=True, slots=True)
class Jitter:
    """How one measure differs though the checkpoint is the same, and between neighbours."""

    measure: str
    arithmetic: Mapping[str, float]
    """|difference| of the same weights under another batch size or number format, by its name."""
    neighbours: float | None
    """Half the 95% interval of a difference of neighbouring checkpoints; None without any."""
    smallest: float
    """A difference below this is nothing: the arithmetic's worst and the neighbours' together."""


def jitter(
    reference: Results, variants: Mapping[str, Results], neighbours: Sequence[Results] = ()
) -> list[Jitter]:
    """What the same checkpoint scores under other arithmetic, and its neighbours, by measure.

    variants: runs of the same weights and suite, by what was changed. neighbours: other
    checkpoints of the training, in order, the reference among them or not.
    """
    found: dict[str, dict[str, float]] = {}
    for name, variant in variants.items():
        for row in compare(variant, reference):
            if row.delta is not None and row.unit not in COUNTED:
                found.setdefault(row.measure, {})[name] = abs(row.delta.value)
    widths = _widths(neighbours)
    return [
        Jitter(
            measure=measure,
            arithmetic=found.get(measure, {}),
            neighbours=widths.get(measure),
            smallest=max(found.get(measure, {"": 0.0}).values()) + widths.get(measure, 0.0),
        )
        for measure in sorted({*found, *widths})
    ]


def _widths(runs: Sequence[Results]) -> dict[str, float]:
    """Of every measure, the median half width of the interval between neighbours."""
    widths: dict[str, list[float]] = {}
    for later, earlier in zip(runs[1:], runs[:-1], strict=True):
        for row in compare(later, earlier):
            if row.low is not None and row.high is not None and math.isfinite(row.high):
                widths.setdefault(row.measure, []).append((row.high - row.low) / 2)
    return {name: sorted(each)[len(each) // 2] for name, each in widths.items()}
