"""What keeps a rule from being judged at all, or from passing: never a pass by accident."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from pyr.compare import Reliability, interval
from pyr.gate.rules import is_census, is_relative
from pyr.gate.spec import Gate, Rule
from pyr.schema import Comparison, NoteCode
from pyr.store import Results

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
        if skip.what == asked or (skip.missing and fnmatchcase(skip.what, asked))
    }


def obstacle(bench: Bench, rule: Rule, row: Comparison) -> str:
    """Why the rule cannot be judged on this measure, or an empty string."""
    missing = _skipped_of(bench, row)
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
    if row.note is not None and row.note.code is NoteCode.OTHER_PROMPTS:
        return row.note.text
    if bench.candidate.run.suite_digest != bench.baseline.run.suite_digest:
        return "the suites differ"
    if rule.not_worse_by is None:
        return ""
    return _at_chance(bench, row) or _unreliable(bench, row)


def _skipped_of(bench: Bench, row: Comparison) -> str:
    """Which part of this measure the candidate's suite could not measure, or an empty string."""
    for skip in bench.candidate.run.skipped:
        if skip.what == row.task:
            return f"{skip.what} was skipped: {skip.reason}"
        if row.task == row.group == skip.group and skip.missing:
            return f"{skip.what} of {row.group} was skipped: {skip.reason}"
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
