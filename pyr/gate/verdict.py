"""The rules on the bench: what they match, what stands in the way, the findings, the verdict."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from pyr.compare import OTHER_DOCUMENTS, OTHER_PROMPTS, interval
from pyr.errors import ContentError, did_you_mean
from pyr.gate import rules, sentences
from pyr.schema import Comparison, Finding, Gate, Rule, State, Verdict
from pyr.store import Results
from pyr.store.table import records_digest

_MISTAKES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a rule's own function may raise by mistake."""


@dataclass(frozen=True, slots=True)
class _Bench:
    """What the rules are judged on."""

    gate: Gate
    candidate: Results
    baseline: Results | None
    comparisons: Sequence[Comparison]


def judge(
    gate: Gate,
    candidate: Results,
    baseline: Results | None,
    comparisons: Sequence[Comparison],
) -> Verdict:
    """The gate's answer on a candidate: one finding for every rule and measure it matches.

    comparisons: as `compare(candidate, baseline)` gives them.
    Raises ContentError if a rule's `call` cannot be called.
    """
    bench = _Bench(gate, candidate, baseline, comparisons)
    findings = [finding for rule in gate.rules for finding in _findings(bench, rule)]
    return Verdict(
        gate=gate.name,
        run=candidate.run.id,
        baseline=baseline.run.id if baseline else "",
        state=verdict_state([finding.state for finding in findings], unclear=gate.unclear),
        findings=findings,
        digests=_digests(bench),
    )


def verdict_state(states: Sequence[State], *, unclear: Literal["block", "allow"]) -> State:
    """One state for a gate: any fail fails; unclear counts as the gate's policy says."""
    if "fail" in states:
        return "fail"
    if "unclear" in states and unclear == "block":
        return "unclear"
    return "pass"


def _digests(bench: _Bench) -> dict[str, str]:
    """sha256 of all that the verdict rests on."""
    gate = bench.gate.model_dump_json().encode()
    digests = {"gate": hashlib.sha256(gate).hexdigest()}
    for who, results in (("candidate", bench.candidate), ("baseline", bench.baseline)):
        if results is not None:
            digests[f"{who}_checkpoint"] = results.run.checkpoint.digest
            digests[f"{who}_suite"] = results.run.suite_digest
            digests[f"{who}_records"] = records_digest(results)
    return digests


# ------------------------------------------------------------------ findings


def _findings(bench: _Bench, rule: Rule) -> Iterator[Finding]:
    matched = [row for row in bench.comparisons if fnmatchcase(row.measure, rule.measure)]
    for row in matched:
        yield _finding(bench, rule, row)
    seen = {row.task for row in matched} | {row.group for row in matched}
    unseen = {what: why for what, why in _skipped(bench, rule).items() if what not in seen}
    for what, why in unseen.items():
        yield _unclear(rule, rule.measure, f"{what} was skipped: {why}")
    if not matched and not unseen:
        near = did_you_mean(rule.measure, [row.measure for row in bench.comparisons])
        reason = f"neither run has a measure of that name; {near}"
        yield _unclear(rule, rule.measure, reason.removesuffix("; "))


def _skipped(bench: _Bench, rule: Rule) -> dict[str, str]:
    """The tasks that the rule asks for and the candidate's suite could not measure, and why."""
    asked = rule.measure.rpartition("/")[0]
    return {
        skip.what: skip.reason
        for skip in bench.candidate.run.skipped
        if skip.what == asked or (skip.missing and fnmatchcase(skip.what, asked))
    }


def _finding(bench: _Bench, rule: Rule, row: Comparison) -> Finding:
    if row.unit == "check" and row.candidate is not None and row.candidate.value < 1:
        return _broken(bench, rule, row)
    obstacle = _obstacle(bench, rule, row)
    if obstacle:
        return _unclear(rule, row.measure, obstacle)
    if rule.call is not None:
        return _called(rule.call, row)
    return _judged(bench, rule, row)


