"""Confidence bounds that stay valid under repeated looks, and who is asked more.

A suite's items come in one random order, the same for every checkpoint, so that any beginning is a
fair sample. Looking again and again at a fixed-size bound would multiply its error: before the last
item, bounds come from a confidence sequence, which holds at all times at once; a fifth of the error
is spent on it, four fifths are left for the bound at the end. Together they stay below the whole
(union bound), whenever one stops and for whatever reason.

Adaptive evaluation: a first stage for every rule, then twice the items for tasks whose rules are
undecided. The verdict after each stage is the ordinary one. A rule that surely fails ends it: the
gate is closed, whatever the others say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal

from pyr.compare import Interval, interval, largest_tail, noise_reach, one_sided_p
from pyr.gate.rules import FEWEST_ALIKE, Bench, Demand, is_census
from pyr.gate.spec import Verdict
from pyr.schema import Comparison, Estimate
from pyr.store import Results

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


# ------------------------------------------------------------------ adaptive evaluation


Judge = Callable[[Results], Verdict]
"""The verdict on what has been measured so far."""


class Budget:
    """What each task is to be asked: more in each stage, until the verdict is known or time is up.

    The first stage is asked whatever it takes.
    """

    def __init__(
        self, judge: Judge, label: str, *, left: Callable[[], float] = lambda: math.inf
    ) -> None:
        """label: what makes this another run than one asked as a whole. left: seconds to spend."""
        self.label = label
        self.ended = ""
        self._judge = judge
        self._left = left
        self._first = True
        self._wants: dict[str, int] = {}

    def wanted(self, task: str) -> int:
        """How many items of the task are to have been asked by now."""
        if self._first or self._left() > 0:
            return self._wants.get(task, FIRST)
        return 0

    def more(self, so_far: Results) -> bool:
        """Whether there is another stage; `so_far` says what was asked of all there is."""
        self._first = False
        verdict, left = self._judge(so_far), self._left()
        if any(each.state == "fail" for each in verdict.findings):
            return False
        asked = so_far.run.asked
        open_tasks = [
            task for task in undecided(verdict, so_far) if asked[task][0] < asked[task][1]
        ]
        if open_tasks and left <= 0:
            self.ended = f"the time was up, {-left:.0f} s before this stage was done"
            return False
        self._wants |= {task: 2 * max(asked[task][0], FIRST // 2) for task in open_tasks}
        return bool(open_tasks)


def undecided(verdict: Verdict, results: Results) -> Iterator[str]:
    """The tasks in stages of which more items might decide a rule."""
    names = {
        each.measure.rpartition("/")[0]
        for each in verdict.findings
        if each.state == "unclear" and each.observed is not None
    }
    pairs = results.records[["task", "group"]].drop_duplicates()
    for task, group in pairs.itertuples(index=False):
        if task in results.run.asked and not names.isdisjoint({task, group}):
            yield task


def asked_of(results: Results) -> dict[str, tuple[int, int]]:
    """Items asked and items there are, of every task in stages and of every group of such."""
    asked = results.run.asked
    found = {task: (n, total) for task, (n, total) in asked.items()}
    pairs = results.records[["task", "group"]].drop_duplicates()
    for group, tasks in pairs[pairs["group"] != ""].groupby("group")["task"]:
        inside = [asked[task] for task in tasks if task in asked]
        if inside and group not in asked:
            found[str(group)] = (sum(n for n, _ in inside), sum(total for _, total in inside))
    return found
