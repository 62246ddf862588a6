"""One rule against one estimate: which values it allows, and whether the limits lie among them.

Also the preconditions: when a rule cannot be judged at all, or cannot pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from pyr.compare import Interval, Reliability, interval, noise_reach, reach, versions
from pyr.gate.spec import Gate, Rule
from pyr.schema import Comparison, Estimate, NoteCode, Run, State
from pyr.store import Results

MISSED = 0.2
"""The chance that so many items as are said to be needed decide nothing after all."""


_MOST_LEFT_OUT = 0.01
"""The share of a task's items that may be left out; of more, no rule says anything."""


@dataclass(frozen=True, slots=True)
class Demand:
    """The values a rule allows: all on one side of `bound`, which itself is in or not."""

    bound: float
    side: Literal["above", "below"]
    inclusive: bool


def is_relative(rule: Rule) -> bool:
    """True if the rule is about the difference from the baseline, not about the score."""
    return rule.not_worse_by is not None or rule.better_by is not None


def demand(rule: Rule, row: Comparison) -> Demand:
    """What the rule allows, in the measure's own units and direction."""
    if rule.at_least is not None:
        return Demand(rule.at_least, "above", inclusive=True)
    if rule.at_most is not None:
        return Demand(rule.at_most, "below", inclusive=True)
    gain = rule.better_by if rule.better_by is not None else -(rule.not_worse_by or 0)
    inclusive = rule.better_by is None
    if row.direction == "higher":
        return Demand(gain, "above", inclusive)
    return Demand(-gain, "below", inclusive)


def decide(asked: Demand, limits: Interval) -> State:
    """Pass if both limits are allowed, fail if neither is, else unclear."""
    near, far, bound = limits.low, limits.high, asked.bound
    if asked.side == "below":
        near, far, bound = -limits.high, -limits.low, -asked.bound
    if near > bound or (asked.inclusive and near == bound):
        return "pass"
    if far < bound or (not asked.inclusive and far == bound):
        return "fail"
    return "unclear"


def deciding_limit(asked: Demand, limits: Interval, state: State) -> float | None:
    """The limit held against the rule: the worse one, unless even the better one is not allowed."""
    low = (asked.side == "above") != (state == "fail")
    limit = limits.low if low else limits.high
    return limit if math.isfinite(limit) else None


def is_census(observed: Estimate) -> bool:
    """True if nothing was sampled, so that the value is known."""
    return observed.se == 0 and observed.shares is None and observed.noise is None


def n_needed(asked: Demand, observed: Estimate, tail: float) -> int | None:
    """Items that would decide the rule four times in five if the observed value were the true one.

    The items' part of the error falls with sqrt(n) if clusters grow in step, checkpoint noise does
    not: n reach^2 / (gap^2 - drift^2) items, where gap is the way from the value to the bound, and
    the reach that of the tail and of a fifth together (Chow, Shao & Wang 2008, 4.2). None
    on the bound itself, where the noise alone is wider than the gap, or without an n or se. Up to a
    few times too many where few answers changed, as that error falls faster.
    """
    spare = _gap(asked, observed) ** 2 - noise_reach(observed.noise, tail) ** 2
    if spare <= 0 or observed.n == 0 or not math.isfinite(observed.se):
        return None
    n = math.ceil(observed.n * _reach(asked, observed, tail) ** 2 / spare)
    return max(n, observed.n + 1)


def more_needed(asked: Demand, observed: Estimate, tail: float) -> str:
    """What would decide the rule, in words: items, checkpoints, or that nothing would."""
    gap, drift = _gap(asked, observed), noise_reach(observed.noise, tail)
    if not math.isfinite(observed.se):
        return "its standard error is unknown"
    if gap == 0:
        return "no number of items would decide it, as what was observed is the bound itself"
    if gap <= drift:
        k = math.ceil((drift / gap) ** 2) + 1
        return f"no number of items would decide it, but means of {k} checkpoints might"
    if observed.n == 0:
        times = _reach(asked, observed, tail) ** 2 / (gap**2 - drift**2)
        return f"{times:.2g} times its items would decide it"
    return ""


