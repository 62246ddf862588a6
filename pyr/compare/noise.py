"""How much a score differs from one checkpoint to the next for no lasting reason.

Items are only one source of error. Two neighbouring checkpoints of one training differ also by
which batches came last; a gate that knows only its items takes that for progress or loss. What no
single training can tell is how another seed would have fared.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from pyr.compare.averages import averaged
from pyr.compare.differences import compare
from pyr.compare.limits import interval, p_value
from pyr.compare.score_history import axis_of, phase_history
from pyr.schema import Comparison, Estimate, Noise
from pyr.store import Results

FEWEST, MOST = 5, 9
"""Checkpoints to measure noise on: with fewer it is a guess, with more the trend is no line."""
FALL = 0.99
"""Noise alone takes the newest score that far down less often than one time in a hundred."""


def fallen(places: Sequence[float], scores: Sequence[float]) -> bool:
    """True if the newest score, more being better, lies far below where the others lead.

    They lead to their straight line, or to the last of them if that is lower: a climb that slows
    down is no fall. What is tested is the deleted residual (Cook & Weisberg 1982, 2.2) of the
    newest of `MOST` scores at most; fewer than `FEWEST` are never a fall.
    """
    if len(scores) < FEWEST:
        return False
    x, y = np.asarray(places[-MOST:-1]), np.asarray(scores[-MOST:-1])
    line = np.polynomial.Polynomial.fit(x, y, 1)
    depth = min(float(line(places[-1])), float(y[-1])) - scores[-1]
    across = float(np.sum((x - x.mean()) ** 2))
    freedom = len(y) - 2
    if across == 0 or depth <= 1e-9 * float(np.max(np.abs([*y, scores[-1]]))):
        return False
    far = 1 + 1 / len(y) + (places[-1] - float(x.mean())) ** 2 / across
    error = np.sqrt(float(np.sum((y - line(x)) ** 2)) / freedom * far)
    return bool(depth > error * stats.t.ppf(FALL, freedom))


def with_noise(
    comparisons: Sequence[Comparison],
    candidate: Results,
    baseline: Results | None,
    history: Sequence[Results],
) -> list[Comparison]:
    """The comparisons, their errors joined with checkpoint noise where history shows it.

    A measure's noise is the standard deviation of its score over the last checkpoints of the
    candidate's training, five to nine of them, about a straight line, less what the items explain
    of it: sqrt(max(0, RSS / (K - 2) - mean(se^2) / 2)), se of the differences of neighbours. It
    counts for both sides of a difference, and less for a mean of k checkpoints: 1/k. A newest
    checkpoint that has `fallen` is left out: a collapse would otherwise excuse itself.
    """
    known = _noises(phase_history(candidate, history)[-MOST:])
    ours = 1 / averaged(candidate.run)
    both = ours + (1 / averaged(baseline.run) if baseline else 0)
    return [
        _joined(row, known[row.measure], ours, both) if row.measure in known else row
        for row in comparisons
    ]


def _joined(row: Comparison, noise: Noise, ours: float, both: float) -> Comparison:
    delta = _noisy(row.delta, noise, both)
    limits = interval(delta, 0.95) if delta and np.isfinite(delta.se) else None
    return dataclasses.replace(
        row,
        candidate=_noisy(row.candidate, noise, ours),
        delta=delta,
        low=limits.low if limits else None,
        high=limits.high if limits else None,
        p=p_value(delta) if delta and noise.sd > 0 else row.p,
    )


def _noisy(estimate: Estimate | None, noise: Noise, share: float) -> Estimate | None:
    if estimate is None:
        return None
    mine = Noise(noise.sd * float(np.sqrt(share)), noise.checkpoints)
    return dataclasses.replace(estimate, noise=mine)


def _noises(runs: Sequence[Results]) -> dict[str, Noise]:
    """The noise of one checkpoint, by measure; of measures that five or more runs hold."""
    if len(runs) < FEWEST:
        return {}
    axis = axis_of(each.run for each in runs)
    places = [float(each.run.checkpoint.reached(axis) or 0) for each in runs]
    pairs = zip(runs[1:], runs[:-1], strict=True)
    steps: dict[str, list[Estimate]] = {}
    signs: dict[str, float] = {}
    for number, (later, earlier) in enumerate(pairs):
        for row in compare(later, earlier):
            # A gap ends the way: what is needed is an unbroken one up to the candidate.
            if row.exact or row.delta is None:
                continue
            step = row.delta
            if step.value == 0 and not np.isfinite(step.se):
                # No item moved: what that leaves open is no part of what was seen to.
                step = dataclasses.replace(step, se=0.0)
            if not np.isfinite(step.se):
                continue
            way = steps.setdefault(row.measure, [])
            if len(way) == number:
                way.append(step)
                signs[row.measure] = 1.0 if row.direction == "higher" else -1.0
    whole = len(runs) - 1
    found = {}
    for name, way in steps.items():
        noise = _before_a_fall(places, way, signs[name]) if len(way) == whole else None
        if noise is not None:
            found[name] = noise
    return found


def _before_a_fall(places: Sequence[float], steps: Sequence[Estimate], sign: float) -> Noise | None:
    """The noise without a newest checkpoint that fell; sign: 1 where more is better, else -1."""
    kept = len(steps) - fallen(places, [sign * score for score in _scores(steps)])
    return _noise(places[: kept + 1], steps[:kept]) if kept + 1 >= FEWEST else None


def _scores(steps: Sequence[Estimate]) -> list[float]:
    """The scores that these differences of neighbours lead through, from nought."""
    return [0.0, *np.cumsum([step.value for step in steps])]


def _noise(places: Sequence[float], steps: Sequence[Estimate]) -> Noise:
    scores = np.asarray(_scores(steps))
    line = np.polynomial.Polynomial.fit(places, scores, 1)
    rest = float(np.sum((scores - line(np.asarray(places))) ** 2)) / (len(scores) - 2)
    items = float(np.mean([step.se**2 for step in steps])) / 2
    return Noise(float(np.sqrt(max(0.0, rest - items))), len(scores))


# ------------------------------------------------------------------ numerical noise


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
