"""Apply a gate's rules to a comparison and return a verdict.

Many rules make two errors differ. A false pass needs every rule to pass by chance at once: each at
its own level keeps the whole at that level, uncorrected (intersection-union test: Berger 1982,
Technometrics 24). A false fail needs only one, and grows with their number: there Holm's correction
keeps the chance that any sound measure fails at one minus the gate's confidence (Holm 1979,
Scandinavian Journal of Statistics 6).
"""

from __future__ import annotations

import hashlib
import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal

import pandas as pd
from scipy import special

from pyr.compare import (
    Reliability,
    ScoreHistory,
    average_of,
    chances,
    compare,
    holm,
    reliabilities,
    score_history,
    with_noise,
)
from pyr.errors import ContentError, did_you_mean
from pyr.gate import rules, sentences, sequential
from pyr.gate.rules import Bench, bar_to_pass, obstacle, skipped
from pyr.gate.sequential import asked_of
from pyr.gate.spec import Finding, Gate, Rule, Verdict
from pyr.schema import HEALTH, Comparison, Kind, Run, State
from pyr.store import Results
from pyr.store.tables import records_digest

_MISTAKES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a rule's own function may raise by mistake."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What changed, what the gate says of it, and what both rest on."""

    comparisons: Sequence[Comparison]
    verdict: Verdict | None = None
    """None without a gate."""
    history: ScoreHistory = ScoreHistory("tokens", {})
    chances: Mapping[str, float] = field(default_factory=dict)
    """What guessing would score, by measure."""
    reliable: Mapping[str, Reliability] = field(default_factory=dict)
    """What the history says of each measure."""


def assess(
    gate: Gate | None,
    candidate: Results,
    baseline: Results | None,
    *,
    history: Sequence[Results] = (),
    documents: pd.DataFrame | None = None,
) -> Assessment:
    """Compare, join checkpoint noise where history shows it, and judge.

    history: stored runs of the candidate's training; noise and signal rest on those of its phase.
    documents: the candidate's items as asked, for what guessing would score.
    """
    known = score_history(history, candidate)
    comparisons = with_noise(compare(candidate, baseline), candidate, baseline, known.phase)
    guessing = chances(documents, comparisons) if documents is not None else {}
    reliable = reliabilities(candidate, known.phase, guessing)
    assessed = Assessment(comparisons, None, known, guessing, reliable)
    if gate is None:
        return assessed
    own = {candidate.run.id, *average_of(candidate.run)}
    verdict = judge(
        with_health(gate, candidate.run),
        candidate,
        baseline,
        comparisons,
        history=[each for each in known.phase if each.run.id not in own],
        chances=guessing,
        reliable=reliable,
    )
    return replace(assessed, verdict=verdict)


def with_health(gate: Gate, run: Run) -> Gate:
    """The gate with a guard that every health check holds, unless it has one.

    An imported run has no health records, and nothing to be said of them.
    """
    named = any(rule.task == HEALTH for rule in gate.rules)
    if named or run.checkpoint.format == "imported":
        return gate
    health = Rule(measure=f"{HEALTH}/*", at_least=1, why="a broken checkpoint has no scores")
    return gate.model_copy(update={"guards": [health, *gate.guards]})


def judge(
    gate: Gate,
    candidate: Results,
    baseline: Results | None,
    comparisons: Sequence[Comparison],
    *,
    history: Sequence[Results] = (),
    chances: Mapping[str, float] | None = None,
    reliable: Mapping[str, Reliability] | None = None,
) -> Verdict:
    """The gate's answer on a candidate: one finding for every rule and measure it matches.

    comparisons: as `compare` gives them, or `with_noise` of these and `history`; what the verdict
    rests on is digested. chances: what guessing scores, by measure. reliable: what the history says
    of a measure; a rule passes on none that fails, unless it only watches.
    Raises ContentError if a rule's `call` cannot be called.
    """
    bench = Bench(
        gate,
        candidate,
        baseline,
        comparisons,
        chances=chances or {},
        reliable=reliable or {},
        asked=asked_of(candidate),
    )
    findings: list[Finding] = []
    for part, members in gate.parts.items():
        for rule in members:
            findings += [replace(finding, part=part) for finding in _findings(bench, rule)]
    # Where the unclear may pass, a fail made unclear would open the gate: there each stands alone.
    if gate.family == "holm" and gate.unclear == "block":
        findings = corrected(findings, 1 - gate.confidence)
    runs = [candidate.run, *([baseline.run] if baseline else [])]
    return Verdict(
        gate=gate.name,
        run=candidate.run.id,
        baseline=baseline.run.id if baseline else "",
        state=verdict_state([finding.state for finding in findings], unclear=gate.unclear),
        findings=findings,
        digests=_digests(bench, history),
        definition=bench.gate,
        history=tuple(each.run.id for each in history),
        means={run.id: average_of(run) for run in runs if average_of(run)},
    )


def verdict_state(states: Sequence[State], *, unclear: Literal["block", "allow"]) -> State:
    """One state for a gate: any fail fails; unclear counts as the gate's policy says."""
    if "fail" in states:
        return "fail"
    if "unclear" in states and unclear == "block":
        return "unclear"
    return "pass"


def _digests(bench: Bench, history: Sequence[Results]) -> dict[str, str]:
    """sha256 of all that the verdict rests on."""
    gate = bench.gate.model_dump_json().encode()
    digests = {"gate": hashlib.sha256(gate).hexdigest()}
    for who, results in (("candidate", bench.candidate), ("baseline", bench.baseline)):
        if results is not None:
            digests[f"{who}_checkpoint"] = results.run.checkpoint.digest
            digests[f"{who}_suite"] = results.run.suite_digest
            digests[f"{who}_records"] = records_digest(results)
    if history:
        records = "".join(records_digest(each) for each in history).encode()
        digests["history_records"] = hashlib.sha256(records).hexdigest()
    return digests


