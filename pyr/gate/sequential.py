"""Bounds that hold although one looked before: what stages cost, and how it is paid.

A suite's items come in one random order, the same for every checkpoint, so that any beginning is a
fair sample. Looking again and again at a fixed-size bound would multiply its error: before the last
item, bounds come from a confidence sequence, which holds at all times at once; a fifth of the error
is spent on it, four fifths are left for the bound at the end. Together they stay below the whole
(union bound), whenever one stops and for whatever reason.
"""

from __future__ import annotations

import math
from typing import Literal

from pyr.compare import Interval, interval, largest_tail, noise_reach, one_sided_p
from pyr.gate.obstacles import FEWEST_ALIKE, Bench
from pyr.gate.rules import Demand, is_census
from pyr.schema import Comparison, Estimate

FIRST = 32
"""Items a task in the first stage; each later one doubles what was asked."""
FEWEST_EARLY = 8
"""Clusters that a bound before the last item needs: of fewer the normal law says too much."""
SPENT_EARLY = 0.2
"""The share of the error that bounds before the last item may use."""

Looked = Literal["once", "early", "last"]
"""A measure asked as a whole; in stages, with items left; in stages, all of its items."""


def looked(bench: Bench, row: Comparison) -> Looked:
    """How often the bench has looked at this measure, and whether it is the last time."""
    if not bench.asked:
        return "once"
    asked, total = bench.asked.get(row.task, (0, 0))
    return "early" if asked < total else "last"


def limits(estimate: Estimate, tail: float, when: Looked) -> Interval:
    """Two one-sided limits, each of which misses the truth with a chance of `tail` at most."""
    if when == "early":
        return early_interval(estimate, SPENT_EARLY * tail)
    return interval(estimate, 1 - left(tail, when), sides=1)


def left(tail: float, when: Looked) -> float:
    """What of the error is left for a bound that is looked at last."""
    return tail if when == "once" else (1 - SPENT_EARLY) * tail


def p_fail(asked: Demand, observed: Estimate, when: Looked) -> float | None:
    """One-sided p-value that the true value is allowed; None for a census, or without an error."""
    if is_census(observed):
        return None
    if when != "early":
        p = one_sided_p(observed, asked.bound, asked.side)
        return p if p is None else min(0.5, p / left(1, when))

    def holds(tail: float) -> bool:
        found = early_interval(observed, tail)
        return found.high >= asked.bound if asked.side == "above" else found.low <= asked.bound

    return min(0.5, largest_tail(holds) / SPENT_EARLY)


def early_interval(estimate: Estimate, tail: float) -> Interval:
    """Limits that leave the truth on one side with a chance of `tail` at most, whenever one looks.

    The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (arXiv
    2103.06476), with the clusters seen so far as its time, narrowest soon after the first stage.
    Its asymptotics, which need `FEWEST_EARLY` clusters, are helped by the standard error of graded
    measures, which is that of exact limits and so never nothing. Of others a loss may be rare and
    large, and not have been met: log(1 / tail) / t of the items may hold it (the rule of three),
    each a standard deviation of the items' scores.
    """
    times = estimate.freedom + 1
    if is_census(estimate) and estimate.n >= FEWEST_ALIKE * 2:
        return Interval(estimate.value, estimate.value)
    if times < FEWEST_EARLY or not math.isfinite(estimate.se) or is_census(estimate):
        return Interval(-math.inf, math.inf)
    seen = estimate.se * _boundary(times, tail, tuned_for=FIRST)
    unseen = estimate.scale * math.log(1 / tail) / times
    reach = math.hypot(seen, noise_reach(estimate.noise, tail)) + unseen
    return Interval(estimate.value - reach, estimate.value + reach)


def _boundary(t: float, tail: float, *, tuned_for: int) -> float:
    """Standard errors that the mean of t items stays within for ever, but for a chance of `tail`.

    sqrt(2 (t r^2 + 1) / (t r^2) log(sqrt(t r^2 + 1) / tail)), where r^2 makes it narrowest at the
    time it is tuned for: (2 log(1 / tail) + log(2 log(1 / tail) + 1)) / t.
    """
    odds = 2 * math.log(1 / tail)
    scaled = t * (odds + math.log(odds + 1)) / tuned_for
    return math.sqrt(2 * (scaled + 1) / scaled * math.log(math.sqrt(scaled + 1) / tail))
