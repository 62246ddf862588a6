"""Every measure as a report shows it: its numbers, one word, and its place in the order.

The word is the only judgement made here: a difference is called better or worse when
Benjamini-Hochberg at a false discovery rate of 10% over all compared measures rejects "no
difference" (Benjamini and Hochberg 1995); the gate's own rules stand apart from it. "No change
seen" is said only where a change that matters would have been seen.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pyr.compare import (
    ABOVE_CHANCE,
    Interval,
    Mark,
    Point,
    Reliability,
    above_chance,
    benjamini_hochberg,
    interval,
)
from pyr.gate.spec import Verdict
from pyr.report import words
from pyr.schema import Comparison, Direction, Estimate, Kind, State

FALSE_DISCOVERY_RATE = 0.10
CONFIDENCE = 0.95
FEWEST_ITEMS = 10
MATTERS = 0.1
"""Without a rule's margin: what matters of a fraction, and as a share of any other score."""

Section = Literal[
    "task", "described", "tokenizer", "reference", "throughput", "health", "condition"
]
"""Where a report shows a measure. ``described``, ``condition``: neither side is the better one."""
SECTIONS: dict[Kind, Section] = {
    "score": "task",
    "aggregate": "task",
    "generation": "task",
    "check": "health",
    "compression": "tokenizer",
    "reference": "reference",
    "speed": "throughput",
    "memory": "throughput",
    "machine": "throughput",
    "diagnostic": "condition",
}
Word = Literal[
    "worse",
    "missing",
    "better",
    "not proven",
    "cannot tell",
    "no change seen",
    "not judged",
    "not compared",
]
"""In the order of a report. ``not proven``: the measure's own interval leaves zero out, but among
so many measures that may be chance. ``cannot tell``: the interval is too wide, or there is none.
``not judged``: nothing was tested, as neither side is the better one, or it is not the model's."""

JUDGED: tuple[Section, ...] = ("task", "tokenizer", "throughput")
_ORDER: tuple[Word, ...] = get_args(Word)
GRAVITY: dict[State | None, int] = {"fail": 0, "unclear": 1, "pass": 2, None: 3}
_MAIN_METRICS = (
    "acc_norm",
    "acc",
    "exact_match",
    "exact",
    "followed",
    "prompt_level_strict_acc",
    "bits_per_byte",
    "distance",
    "decode_tokens_per_second",
)


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of the candidate, beside the baseline's where there is one."""

    task: str
    metric: str
    group: str
    kind: Kind
    section: Section
    direction: Direction
    unit: str
    candidate: Estimate | None
    baseline: Estimate | None
    delta: Estimate | None
    least: float | None
    most: float | None
    """95% interval of the candidate's own score."""
    low: float | None
    high: float | None
    """95% interval of the delta."""
    p: float | None
    paired: bool
    note: str
    word: Word
    rule: State | None
    """The gravest finding of the gate on this measure, if it has a rule for it."""
    limit: float | None
    """The margin of a ``not_worse_by`` rule, in the measure's own unit."""
    chance: float | None
    """What guessing would score, where the items' choices are known."""
    main: bool
    """True for the one metric that speaks for its task."""
    trail: tuple[Point, ...]
    """The same measure at other checkpoints, oldest first."""
    marks: tuple[Mark, ...] = ()
    """Why it decides nothing, as far as its history tells: shown grey, and not counted."""
    now_at_chance: bool = False
    """True where the baseline scored above guessing and the candidate does not: a fall."""
    fell: bool = False
    """True where it lies far below where the checkpoints before it lead (`compare.Reliability`)."""

    @property
    def name(self) -> str:
        """``task/metric``, as gate rules write it."""
        return f"{self.task}/{self.metric}"

    @property
    def said(self) -> str:
        """What its history says of it, in words: why it decides nothing, or how it fell."""
        if self.marks:
            return f"decides nothing: {', '.join(self.marks)}"
        way = "fell" if self.direction == "higher" else "rose"
        now = ["now at chance"] if self.now_at_chance else []
        return ", ".join(now + ([f"{way} at this checkpoint"] if self.fell else []))

    @property
    def small(self) -> bool:
        """True of a group's member of a few items, which its group speaks for."""
        known = self.candidate or self.baseline
        telling = self.rule is not None or self.word in ("worse", "missing", "better")
        is_member = self.group not in ("", self.task)
        return is_member and known is not None and 0 < known.n < FEWEST_ITEMS and not telling

    @property
    def clustered(self) -> bool:
        """True if it has fewer clusters than items."""
        known = self.candidate or self.baseline
        return known is not None and 0 < known.clusters < known.n

    @property
    def fraction(self) -> bool:
        """True if it lives between 0 and 1, so that measures of its kind share a scale."""
        return _is_fraction(self)


