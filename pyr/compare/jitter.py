"""The smallest difference worth reading: what changes where nothing should."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pyr.compare.differences import compare
from pyr.compare.noise import with_noise
from pyr.schema import Comparison
from pyr.store import Results


@dataclass(frozen=True, slots=True)
class Jitter:
    """How one measure differs though the checkpoint is the same, and between neighbours."""

    measure: str
    arithmetic: Mapping[str, float]
    """|difference| of the same weights under another batch size or number format, by its name."""
    neighbours: float | None
    """Half the 95% interval of a difference of neighbouring checkpoints; None without any."""
    checkpoints: int
    """Whose noise the neighbours' interval holds besides that of the items; 0 with too few."""
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
            if row.delta is not None and not row.exact:
                found.setdefault(row.measure, {})[name] = abs(row.delta.value)
    widths = _widths(neighbours)
    return [
        Jitter(
            measure=measure,
            arithmetic=found.get(measure, {}),
            neighbours=widths[measure].half if measure in widths else None,
            checkpoints=widths[measure].checkpoints if measure in widths else 0,
            smallest=max(found.get(measure, {"": 0.0}).values())
            + (widths[measure].half if measure in widths else 0.0),
        )
        for measure in sorted({*found, *widths})
    ]


class _Width(NamedTuple):
    half: float
    checkpoints: int


def _widths(runs: Sequence[Results]) -> dict[str, _Width]:
    """Of every measure, the median half width of the interval between neighbours.

    Where the last of them are checkpoints enough to tell their noise, that of the last two, joined.
    """
    if len(runs) < 2:
        return {}
    widths: dict[str, list[_Width]] = {}
    for later, earlier in zip(runs[1:], runs[:-1], strict=True):
        for row in compare(later, earlier):
            widths.setdefault(row.measure, []).extend(_width(row))
    found = {name: sorted(each)[len(each) // 2] for name, each in widths.items() if each}
    joined = with_noise(compare(runs[-1], runs[-2]), runs[-1], runs[-2], runs)
    known = {row.measure: width for row in joined for width in _width(row) if width.checkpoints}
    return found | known


def _width(row: Comparison) -> Iterator[_Width]:
    if row.low is not None and row.high is not None and not row.exact:
        if math.isfinite(row.high):
            noise = row.delta.noise if row.delta else None
            yield _Width((row.high - row.low) / 2, noise.checkpoints if noise else 0)
