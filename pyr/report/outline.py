"""Everything a report says, as plain data: decided here, only written down elsewhere.

Derived from the store alone (no clock, no chance): the same runs give the same report. All text
in it has been made harmless (`words.harmless`), since part of it is what a model said.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from pyr.compare import Point, ScoreHistory
from pyr.gate import Assessment
from pyr.gate.spec import Finding, Verdict
from pyr.report.forgetting import Matrix, matrix
from pyr.report.measures import JUDGED, SPEEDS, Measure, Section, collect, other_speed
from pyr.report.provenance import Fact, facts
from pyr.report.samples import Flips, Writing, flips, writing
from pyr.report.words import count, harmless, large, plural
from pyr.schema import Axis, Run, Skipped, State
from pyr.store import Results

Outcome = Literal["pass", "fail", "unclear", "incomplete", "measured"]

CHARTS_SHOWN = 5
_REASONS_SHOWN = 4
_STATES: tuple[State, ...] = ("fail", "unclear", "pass")


@dataclass(frozen=True, slots=True)
class Banner:
    """What a reader must know after five seconds."""

    outcome: Outcome
    word: str
    """``PASS``, ``FAIL``, ``UNCLEAR``, ``INCOMPLETE`` or ``MEASURED`` (no gate)."""
    headline: str
    reasons: tuple[str, ...]
    """The gravest findings as sentences, a few at most."""
    more: int
    """How many more there are."""
    words: Mapping[str, int]
    """How many measures of tasks are worse, better, ..., of those that can decide something."""
    rules: Mapping[str, int]
    """How many findings fail, are unclear, pass."""


@dataclass(frozen=True, slots=True)
class Broken:
    """One check of the checkpoint's health that found it unsound."""

    check: str
    item: str
    what: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something a reader must know, and how many measures it concerns (0: the whole run)."""

    text: str
    measures: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The whole report."""

    banner: Banner
    gate: str
    """Empty where no gate was asked."""
    candidate: Run
    baseline: Run | None
    findings: tuple[Finding, ...]
    """Failed first, then unclear, then passed."""
    measures: tuple[Measure, ...]
    """Regressions first; all kinds."""
    flips: tuple[Flips, ...]
    writing: tuple[Writing, ...]
    """What the checkpoint wrote by itself, by domain."""
    forgetting: Matrix | None
    """Text sets by checkpoints; None where there is no second checkpoint."""
    axis: Axis
    charts: tuple[str, ...]
    """The measures whose way over training is drawn large."""
    broken: tuple[Broken, ...]
    sound: int
    """How many health checks found nothing."""
    skipped: tuple[Skipped, ...]
    """One entry a reason; each by itself stands in the candidate's run."""
    notes: tuple[Note, ...]
    facts: tuple[Fact, ...]

    def of(self, section: Section) -> tuple[Measure, ...]:
        """The measures of one section."""
        return tuple(each for each in self.measures if each.section == section)


def build(
    candidate: Results,
    baseline: Results | None,
    assessed: Assessment,
    *,
    relatives: Sequence[Results] = (),
    documents: pd.DataFrame | None = None,
) -> Report:
    """Everything the report of one run says, from what the store, compare and gate know.

    assessed: the comparisons, the verdict and the history that both rest on.
    relatives: runs of the same training, under whatever suite; they become the forgetting matrix.
    documents: the items as they were asked (`Store.documents`), for chance levels and samples.
    """
    verdict = assessed.verdict
    measures = collect(
        assessed.comparisons,
        verdict,
        trails=assessed.history.lines,
        chances=assessed.chances,
        reliable=assessed.reliable,
    )
    findings = sorted(verdict.findings if verdict else (), key=finding_rank)
    broken, sound = _health(candidate.records)
    report = Report(
        banner=_banner(candidate.run, baseline, verdict, measures, broken=broken),
        gate=verdict.gate if verdict else "",
        candidate=candidate.run,
        baseline=baseline.run if baseline else None,
        findings=tuple(findings),
        measures=measures,
        flips=flips(candidate, baseline, measures, documents) if baseline else (),
        writing=writing(candidate, baseline, measures, documents),
        forgetting=matrix(candidate, relatives),
        axis=assessed.history.axis,
        charts=_charts(measures),
        broken=broken,
        sound=sound,
        skipped=_by_reason(candidate.run.skipped),
        notes=(
            *_overruled(verdict),
            *_notes(candidate.run, baseline, measures, assessed.history),
            *_speeds(measures),
        ),
        facts=facts(candidate.run, baseline.run if baseline else None, verdict),
    )
    return harmless(report)