def collect(
    comparisons: Sequence[Comparison],
    verdict: Verdict | None,
    *,
    trails: Mapping[str, tuple[Point, ...]],
    chances: Mapping[str, float],
    reliable: Mapping[str, Reliability] | None = None,
) -> tuple[Measure, ...]:
    """All measures, regressions first, each with its word; health measures take no part in it."""
    rules, limits = _rules(verdict), _limits(verdict)
    main = _main_metrics(comparisons, rules)
    judged = _tested(comparisons)
    real = benjamini_hochberg([each.p for each in judged], FALSE_DISCOVERY_RATE)
    found = {each.measure: flag for each, flag in zip(judged, real, strict=True)}
    measures = [
        Measure(
            task=each.task,
            metric=each.metric,
            group=each.group,
            kind=each.kind,
            section=section_of(each),
            direction=each.direction,
            unit=each.unit,
            candidate=each.candidate,
            baseline=each.baseline,
            delta=each.delta,
            least=own.low if own else None,
            most=own.high if own else None,
            low=each.low,
            high=each.high,
            p=each.p,
            paired=each.paired,
            note=each.note.text if each.note else "",
            word=_word(each, found.get(each.measure), rules, limits),
            rule=rules.get(each.measure),
            limit=limits.get(each.measure),
            chance=chances.get(each.measure),
            main=main.get(each.task) == each.metric,
            trail=trails.get(each.measure, ()),
            marks=_marks(each, reliable or {}, rules, chances),
            now_at_chance=_fell_to_chance(each, chances),
            fell=_fell(each, reliable or {}),
        )
        for each in comparisons
        for own in [bounds(each.candidate)]
    ]
    return tuple(sorted(measures, key=_rank))


