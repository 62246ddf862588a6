"""Estimates -> confidence limits and p-values.

Three kinds of estimate, by what is known of them:

    plain     t on the clusters that count, or Hall's transformation where that reaches farther
    shares    a graded measure (right or wrong, or a simple fraction of right): exact limits of the
              shares gained and lost, joined
    noise     either of these, with the noise from checkpoint to checkpoint joined to it

What a gate acts on is one-sided, and exact: a true drop at the margin passes at most one time in
twenty, however few answers changed. What people read is two-sided, and right on average (mid-p):
exact limits, being of whole answers, would hold the truth 97% of the time where ten changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from pyr.schema import Estimate, Noise, Shares

_SMALLEST_TAIL = 1e-16


@dataclass(frozen=True, slots=True)
class Interval:
    """Confidence limits; infinite on both sides where nothing is known."""

    low: float
    high: float


def interval(estimate: Estimate, confidence: float, *, sides: Literal[1, 2] = 2) -> Interval:
    """The confidence limits of an estimate.

    sides=1: each of the two is a one-sided limit at `confidence`, exact where there are shares.
    A standard error of 0 without shares is a census: both limits are the value.
    """
    proportion = _exact if sides == 1 else _mid_p
    return _limits(estimate, (1 - confidence) / sides, proportion)


def one_sided_p(estimate: Estimate, bound: float, side: Literal["above", "below"]) -> float | None:
    """p-value of a true value on that side of `bound` or on it; None without a standard error.

    The largest tail whose one-sided limit still holds the bound: from 1e-16 to 0.5.
    """
    if not math.isfinite(estimate.se):
        return None
    if estimate.shares is None and estimate.noise is None:
        return _plain_p(estimate, bound, side)

    def holds(tail: float) -> bool:
        limits = _limits(estimate, tail, _exact)
        return limits.high >= bound if side == "above" else limits.low <= bound

    return largest_tail(holds)


def _plain_p(estimate: Estimate, bound: float, side: Literal["above", "below"]) -> float:
    """The same in closed form: the larger p of t and of Hall's transformation."""
    sign = 1 if side == "above" else -1
    gap = sign * (bound - estimate.value)
    if gap <= 0:
        return 0.5
    if estimate.se == 0:
        return _SMALLEST_TAIL
    distance = gap / estimate.se
    nearest = min(distance, _skewed(distance, -sign * estimate.skew))
    if not estimate.freedom:
        return max(_SMALLEST_TAIL, float(special.ndtr(-nearest)))
    return max(_SMALLEST_TAIL, float(special.stdtr(estimate.freedom, -nearest)))


def p_value(estimate: Estimate) -> float | None:
    """Two-sided p-value of a true value of 0; None where there is no standard error."""
    sides: tuple[Literal["above"], Literal["below"]] = ("above", "below")
    p = one_sided_p(estimate, 0, sides[estimate.value > 0])
    return None if p is None else min(1.0, 2 * p)


def reach(estimate: Estimate, tail: float, side: Literal["above", "below"]) -> float:
    """How far the exact one-sided limit of the items alone lies from the value."""
    above, below = _item_reach(estimate, tail, _exact)
    return above if side == "above" else below