def _gap(asked: Demand, observed: Estimate) -> float:
    return abs(observed.value - asked.bound)


def _reach(asked: Demand, observed: Estimate, tail: float) -> float:
    """How far the items' error reaches towards the bound."""
    side: Literal["above", "below"] = "above" if asked.bound > observed.value else "below"
    other: Literal["above", "below"] = "below" if side == "above" else "above"
    return reach(observed, tail, side) + reach(observed, MISSED, other)


# ------------------------------------------------------------------ preconditions


FEWEST_ALIKE = 5
"""Items without any spread say something of it only from so many on."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What the rules are judged on."""

    gate: Gate
    candidate: Results
    baseline: Results | None
    comparisons: Sequence[Comparison]
    chances: Mapping[str, float] = field(default_factory=dict)
    reliable: Mapping[str, Reliability] = field(default_factory=dict)
    """What the history of the candidate's training says of each measure."""
    asked: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Of a candidate in stages: items asked and items there are, by task or group."""


def skipped(bench: Bench, rule: Rule) -> dict[str, str]:
    """The tasks that the rule asks for and the candidate's suite could not measure, and why."""
    asked = rule.task
    return {
        skip.what: skip.reason
        for skip in bench.candidate.run.skipped
        if not skip.items
        if skip.what == asked or (skip.missing and fnmatchcase(skip.what, asked))
    }


def obstacle(bench: Bench, rule: Rule, row: Comparison) -> str:
    """Why the rule cannot be judged on this measure, or an empty string."""
    missing = _skipped_of(bench, row) or _too_many_left_out(bench, row)
    if missing:
        return missing
    if row.candidate is None:
        return str(row.note)
    if not bench.candidate.run.finished:
        return f"run {bench.candidate.run.id} is not finished"
    if not row.exact and row.candidate.n == 1:
        return "a single item says nothing of its own error"
    if not row.exact and row.baseline is not None:
        n = bench.asked.get(row.task, (row.baseline.n, 0))[0]
        if 0 < row.candidate.n < n:
            whose = "" if row.task in bench.asked else "baseline's "
            return f"only {row.candidate.n} of the {whose}{n} items were measured"
    return _unfair(bench, row) or _alike(rule, row) if is_relative(rule) else _alike(rule, row)


def bar_to_pass(bench: Bench, rule: Rule, row: Comparison) -> str:
    """Why the rule cannot pass on this measure, whatever the numbers say, or an empty string.

    A clear loss is still a loss: these bars never keep a rule from failing.
    """
    if not is_relative(rule) or bench.baseline is None:
        return ""
    if other := _measured_otherwise(bench.candidate.run, bench.baseline.run, row):
        return other
    if rule.not_worse_by is None:
        return ""
    return _at_chance(bench, row) or _unreliable(bench, row)


def _measured_otherwise(candidate: Run, baseline: Run, row: Comparison) -> str:
    """What was not the same when the two runs measured this, or an empty string."""
    if row.note is not None and row.note.code is NoteCode.OTHER_PROMPTS:
        return row.note.text
    if candidate.checkpoint.format == baseline.checkpoint.format == "imported":
        return _imported_otherwise(candidate, baseline, row)
    if candidate.suite_digest != baseline.suite_digest:
        return "the suites differ"
    if _left_out(candidate, row) != _left_out(baseline, row):
        return "the two runs left out other items"
    return versions.between(candidate, baseline)


