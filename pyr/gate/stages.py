"""Who is asked more: a first stage for every rule, then only for those that are undecided.

The verdict on a run in stages is the ordinary one (`judge`), with the bounds of `sequential`. It is
asked for after every stage, and a rule that it cannot decide gets twice the items. A rule that
surely fails ends it: the gate is closed, whatever the others say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from pyr.gate.sequential import FIRST
from pyr.gate.spec import Verdict
from pyr.store import Results

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