def _judged(bench: _Bench, rule: Rule, row: Comparison) -> Finding:
    observed = row.delta if rules.is_relative(rule) else row.candidate
    assert observed is not None
    confidence = bench.gate.confidence
    asked = rules.demand(rule, row)
    limits = interval(observed, confidence, sides=1)
    state = rules.decide(asked, limits)
    needed = rules.n_needed(asked, observed, confidence) if state == "unclear" else None
    level = f"{100 * confidence:g}%"
    said = sentences.judged(rule, row, limits, state, level=level, n_needed=needed)
    if state == "pass" and rules.is_relative(rule) and OTHER_PROMPTS in row.note:
        state, said = "unclear", f"{said[:-1]}, but cannot pass as {row.note}."
    return Finding(
        measure=row.measure,
        rule=sentences.rule_in_words(rule),
        state=state,
        observed=observed,
        bound=rules.deciding_limit(asked, limits, state),
        n_needed=needed,
        sentence=said,
        why=rule.why,
    )


def _unclear(rule: Rule, measure: str, reason: str) -> Finding:
    return Finding(
        measure=measure,
        rule=sentences.rule_in_words(rule),
        state="unclear",
        observed=None,
        bound=None,
        n_needed=None,
        sentence=sentences.not_judged(measure, reason),
        why=rule.why,
    )


def _broken(bench: _Bench, rule: Rule, row: Comparison) -> Finding:
    records = bench.candidate.records
    ours = (records["task"] == row.task) & (records["metric"] == row.metric)
    return Finding(
        measure=row.measure,
        rule=sentences.rule_in_words(rule),
        state="fail",
        observed=row.candidate,
        bound=row.candidate.value if row.candidate else None,
        n_needed=None,
        sentence=sentences.broken(row, records[ours & (records["value"] < 1)]),
        why=rule.why,
    )


def _called(name: str, row: Comparison) -> Finding:
    """What the rule's own function says of this measure."""
    module, _, function = name.partition(":")
    try:
        found = vars(importlib.import_module(module))[function](row)
    except (ImportError, SyntaxError, *_MISTAKES) as error:
        raise ContentError(
            f"call '{name}' failed on {row.measure}: {type(error).__name__}: {error}",
            where="rules: call",
            remedy="write module:function; it takes a Comparison and returns a Finding",
        ) from error
    if not isinstance(found, Finding):
        raise ContentError(
            f"call '{name}' returned {type(found).__name__} for {row.measure}.",
            where="rules: call",
            remedy="return a pyr.schema.Finding",
        )
    return found


# ------------------------------------------------------------------ obstacles


def _obstacle(bench: _Bench, rule: Rule, row: Comparison) -> str:
    """Why the rule cannot be judged on this measure, or an empty string."""
    skipped = _skipped_of(bench, row)
    if skipped:
        return skipped
    if row.candidate is None:
        return row.note
    if not bench.candidate.run.finished:
        return f"run {bench.candidate.run.id} is not finished"
    if row.unit != "check" and row.candidate.n == 1:
        return "a single item says nothing of its own error"
    if row.unit != "check" and row.baseline is not None and 0 < row.candidate.n < row.baseline.n:
        return f"only {row.candidate.n} of the baseline's {row.baseline.n} items were measured"
    return _unfair(bench, row) if rules.is_relative(rule) else ""


def _skipped_of(bench: _Bench, row: Comparison) -> str:
    """Which part of this measure the candidate's suite could not measure, or an empty string."""
    for skip in bench.candidate.run.skipped:
        if skip.what == row.task:
            return f"{skip.what} was skipped: {skip.reason}"
        # lm-eval names the tasks of a group after it; a skipped one left no record that says so.
        if row.task == row.group and skip.missing and skip.what.startswith(f"{row.task}_"):
            return f"{skip.what} of {row.group} was skipped: {skip.reason}"
    return ""


def _unfair(bench: _Bench, row: Comparison) -> str:
    """Why the difference from the baseline cannot be judged, or an empty string."""
    if bench.baseline is None:
        return "there is no baseline to compare with"
    ours, theirs = bench.candidate.run, bench.baseline.run
    if not theirs.finished:
        return f"the baseline {theirs.id} is not finished"
    partial = row.paired and row.delta and row.candidate and row.delta.n < row.candidate.n
    if row.delta is None or OTHER_DOCUMENTS in row.note or partial:
        return row.note
    if OTHER_PROMPTS in row.note and ours.suite_digest != theirs.suite_digest:
        return f"{row.note}, and so do the suites"
    return ""