def _tested(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """What is asked for a change: not what the machine can do, nor speeds of unequal machines."""
    unequal = bool(other_speed(comparisons))
    return [
        each
        for each in comparisons
        if section_of(each) in JUDGED
        and each.kind != "machine"
        and not (unequal and each.kind == "speed")
    ]


def _marks(
    comparison: Comparison,
    reliable: Mapping[str, Reliability],
    rules: Mapping[str, State],
    chances: Mapping[str, float],
) -> tuple[Mark, ...]:
    """The marks of a measure of a task that fails.

    None where a rule failed, or where the score fell to guessing: both decide a great deal.
    """
    known = reliable.get(comparison.measure)
    if known is None or not known.fails or rules.get(comparison.measure) == "fail":
        return ()
    if _fell_to_chance(comparison, chances):
        return ()
    return known.marks if section_of(comparison) == "task" else ()


def _fell(comparison: Comparison, reliable: Mapping[str, Reliability]) -> bool:
    known = reliable.get(comparison.measure)
    return known is not None and known.fell and section_of(comparison) == "task"


def _fell_to_chance(comparison: Comparison, chances: Mapping[str, float]) -> bool:
    chance = chances.get(comparison.measure)
    if comparison.candidate is None or comparison.baseline is None:
        return False
    now = above_chance(comparison.candidate, chance, direction=comparison.direction)
    before = above_chance(comparison.baseline, chance, direction=comparison.direction)
    return now is not None and before is not None and now < ABOVE_CHANCE <= before


def section_of(comparison: Comparison) -> Section:
    """Which section of a report a measure belongs to."""
    section = SECTIONS[comparison.kind]
    return "described" if section == "task" and comparison.direction == "none" else section


def bounds(estimate: Estimate | None) -> Interval | None:
    """An estimate's two-sided 95% interval, or None where it has none."""
    if estimate is None or not math.isfinite(estimate.se):
        return None
    return interval(estimate, CONFIDENCE)


def _rules(verdict: Verdict | None) -> dict[str, State]:
    rules: dict[str, State] = {}
    for finding in verdict.findings if verdict else ():
        before = rules.get(finding.measure)
        if GRAVITY[finding.state] < GRAVITY[before]:
            rules[finding.measure] = finding.state
    return rules


def _limits(verdict: Verdict | None) -> dict[str, float]:
    """The margins of ``not_worse_by`` rules, by measure."""
    limits: dict[str, float] = {}
    for finding in verdict.findings if verdict else ():
        if finding.rule.not_worse_by is not None:
            limits[finding.measure] = finding.rule.not_worse_by
    return limits


def _main_metrics(comparisons: Sequence[Comparison], rules: Mapping[str, State]) -> dict[str, str]:
    """The metric that speaks for each task: one with a rule, else the first of a known order."""

    def preference(each: Comparison) -> tuple[int, int, str]:
        metric = each.metric.partition(",")[0]
        known = metric in _MAIN_METRICS
        place = _MAIN_METRICS.index(metric) if known else len(_MAIN_METRICS)
        return (GRAVITY[rules.get(each.measure)], place, each.metric)

    best = sorted(comparisons, key=preference, reverse=True)
    return {each.task: each.metric for each in best}


def _word(
    comparison: Comparison,
    real: bool | None,
    rules: Mapping[str, State],
    limits: Mapping[str, float],
) -> Word:
    """real: whether "no difference" was rejected; None where that was not asked."""
    if comparison.candidate is None:
        return "missing"
    delta, p = comparison.delta, comparison.p
    if delta is None:
        return "not compared" if comparison.baseline is None else "cannot tell"
    if real is None:
        return "not judged"
    if p is None or math.isnan(p):
        return "no change seen" if delta.value == 0 else "cannot tell"
    if real:
        rose = delta.value > 0
        return "better" if rose == (comparison.direction == "higher") else "worse"
    return _unproven(comparison, rules, limits)


def _unproven(
    comparison: Comparison, rules: Mapping[str, State], limits: Mapping[str, float]
) -> Word:
    """The word for a difference that may be chance: how much of one would have been seen?"""
    if comparison.low is None or comparison.high is None:
        return "no change seen"
    if comparison.low > 0 or comparison.high < 0:
        return "not proven"
    name = comparison.measure
    undecided = name in limits and rules.get(name) == "unclear"
    wide = (comparison.high - comparison.low) / 2 > limits.get(name, _matters(comparison))
    return "cannot tell" if undecided or wide else "no change seen"


def _matters(comparison: Comparison) -> float:
    """The change that matters where no rule says so: `MATTERS`, in the measure's own unit."""
    if _is_fraction(comparison):
        return MATTERS
    known = comparison.baseline or comparison.candidate
    return MATTERS * abs(known.value) if known else MATTERS


def _is_fraction(measure: Measure | Comparison) -> bool:
    """True if it lives between 0 and 1, so that measures of its kind share a scale."""
    known = [each.value for each in (measure.candidate, measure.baseline) if each is not None]
    return measure.direction == "higher" and not measure.unit and all(0 <= v <= 1 for v in known)


def _rank(measure: Measure) -> tuple[bool, int, int, bool, float, str, str]:
    """Worse first; within a word what breaks a rule, groups before members, clear before faint.

    What did not change, or has nothing to change from, goes by its number of items; members of a
    few items come after everything.
    """
    known = measure.candidate or measure.baseline
    weight = float(known.n) if known else 0.0
    if measure.word in ("worse", "better") and measure.delta and measure.delta.se > 0:
        weight = abs(measure.delta.value) / measure.delta.se
    member = measure.group not in ("", measure.task)
    word = _ORDER.index(measure.word)
    return (
        measure.small,
        word,
        GRAVITY[measure.rule],
        member,
        -weight,
        measure.task,
        measure.metric,
    )


# ------------------------------------------------------------------ speeds beside speeds


ALIKE = 1.1
"""Two machines are equally fast where neither has this many times the other's peak."""
_PEAKS = {"matrix_peak": "matrix products", "memory_bandwidth": "memory"}
"""What the machine's peaks are called in a sentence."""
SPEEDS: tuple[Kind, ...] = ("speed", "machine")
"""What depends on how fast the machine is; memory does not."""


def other_speed(comparisons: Sequence[Comparison | Measure]) -> str:
    """Why the speeds of the two runs do not compare; empty where nothing speaks against it."""
    said = []
    for row in comparisons:
        if row.kind != "machine" or row.candidate is None or row.baseline is None:
            continue
        now, before = row.candidate.value, row.baseline.value
        if min(now, before) > 0 and max(now, before) > ALIKE * min(now, before):
            factor, unit = words.prefix(row.unit, now, before)
            rates = [words.number(value / factor) for value in (now, before)]
            what = _PEAKS.get(row.metric, row.metric)
            said.append(f"{what} {rates[0]} {unit}, {rates[1]} for the baseline")
    if not said:
        return ""
    return f"The machine was not equally fast for both ({'; '.join(said)}): speeds do not compare."


def readable(measure: Measure) -> Measure:
    """The same measure for reading: bytes and operations in GB or GFLOP/s."""
    known = [each.value for each in (measure.candidate, measure.baseline) if each is not None]
    factor, unit = words.prefix(measure.unit, *known)
    if factor == 1:
        return measure

    def scaled(value: float | None) -> float | None:
        return None if value is None else value / factor

    def shown(estimate: Estimate | None) -> Estimate | None:
        if estimate is None:
            return None
        return dataclasses.replace(
            estimate, value=estimate.value / factor, se=estimate.se / factor, shares=None
        )

    return dataclasses.replace(
        measure,
        unit=unit,
        candidate=shown(measure.candidate),
        baseline=shown(measure.baseline),
        delta=shown(measure.delta),
        least=scaled(measure.least),
        most=scaled(measure.most),
        low=scaled(measure.low),
        high=scaled(measure.high),
    )
