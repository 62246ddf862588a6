"""The first bad one of a training's checkpoints, with as few evaluations as it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pyr.errors import UsageError
from pyr.gate.spec import Finding, Gate, Rule
from pyr.schema import ProbeSpec, State, Suite
from pyr.store import Results


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a rule turns from good to bad, as positions in an ordered row of checkpoints."""

    last_good: int
    """The latest that was seen to pass, before the first bad one."""
    first_bad: int
    """The earliest that was seen to fail."""
    asked: int
    """How many were judged to find out."""


def bisect(count: int, judge: Callable[[int], Finding]) -> Turn:
    """The turn among `count` checkpoints, of which the first passes and the last fails.

    judge: what the rule says of the checkpoint at a position; asked at most once for each. An
    unclear one is neither good nor bad: the turn lies somewhere from `last_good` to `first_bad`,
    which are neighbours if nothing between them is unclear. About 2 log2(count) are asked. Where a
    score falls and recovers, one fall is found, not necessarily the first.
    Raises UsageError if the first does not pass or the last does not fail.
    """
    known: dict[int, Finding] = {}

    def state(position: int) -> State:
        if position not in known:
            known[position] = judge(position)
        return known[position].state

    if state(count - 1) != "fail":
        raise UsageError(
            "the rule does not fail on the last checkpoint: there is nothing to find.",
            where=f"{known[count - 1].state}: {known[count - 1].sentence}",
            remedy="name a checkpoint that fails it, or a stricter rule",
        )
    if state(0) == "fail":
        raise UsageError(
            "the rule fails on the first checkpoint already: there is no good one before.",
            where=known[0].sentence,
            remedy="name an earlier checkpoint as the good one",
        )
    first_bad = _turn(0, count - 1, lambda position: state(position) == "fail")
    last_good = _turn(0, first_bad, lambda position: state(position) != "pass") - 1
    return Turn(last_good, first_bad, len(known))


def _turn(low: int, high: int, turned: Callable[[int], bool]) -> int:
    """A position that has turned, after one that has not; `low` has not, `high` has."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if turned(middle) else (middle, high)
    return high


def read_rule(text: str) -> Gate:
    """A gate of the one rule that ``MEASURE WORD VALUE`` says: ``sciq/acc not_worse_by 0.02``.

    Raises UsageError for anything else.
    """
    words = text.split()
    relative = {"not_worse_by", "better_by"}
    if len(words) == 3 and words[1] in {*relative, "at_least", "at_most"}:
        try:
            rule = Rule.model_validate({"measure": words[0], words[1]: words[2]})
        except ValueError:
            pass
        else:
            return Gate(name=text, guards=[rule])
    raise UsageError(
        f"'{text}' is no rule.",
        remedy='write MEASURE WORD VALUE, as --rule "lambada_openai/acc not_worse_by 0.02"',
    )


# ------------------------------------------------------------------ what a rule needs


def narrowed(suite: Suite, measure: str, known: Results) -> Suite:
    """The part of the suite that measures `measure` (globs allowed): its probes, and their tasks.

    known: results under the whole suite, which tell what measures what. A measure that they do not
    have keeps the suite whole.
    """
    rows = known.records[["probe", "task", "group", "metric"]].drop_duplicates()
    probes, names = set(), set()
    for probe, task, group, metric in rows.itertuples(index=False):
        if any(fnmatchcase(f"{name!s}/{metric!s}", measure) for name in (task, group)):
            probes.add(probe)
            names |= {task, group}
    kept = [_of_tasks(each, names) for each in suite.probes if each.label in probes]
    return suite.model_copy(update={"probes": kept}) if kept else suite


def _of_tasks(probe: ProbeSpec, names: set[str]) -> ProbeSpec:
    """The probe with those of its tasks that are named; with all if it names none of them."""
    kept = [task for name, task in probe.tasks.items() if name in names]
    return probe.model_copy(update={"options": {**probe.options, "tasks": kept}}) if kept else probe