def title(run: Run) -> str:
    """A checkpoint in words: its name, phase, step and tokens, as far as it knows them."""
    checkpoint = run.checkpoint
    parts = [checkpoint.name]
    if checkpoint.phase and checkpoint.phase not in checkpoint.name:
        parts.append(checkpoint.phase)
    if checkpoint.step is not None and str(checkpoint.step) not in checkpoint.name:
        parts.append(f"step {count(checkpoint.step)}")
    if checkpoint.tokens is not None:
        parts.append(f"{large(checkpoint.tokens)} tokens")
    return ", ".join(parts)


def finding_rank(finding: Finding) -> tuple[int, float, str, str]:
    """What to read first: what failed, the gravest of it before; a key for `sorted`."""
    excess = 0.0 if finding.state == "pass" else _excess(finding)
    return (_STATES.index(finding.state), -excess, finding.measure, str(finding.rule))


def _excess(finding: Finding) -> float:
    """How many times the allowance was used up, or how far a floor or ceiling was missed."""
    if finding.kind == "check":
        return math.inf
    rule = finding.rule
    if finding.observed is None:
        return 0.0
    seen = finding.observed.value
    if rule.not_worse_by is not None:
        return _times(abs(seen), rule.not_worse_by)
    if rule.at_least is not None:
        return _times(rule.at_least, seen)
    return _times(seen, rule.at_most) if rule.at_most is not None else 0.0


def _times(amount: float, of: float) -> float:
    return amount / of if of > 0 else math.inf if amount > 0 else 0.0


# ------------------------------------------------------------------ the banner


def _banner(
    run: Run,
    baseline: Results | None,
    verdict: Verdict | None,
    measures: Sequence[Measure],
    *,
    broken: Sequence[Broken],
) -> Banner:
    findings = sorted(verdict.findings if verdict else (), key=finding_rank)
    outcome = _outcome(run, verdict, broken)
    reasons = [f"{each.item}: {each.what}" for each in broken]
    said = [each for each in findings if not (broken and each.kind == "check")]
    reasons += [each.sentence for each in said if each.state == outcome]
    if outcome == "incomplete":
        lacking = _by_reason([each for each in run.skipped if each.missing])
        reasons += [f"{each.what}: {each.reason}" for each in lacking]
        reasons += [each.sentence for each in findings if each.state == "unclear"]
    judged = [each for each in measures if each.section in JUDGED and each.section != "throughput"]
    tasks = [each for each in judged if each.section == "task" and not each.marks]
    worse = [each for each in judged if each.word == "worse" and not each.marks]
    unruled = [each.name for each in worse if each.rule is None]
    if unruled and outcome in ("pass", "measured"):
        got = f"{plural(len(unruled), 'measure')} without a rule got worse"
        named = ", ".join(unruled[:3]) + (", ..." if len(unruled) > 3 else "")
        reasons.insert(0, f"{got}: {named}.")
    return Banner(
        outcome=outcome,
        word=outcome.upper(),
        headline=_headline(outcome, run, baseline, verdict, broken, scored=bool(judged)),
        reasons=tuple(reasons[:_REASONS_SHOWN]),
        more=max(0, len(reasons) - _REASONS_SHOWN),
        words=dict(sorted(Counter(each.word for each in tasks).items())),
        rules=dict(sorted(Counter(each.state for each in findings).items())),
    )


def _outcome(run: Run, verdict: Verdict | None, broken: Sequence[Broken]) -> Outcome:
    """What is known to be wrong comes first; nothing passes while something is missing."""
    if broken or (verdict and verdict.state == "fail"):
        return "fail"
    if not run.finished:
        return "incomplete"
    if verdict and verdict.state == "unclear":
        return "unclear"
    if any(each.missing for each in run.skipped):
        return "incomplete"
    return "pass" if verdict and _judges_scores(verdict) else "measured"


def _judges_scores(verdict: Verdict) -> bool:
    """False if only the checkpoint's health was judged: nothing is said of what it can do."""
    return not all(each.kind == "check" for each in verdict.findings)


