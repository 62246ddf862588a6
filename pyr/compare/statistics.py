"""Means, standard errors and corrections: numbers in, numbers out.

A score of one item, or of one cluster, has no measurable error: its standard error is infinite, its
limits hold all numbers, and no gate can pass on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyr.schema import Shares

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_GRADES = 420
"""Values are grades if they are multiples of 1/420 in 0 to 1: halves up to sevenths."""
_FEW = 30
"""Below so many clusters that changed, their design effect is not known, but assumed."""
_ALIKE = 0.5
"""The intra-class correlation then assumed: more than any planted fault showed (docs/gates.md)."""
ENOUGH_SAME = 200
"""Items with the same log-likelihoods, to the last digit, that make two runs of one model."""
ENOUGH_ALIKE = 59
"""Unchanged items that leave a change of one in twenty a chance of one in twenty: 0.95^59."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A weighted mean with what its error is made of, item by item."""

    mean: float
    residuals: Floats
    """w (v - mean) / sum(w)."""
    weights: Floats
    """w / sum(w)."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The error of a mean over clusters."""

    se: float
    """Infinite for one cluster."""
    skew: float
    """Skewness of the mean's distribution."""
    clusters: int
    effective: float
    """Clusters of equal weight that would say as much: sum(W)^2 / sum(W^2) (Kish 1965)."""


def ratio(values: Floats, weights: Floats) -> Ratio:
    """The weighted mean, a ratio of two means (Cochran 1977, Sampling Techniques, section 6.4)."""
    mean = float(np.average(values, weights=weights))
    shares_of_weight = weights / weights.sum()
    return Ratio(mean, shares_of_weight * (values - mean), shares_of_weight)


def spread(clusters: Codes, here: Ratio, there: Ratio | None = None) -> Spread:
    """The error of a weighted mean, or of the difference of two over the same items.

    Delete-one-cluster jackknife: without cluster g a mean moves by -e_g / (1 - W_g), e_g and W_g
    the sums of its residuals and of its share of the weight; se^2 = (G - 1) / G * sum of those
    squared (Cameron & Miller 2015, Journal of Human Resources 50, III.B). Where clusters weigh the
    same it is the usual sqrt(G / (G - 1) * sum of e_g^2) of Miller 2024, arXiv 2411.00640; a heavy
    cluster, which pulls the mean to itself, counts for what it hides. Those without weight do not
    count. The skewness is that of the moves over sqrt(G).
    """
    _, place = np.unique(clusters, return_inverse=True)
    moves = np.zeros(place.max() + 1)
    effective, weighing = float("inf"), np.zeros(len(moves), dtype=bool)
    for sign, mean in ((1, here), (-1, there)):
        if mean is None:
            continue
        weight = np.bincount(place, weights=mean.weights)
        left = np.maximum(1 - weight, 1e-12)
        moves += sign * np.bincount(place, weights=mean.residuals) / left
        effective = min(effective, float(1 / np.sum(weight**2)))
        weighing |= weight > 0
    total = int(weighing.sum())
    if total < 2 or effective < 1 + 1e-9:
        return Spread(float(np.inf), 0.0, total, effective)
    squares = float(np.sum(moves**2))
    # Rounding alone is no spread, and has no shape.
    if squares <= total * (1e-12 * (1 + abs(here.mean)) / total) ** 2:
        return Spread(0.0, 0.0, total, effective)
    se = float(np.sqrt((total - 1) / total * squares))
    return Spread(se, float(np.sum(moves**3) / squares**1.5), total, effective)


# ------------------------------------------------------------------ graded measures


def graded(values: Floats) -> bool:
    """True if the values are grades: right or wrong, or a simple fraction of right."""
    if values.min() < 0 or values.max() > 1:
        return False
    steps = values * _GRADES
    return bool(np.abs(steps - np.round(steps)).max() < 1e-6)


def shares(
    changes: Floats, weights: Floats, clusters: Codes, error: Spread, *, paired: bool
) -> Shares:
    """Graded values, or the changes of graded values, as shares of independent items.

    clusters: negative for items that are pooled by task only, and else independent.
    error: of the mean of `changes`.
    The items count for sum(w)^2 / sum(w^2) (Kish 1965), divided by their design effect: the
    clustered variance over that of right and wrong answers (Rao & Scott 1992, Biometrics 48). Where
    fewer than 30 clusters changed, that ratio is too uncertain to be believed when it is small:
    it is at least that of an intra-class correlation of 0.5 (Kish 1965, 5.4).
    """
    gained = float(np.average(np.maximum(changes, 0), weights=weights))
    lost = float(np.average(np.maximum(-changes, 0), weights=weights))
    n = float(weights.sum() ** 2 / np.sum(weights**2))
    # Of answers which change by 1 or not at all.
    plain = (gained + lost - (gained - lost) ** 2) / n
    # The G / (G - 1) counts in the t of the limits.
    clustered = error.se**2 * (error.effective - 1) / error.effective
    effect = max(1e-6, clustered / plain) if plain > 0 else 1.0
    moved = changes != (1 if gained > 0.5 and not paired else 0)
    if _fewer_than(_FEW, clusters[moved], alone=error.clusters == len(changes)):
        effect = max(effect, _assumed_effect(clusters))
    return Shares(gained, lost if paired else None, n / effect)


def _fewer_than(few: int, clusters: Codes, *, alone: bool) -> bool:
    return len(clusters) < few or (not alone and len(np.unique(clusters)) < few)


def expected_effect(clusters: Codes, changed: float) -> float:
    """The design effect of `shares`, where this share of the items changes, each for itself."""
    sizes = np.unique(clusters, return_counts=True)[1]
    moved = float(np.sum(1 - (1 - changed) ** sizes))
    # As many as four times in five at the least.
    return 1.0 if moved - 0.84 * moved**0.5 >= _FEW else _assumed_effect(clusters)


def _assumed_effect(clusters: Codes) -> float:
    """1 + (m - 1) _ALIKE, m the mean size of an item's cluster; 1 for items pooled by task."""
    sizes = np.unique(clusters[clusters >= 0], return_counts=True)[1]
    alone = int((clusters < 0).sum())
    size = float((np.sum(sizes**2) + alone) / len(clusters))
    return 1 + (size - 1) * _ALIKE


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
