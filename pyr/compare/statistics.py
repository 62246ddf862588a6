"""Standard errors, limits, p-values and corrections: numbers in, numbers out.

Graded measures (0/1, or simple fractions) have two standard errors, the linearised one and one from
exact binomial limits; the larger counts. Without the second, 30 items without a changed answer
would claim a difference of exactly zero. With it, a true drop at a gate's margin passes at most 5%
of the time from n = 30 on; the price is an interval wider by 20% at ten changed answers, 9% at
thirty, 3% at two hundred (35%, 19% and 7% where all changes go one way).

A score of one item, or of one cluster, has no measurable error: its standard error is infinite, its
limits hold all numbers, and no gate can pass on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from pyr.schema import Estimate

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_GRADES = 420
"""Values are grades if they are multiples of 1/420 in 0 to 1: halves up to sevenths."""
_TAIL = 0.025
_Z = float(special.ndtri(1 - _TAIL))


@dataclass(frozen=True, slots=True)
class Interval:
    """Confidence limits; infinite on both sides where nothing is known."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """A weighted mean, and what each item adds to its error."""

    mean: float
    residuals: Floats


def ratio(values: Floats, weights: Floats) -> Ratio:
    """The weighted mean with its residuals w (v - mean) / mean(w).

    Linearisation of a ratio of two means: Cochran 1977, Sampling Techniques, section 6.4. The
    difference of two means over the same items has the difference of their residuals.
    """
    mean = float(np.average(values, weights=weights))
    return Ratio(mean, weights * (values - mean) / weights.mean())


def clustered_se(residuals: Floats, clusters: Codes) -> float:
    """sqrt(G / (G - 1) * sum over clusters of (sum of residuals)^2) / n; infinite for G = 1.

    Miller 2024, arXiv 2411.00640, with the G / (G - 1) of the degrees of freedom.
    """
    _, place = np.unique(clusters, return_inverse=True)
    sums = np.bincount(place, weights=residuals)
    if len(sums) < 2:
        return float(np.inf)
    return float(np.sqrt(len(sums) / (len(sums) - 1) * np.sum(sums**2)) / len(residuals))


# ------------------------------------------------------------------ graded measures


def graded(values: Floats) -> bool:
    """True if the values are grades: right or wrong, or a simple fraction of right."""
    if values.min() < 0 or values.max() > 1:
        return False
    steps = values * _GRADES
    return bool(np.abs(steps - np.round(steps)).max() < 1e-6)


def graded_se(values: Floats, weights: Floats) -> float:
    """The larger side of the exact 95% limits of a proportion, over 1.96; 0 if not graded.

    Clopper & Pearson 1934, Biometrika 26.
    """
    if not graded(values):
        return 0.0
    score = float(np.average(values, weights=weights))
    limits = _proportion_limits(score, _effective_n(weights))
    return max(limits.high - score, score - limits.low) / _Z


def graded_pairs_se(changes: Floats, weights: Floats) -> float:
    """The same for the difference of two graded runs of equal weights over the same items.

    changes: candidate - baseline, item by item. The gains and the losses are two correlated
    proportions, each with its exact limits, joined by the method of variance estimates recovery
    (Zou & Donner 2008, Statistics in Medicine 27; Newcombe 1998 is the same with Wilson's limits).
    With no change at all this is the rule of three. Simulated: tests/test_compare.py.
    """
    n = _effective_n(weights)
    gained = float(np.average(np.maximum(changes, 0), weights=weights))
    lost = float(np.average(np.maximum(-changes, 0), weights=weights))
    gain, loss = _proportion_limits(gained, n), _proportion_limits(lost, n)
    # Two shares of one total: their multinomial correlation, -1 where they are all of it.
    others = max((1 - gained) * (1 - lost), gained * lost)
    correlation = -np.sqrt(gained * lost / others) if others else 0.0
    down = _joined(gained - gain.low, loss.high - lost, correlation)
    up = _joined(gain.high - gained, lost - loss.low, correlation)
    return max(down, up) / _Z


def _joined(a: float, b: float, correlation: float) -> float:
    return float(np.sqrt(a**2 + b**2 - 2 * correlation * a * b))


def _effective_n(weights: Floats) -> float:
    """Kish 1965: the unweighted items that would say as much, sum(w)^2 / sum(w^2)."""
    return float(weights.sum() ** 2 / np.sum(weights**2))


def _proportion_limits(share: float, n: float) -> Interval:
    hits, misses = share * n, (1 - share) * n
    low = special.betaincinv(hits, misses + 1, _TAIL) if hits > 0 else 0.0
    high = special.betaincinv(hits + 1, misses, 1 - _TAIL) if misses > 0 else 1.0
    return Interval(float(low), float(high))


# ------------------------------------------------------------------ limits and p-values


def interval(estimate: Estimate, confidence: float, *, sides: Literal[1, 2] = 2) -> Interval:
    """The confidence limits of an estimate, by t with clusters - 1 degrees of freedom.

    The normal distribution is used where the clusters are unknown (0). sides=1: each of the two is
    a one-sided limit at `confidence`. A standard error of 0 is a census: both are the value.
    """
    if estimate.se == 0:
        return Interval(estimate.value, estimate.value)
    half = quantile(estimate, confidence, sides=sides) * estimate.se
    return Interval(estimate.value - half, estimate.value + half)


def quantile(estimate: Estimate, confidence: float, *, sides: Literal[1, 2] = 2) -> float:
    """How many standard errors the limits of an estimate lie from its value."""
    level = 1 - (1 - confidence) / sides
    if estimate.clusters < 2:
        return float(special.ndtri(level))
    return float(special.stdtrit(estimate.clusters - 1, level))


def p_value(estimate: Estimate) -> float | None:
    """Two-sided p-value of a true value of 0; None where there is no standard error."""
    if not np.isfinite(estimate.se):
        return None
    if estimate.se == 0:
        return 1.0 if estimate.value == 0 else 0.0
    distance = -abs(estimate.value) / estimate.se
    if estimate.clusters < 2:
        return float(2 * special.ndtr(distance))
    return float(2 * special.stdtr(estimate.clusters - 1, distance))


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p-value that an answer is as likely gained as lost.

    gained, lost: items that only the one or only the other run has right (McNemar 1947).
    """
    changed = gained + lost
    return min(1.0, 2 * float(special.bdtr(min(gained, lost), changed, 0.5)))


# ------------------------------------------------------------------ many tests


def benjamini_hochberg(p: Sequence[float | None], q: float) -> list[bool]:
    """Which of several p-values to call discoveries, false ones at most a share `q` of them.

    None is never one, and does not count. Benjamini & Hochberg 1995: the largest i with
    p_(i) <= i q / K.
    """
    known = sorted(value for value in p if value is not None)
    found = [value for i, value in enumerate(known, 1) if value <= i * q / len(known)]
    limit = max(found, default=-1.0)
    return [value is not None and value <= limit for value in p]


def holm(p: Sequence[float | None], alpha: float) -> list[bool]:
    """Which of several p-values to reject, any of them falsely with probability `alpha` at most.

    None is never one, and does not count. Holm 1979: reject while p_(i) <= alpha / (K - i + 1).
    """
    known = sorted(value for value in p if value is not None)
    kept = [value for i, value in enumerate(known) if value > alpha / (len(known) - i)]
    limit = min(kept, default=np.inf)
    return [value is not None and value < limit for value in p]