# ------------------------------------------------------------------ findings


def _findings(bench: Bench, rule: Rule) -> Iterator[Finding]:
    seen = set()
    for row in bench.comparisons:
        if _asked(bench, rule, row):
            seen |= {row.task, row.group}
            yield _finding(bench, rule, row)
    matched = bool(seen)
    for what, why in skipped(bench, rule).items():
        if what not in seen:
            matched = True
            yield _watched(rule, _unclear(rule, rule.measure, f"{what} was skipped: {why}"))
    if not matched:
        near = did_you_mean(rule.measure, [row.measure for row in bench.comparisons])
        reason = f"neither run has a measure of that name; {near}"
        yield _watched(rule, _unclear(rule, rule.measure, reason.removesuffix("; ")))


def _asked(bench: Bench, rule: Rule, row: Comparison) -> bool:
    """True if the rule is about this measure.

    A pattern of checks is about those that the candidate has, with or without a baseline: what was
    trained on preferences has no loss of language that its baseline's check could be made with.
    """
    if row.measure == rule.measure:
        return True
    skip = any(each.what == row.task for each in bench.candidate.run.skipped)
    lacking = row.kind == "check" and row.candidate is None and not skip
    return fnmatchcase(row.measure, rule.measure) and not (lacking and not rules.is_relative(rule))


def _watched(rule: Rule, finding: Finding) -> Finding:
    """The finding as it is, or made one that closes no gate; broken health is never watched."""
    if not rule.watch:
        return finding
    remarks = (*finding.remarks, sentences.watched(finding.state))
    return replace(finding, state="pass", remarks=remarks, p_fail=None)


def _finding(bench: Bench, rule: Rule, row: Comparison) -> Finding:
    if row.kind == "check" and row.candidate is not None and row.candidate.value < 1:
        return _broken(bench, rule, row)
    reason = obstacle(bench, rule, row)
    if reason:
        return _watched(rule, _unclear(rule, row.measure, reason, row.kind))
    if rule.call is not None:
        return _watched(rule, _called(rule.call, row))
    return _watched(rule, _judged(bench, rule, row))


def _judged(bench: Bench, rule: Rule, row: Comparison) -> Finding:
    observed = row.delta if rules.is_relative(rule) else row.candidate
    assert observed is not None
    when = sequential.looked(bench, row)
    asked = rules.demand(rule, row)
    limits = sequential.limits(observed, 1 - bench.gate.confidence, when)
    state = rules.decide(asked, limits)
    tail = sequential.left(1 - bench.gate.confidence, when)
    n = rules.n_needed(asked, observed, tail) if state == "unclear" else None
    needed = rules.more_needed(asked, observed, tail) if state == "unclear" else ""
    level = f"{100 * bench.gate.confidence:g}%"
    needed = sentences.items_needed(n) if n else needed
    of = bench.asked.get(row.task, (0, 0))[1]
    statement = sentences.judged(rule, row, limits, state, level=level, needed=needed, of=of)
    bar = bar_to_pass(bench, rule, row) if state == "pass" else ""
    if bar:
        state = "unclear"
    return Finding(
        measure=row.measure,
        rule=rule,
        state=state,
        observed=observed,
        bound=rules.deciding_limit(asked, limits, state),
        n_needed=n,
        statement=statement,
        remarks=(f", but cannot pass as {bar}",) if bar else (),
        why=rule.why,
        kind=row.kind,
        p_fail=sequential.p_fail(asked, observed, when),
    )


def _unclear(rule: Rule, measure: str, reason: str, kind: Kind = "score") -> Finding:
    return Finding(
        measure=measure,
        rule=rule,
        state="unclear",
        observed=None,
        bound=None,
        n_needed=None,
        statement=f"{measure} cannot be judged: {reason}",
        why=rule.why,
        kind="check" if rule.task == HEALTH else kind,
    )


def _broken(bench: Bench, rule: Rule, row: Comparison) -> Finding:
    records = bench.candidate.records
    ours = (records["task"] == row.task) & (records["metric"] == row.metric)
    return Finding(
        measure=row.measure,
        rule=rule,
        state="fail",
        observed=row.candidate,
        bound=row.candidate.value if row.candidate else None,
        n_needed=None,
        statement=sentences.broken(row, records[ours & (records["value"] < 1)]),
        why=rule.why,
        kind=row.kind,
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
            remedy="return a pyr.gate.spec.Finding",
        )
    return found


# ------------------------------------------------------------------ many rules, one verdict


def corrected(findings: Sequence[Finding], alpha: float) -> list[Finding]:
    """The findings, those that fail only by their number made unclear.

    The family is every finding with a test behind it. Broken checks are no test: they stay.
    """
    family = [finding.p_fail for finding in findings]
    certain = holm(family, alpha)
    count = sum(p is not None for p in family)
    kept = []
    for finding, sure in zip(findings, certain, strict=True):
        by_number = finding.state == "fail" and finding.p_fail is not None and not sure
        kept.append(_demoted(finding, alpha, count) if by_number else finding)
    return kept


def _demoted(finding: Finding, alpha: float, count: int) -> Finding:
    """z grows with sqrt(n): as many times more items as the squared ratio of z asked to z seen."""
    needed, said = None, "more items would decide it"
    if finding.p_fail and finding.observed and finding.observed.n:
        seen, asked = special.ndtri([finding.p_fail, alpha / count])
        needed = math.ceil(finding.observed.n * (asked / seen) ** 2)
        said = sentences.items_needed(needed)
    remarks = (*finding.remarks, sentences.one_of_many(count, said))
    return replace(finding, state="unclear", n_needed=needed, remarks=remarks)