def _headline(
    outcome: Outcome,
    run: Run,
    baseline: Results | None,
    verdict: Verdict | None,
    broken: Sequence[Broken],
    *,
    scored: bool,
) -> str:
    against = f" against {baseline.run.checkpoint.name}" if baseline else ""
    name = run.checkpoint.name
    if broken:
        return f"{name} is damaged: {plural(len(broken), 'health check')} found it unsound."
    gate = f"the gate {verdict.gate}{against}" if verdict else ""
    if outcome == "incomplete":
        passed = f" What was measured passes {gate}." if verdict and verdict.state == "pass" else ""
        if run.finished:
            return f"The evaluation of {name} is not complete.{passed}"
        return f"The evaluation of {name} was broken off; started again, it goes on from there."
    if outcome == "measured" and not scored:
        return f"Of {name} only the health was looked at: nothing was scored."
    sentences = {
        "fail": f"{name} does not pass {gate}.",
        "unclear": f"{name} cannot be judged yet by {gate}.",
        "pass": f"{name} passes {gate}.",
        "measured": f"{name} was measured{against}; no gate judged its scores.",
    }
    return sentences[outcome]


# ------------------------------------------------------------------ the parts


def _charts(measures: Sequence[Measure]) -> tuple[str, ...]:
    """What to draw large: broken rules, then what changed or has a rule, the clearest first."""

    def interest(measure: Measure) -> tuple[bool, bool, float]:
        changed = measure.word in ("worse", "better")
        return (measure.rule != "fail", not (changed or measure.rule), -_signal(measure.trail))

    tasks = [each for each in measures if each.section == "task" and each.trail]
    drawn = [each for each in tasks if each.main or each.rule == "fail"]
    return tuple(each.name for each in sorted(drawn, key=interest)[:CHARTS_SHOWN])


def _signal(ways: Sequence[Point]) -> float:
    """How far a measure moved over training, in standard errors."""
    values = [point.value for point in ways]
    errors = sorted(point.estimate.se for point in ways if point.estimate and point.estimate.se)
    return (max(values) - min(values)) / errors[len(errors) // 2] if errors else 0.0


def _health(records: pd.DataFrame) -> tuple[tuple[Broken, ...], int]:
    if records.empty:
        return (), 0
    mine = records[records["kind"] == "check"]
    unsound = mine[mine["value"] != 1]
    rows = sorted(unsound.to_dict("records"), key=lambda row: (row["metric"], row["item"]))
    broken = [
        Broken(str(row["metric"]), str(row["item"]), str(row["responses"]) or "unsound")
        for row in rows
    ]
    return tuple(broken), len(mine) - len(unsound)


def _by_reason(skipped: Sequence[Skipped]) -> tuple[Skipped, ...]:
    """One entry a reason, with the first few of what it skipped."""
    alike: dict[tuple[str, bool], list[str]] = {}
    for each in skipped:
        alike.setdefault((each.reason, each.missing), []).append(each.what)
    return tuple(
        Skipped(", ".join(names[:3]) + _and_more(names[3:]), reason, missing)
        for (reason, missing), names in alike.items()
    )


def _and_more(names: Sequence[str]) -> str:
    return f" and {len(names)} more" if names else ""


def _overruled(verdict: Verdict | None) -> tuple[Note, ...]:
    """What a person decided in spite of the verdict."""
    if verdict is None or verdict.accepted is None:
        return ()
    accepted = verdict.accepted
    return (Note(f"Overruled on {accepted.when}, training may go on: {accepted.reason}"),)


def _speeds(measures: Sequence[Measure]) -> tuple[Note, ...]:
    unequal = other_speed(measures)
    amount = sum(each.kind in SPEEDS for each in measures)
    return (Note(unequal, amount),) if unequal else ()


def _notes(
    run: Run, baseline: Results | None, measures: Sequence[Measure], history: ScoreHistory
) -> tuple[Note, ...]:
    notes = [Note(text) for text in run.notes]
    if baseline:
        notes += [Note(f"Of the baseline: {text}") for text in baseline.run.notes]
        if baseline.run.suite_digest != run.suite_digest:
            notes.append(Note("The two runs used different suites; only shared items compare."))
    repeated = Counter(each.note for each in measures if each.note)
    notes += [Note(text, amount) for text, amount in sorted(repeated.items())]
    if history.left_out and history.lines:
        left_out = plural(len(history.left_out), "run")
        notes.append(Note(f"Not drawn, as neither tokens nor step is known: {left_out}."))
    return tuple(notes)