def _imported_otherwise(candidate: Run, baseline: Run, row: Comparison) -> str:
    """What two results files say, or do not say, of how this task was asked."""
    now, before = (run.environment.get("task_settings", {}) for run in (candidate, baseline))
    mine, theirs = now.get(row.task, {}), before.get(row.task, {})
    for name in dict.fromkeys([*mine, *theirs]):
        values = mine.get(name, "not stated"), theirs.get(name, "not stated")
        if "not stated" in values:
            return f"it may have been asked otherwise ({name}: not stated by both results files)"
        if values[0] != values[1]:
            return f"it was asked otherwise ({name}: {values[0]}, of the baseline {values[1]})"
    return versions.between(candidate, baseline)


def _skipped_of(bench: Bench, row: Comparison) -> str:
    """Which part of this measure the candidate's suite could not measure, or an empty string."""
    for skip in bench.candidate.run.skipped:
        if skip.items:
            continue
        if skip.what == row.task:
            return f"{skip.what} was skipped: {skip.reason}"
        if row.task == row.group == skip.group and skip.missing:
            return f"{skip.what} of {row.group} was skipped: {skip.reason}"
    return ""


def _left_out(run: Run, row: Comparison) -> dict[str, tuple[str, ...]]:
    """The items of this measure that a run left out, by task."""
    return {
        skip.what: skip.items
        for skip in run.skipped
        if skip.items and (skip.what == row.task or row.task == row.group == skip.group)
    }


def _too_many_left_out(bench: Bench, row: Comparison) -> str:
    """Whether either run left out too many items of this measure to speak for the task."""
    for results in filter(None, (bench.candidate, bench.baseline)):
        concerned = _left_out(results.run, row)
        for skip in results.run.skipped:
            if skip.what in concerned and len(skip.items) > _MOST_LEFT_OUT * skip.of:
                return f"{skip.what} of {results.run.id}: {skip.reason}"
    return ""


def _unfair(bench: Bench, row: Comparison) -> str:
    """Why the difference from the baseline cannot be judged, or an empty string."""
    if row.direction == "none":
        return "it only describes: neither side is the better one"
    if bench.baseline is None:
        return "there is no baseline to compare with"
    if not bench.baseline.run.finished:
        return f"the baseline {bench.baseline.run.id} is not finished"
    partial = row.paired and row.delta and row.candidate and row.delta.n < row.candidate.n
    unknown = row.paired and row.note and row.delta and not math.isfinite(row.delta.se)
    code = row.note.code if row.note is not None else None
    if row.delta is None or code is NoteCode.OTHER_DOCUMENTS or partial or unknown:
        return str(row.note)
    if code is NoteCode.OTHER_PROMPTS and _suites_differ(bench):
        return f"{row.note}, and so do the suites"
    return ""


def _suites_differ(bench: Bench) -> bool:
    if bench.baseline is None:
        return False
    return bench.candidate.run.suite_digest != bench.baseline.run.suite_digest


def _alike(rule: Rule, row: Comparison) -> str:
    """Whether there are too few items to take their agreement for certainty."""
    observed = row.delta if is_relative(rule) else row.candidate
    if observed is None or row.exact or not is_census(observed):
        return ""
    if 0 < observed.n < FEWEST_ALIKE:
        return f"{observed.n} items that are all alike say nothing of their own error"
    return ""


def _unreliable(bench: Bench, row: Comparison) -> str:
    """Whether the training's history says that this measure decides nothing."""
    known = bench.reliable.get(row.measure)
    if known is None or not known.fails:
        return ""
    marks = ", ".join(known.marks)
    return f"its history says that it decides nothing ({marks}); a rule may watch it: watch: true"


def _at_chance(bench: Bench, row: Comparison) -> str:
    """Whether the baseline scores no better than guessing: it has nothing that could be kept."""
    chance = bench.chances.get(row.measure)
    if chance is None or row.baseline is None or row.direction != "higher":
        return ""
    low = interval(row.baseline, bench.gate.confidence, sides=1).low
    if low > chance and math.isfinite(low):
        return ""
    return (
        f"the baseline's {row.baseline.value:.3g} is not surely above the {chance:.3g} of guessing"
    )