def noise_reach(noise: Noise | None, tail: float) -> float:
    """How far checkpoint noise alone may carry the value: t, two degrees less for the trend."""
    return -float(special.stdtrit(noise.checkpoints - 2, tail)) * noise.sd if noise else 0.0


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p-value that an answer is as likely gained as lost.

    gained, lost: items that only the one or only the other run has right (McNemar 1947).
    """
    changed = gained + lost
    return min(1.0, 2 * float(special.bdtr(min(gained, lost), changed, 0.5)))


def half_width(shares: Shares) -> float:
    """Half the two-sided 95% limits of shares over 1.96: a standard error to print and rank by."""
    above, below = _share_reach(shares, 0.025, _mid_p)
    return float((above + below) / 2 / special.ndtri(0.975))


# ------------------------------------------------------------------ joined limits

_Proportion = Callable[[float, float, float], Interval]


def _limits(estimate: Estimate, tail: float, proportion: _Proportion) -> Interval:
    """Variance estimates recovery: independent errors join as the roots of their squares.

    Zou & Donner 2008, Statistics in Medicine 27; each error keeps its own degrees of freedom.
    """
    if estimate.se == 0 and estimate.shares is None and estimate.noise is None:
        return Interval(estimate.value, estimate.value)
    above, below = _item_reach(estimate, tail, proportion)
    drift = noise_reach(estimate.noise, tail)
    return Interval(
        estimate.value - math.hypot(below, drift), estimate.value + math.hypot(above, drift)
    )


def _item_reach(estimate: Estimate, tail: float, proportion: _Proportion) -> tuple[float, float]:
    """How far the limits lie above and below the value, by the noise of the items."""
    if estimate.se == 0 and estimate.shares is None:
        return 0.0, 0.0
    if not math.isfinite(estimate.se):
        return math.inf, math.inf
    t = _t(estimate, tail)
    if estimate.shares is not None:
        # Few clusters: as many items fewer as t is wider (Korn & Graubard 1998).
        scale = (float(special.ndtri(tail)) / t) ** 2 if tail < 0.5 else 1.0
        shares = Shares(estimate.shares.gained, estimate.shares.lost, estimate.shares.n * scale)
        return _share_reach(shares, tail, proportion)
    return (
        estimate.se * max(t, -_unskewed(-t, estimate.skew)),
        estimate.se * max(t, _unskewed(t, estimate.skew)),
    )


def _t(estimate: Estimate, tail: float) -> float:
    if not estimate.freedom:
        return -float(special.ndtri(tail))
    return -float(special.stdtrit(estimate.freedom, tail))


def _unskewed(z: float, skew: float) -> float:
    """Inverse of the cubic transformation that takes the skewness out of a mean.

    Hall 1992, Journal of the Royal Statistical Society B 54. Taken only where it is farther out
    than z: near nothing, and heavy tails make it too short.
    """
    if abs(skew) < 1e-6:
        return z
    return 3 / skew * (float(np.cbrt(1 + skew * (z - skew / 6))) - 1)


def _skewed(z: float, skew: float) -> float:
    """Hall's transformation itself."""
    if abs(skew) < 1e-6:
        return z
    return ((1 + skew * z / 3) ** 3 - 1) / skew + skew / 6


# ------------------------------------------------------------------ shares


def _share_reach(shares: Shares, tail: float, proportion: _Proportion) -> tuple[float, float]:
    """The limits of gained - lost, above and below: two correlated shares of one total, joined.

    Zou & Donner 2008; Newcombe 1998 is the same with Wilson's limits. With no change at all the
    reach is the rule of three.
    """
    gain = proportion(shares.gained, shares.n, tail)
    up, down = gain.high - shares.gained, shares.gained - gain.low
    if shares.lost is None:
        return up, down
    loss = proportion(shares.lost, shares.n, tail)
    correlation = _correlation(shares.gained, shares.lost)
    return (
        _joined(up, shares.lost - loss.low, correlation),
        _joined(down, loss.high - shares.lost, correlation),
    )


def _correlation(gained: float, lost: float) -> float:
    """Of two shares of one total (multinomial): -1 where they are all of it."""
    others = max((1 - gained) * (1 - lost), gained * lost)
    return -math.sqrt(gained * lost / others) if others else 0.0


def _joined(a: float, b: float, correlation: float) -> float:
    return math.sqrt(max(0.0, a**2 + b**2 - 2 * correlation * a * b))


def _exact(share: float, n: float, tail: float) -> Interval:
    """Limits of a proportion that miss it at most `tail` of the time on each side.

    Clopper & Pearson 1934, Biometrika 26.
    """
    hits, misses = share * n, (1 - share) * n
    low = special.betaincinv(hits, misses + 1, tail) if hits > 0 else 0.0
    high = special.betaincinv(hits + 1, misses, 1 - tail) if misses > 0 else 1.0
    return Interval(float(low), float(high))


def _mid_p(share: float, n: float, tail: float) -> Interval:
    """The same, counting half of the observed outcome: right on average.

    Berry & Armitage 1995, The Statistician 44.
    """
    return Interval(1 - _mid_p_high(1 - share, n, tail), _mid_p_high(share, n, tail))


def _mid_p_high(share: float, n: float, tail: float) -> float:
    hits, misses = share * n, (1 - share) * n
    if misses <= 0:
        return 1.0

    def seldom(p: float) -> float:
        """P(fewer hits) + half of P(just so many), less the tail."""
        fewer = 1 - special.betainc(hits, misses + 1, p) if hits > 0 else 0.0
        no_more = 1 - special.betainc(hits + 1, misses, p)
        return float((fewer + no_more) / 2 - tail)

    low, high = share, _exact(share, n, tail).high
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if seldom(middle) > 0 else (low, middle)
    return (low + high) / 2


def largest_tail(holds: Callable[[float], bool]) -> float:
    """The largest tail at which the bound is still inside, by bisection of its logarithm."""
    if holds(0.5):
        return 0.5
    if not holds(_SMALLEST_TAIL):
        return _SMALLEST_TAIL
    low, high = math.log(_SMALLEST_TAIL), math.log(0.5)
    for _ in range(36):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(math.exp(middle)) else (low, middle)
    return math.exp(low)
