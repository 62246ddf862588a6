"""Verdicts on disk: written, read again, overruled by a person, and recomputed from the records."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pyr.compare import average
from pyr.errors import StoreError, UsageError
from pyr.gate.spec import Acceptance, Finding, Gate, Verdict
from pyr.gate.verdict import assess
from pyr.store import Results, Store

_VERDICT = TypeAdapter(Verdict)
_INFINITE = {"Infinity": float("inf"), "-Infinity": float("-inf")}


def as_json(verdict: Verdict) -> str:
    """The verdict as JSON, the same bytes for the same verdict; infinite numbers as texts."""
    plain = _finite(_VERDICT.dump_python(verdict, exclude_none=False))
    for finding, written in zip(verdict.findings, plain["findings"], strict=True):
        written["sentence"] = finding.sentence
        written["rule"] = finding.rule.model_dump(exclude_defaults=True)
    if verdict.definition is not None:
        plain["definition"] = verdict.definition.model_dump(exclude_defaults=True)
    return json.dumps(plain, indent=2, sort_keys=True, allow_nan=False) + "\n"


def read_verdict(file: Path) -> Verdict:
    """The verdict in a ``verdict.json``. Raises StoreError if it is none."""
    try:
        return _VERDICT.validate_python(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise StoreError(
            f"the verdict cannot be read: {error.strerror or error}.",
            where=str(file),
            remedy="name a verdict.json, or the run folder that holds one",
        ) from error
    except (ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise StoreError(
            f"the file holds no verdict: {reason}.",
            where=str(file),
            remedy="write it again with: pyr compare BASELINE CANDIDATE --gate GATE",
        ) from error


def accept(verdict: Verdict, reason: str, when: str) -> Verdict:
    """The verdict, overruled: training may go on. Its state and findings stay as they were found.

    when: ISO 8601, UTC. Raises UsageError without a reason, or where there is nothing to overrule.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise UsageError(
            "a verdict is overruled for a reason.", remedy='pyr gate accept VERDICT "what you know"'
        )
    if verdict.state == "pass":
        raise UsageError(
            f"the gate {verdict.gate} passed: there is nothing to overrule.",
            where=verdict.run,
            remedy="go on: a gate that passed stands in nobody's way",
        )
    return dataclasses.replace(verdict, accepted=Acceptance(reason, when))


def still_accepted(verdict: Verdict, earlier: Verdict) -> Verdict:
    """The verdict with an earlier acceptance, if that was given to the very same evidence."""
    same = (verdict.state, verdict.digests) == (earlier.state, dict(earlier.digests))
    if not same or earlier.accepted is None:
        return verdict
    return dataclasses.replace(verdict, accepted=earlier.accepted)


def verify(verdict: Verdict, gate: Gate, store: Store) -> list[str]:
    """What is not as the verdict says, recomputed from the stored records; empty if all is.

    Raises StoreError if a run it rests on is not in the store.
    """
    candidate = _results(verdict.run, verdict, store)
    baseline = _results(verdict.baseline, verdict, store) if verdict.baseline else None
    history = [store.results(store.run(name)) for name in verdict.history]
    parts = verdict.means.get(verdict.run, ())
    history += [store.results(store.run(name)) for name in parts]
    documents = store.documents(store.run(parts[-1] if parts else verdict.run))
    found = assess(gate, candidate, baseline, history=history, documents=documents).verdict
    assert found is not None
    return [*_changed_digests(verdict, found), *_changed_findings(verdict, found)]


def _results(name: str, verdict: Verdict, store: Store) -> Results:
    parts = verdict.means.get(name, (name,))
    return average([store.results(store.run(part)) for part in parts])


def _changed_digests(old: Verdict, new: Verdict) -> Iterator[str]:
    for part in sorted({*old.digests, *new.digests}):
        before, now = old.digests.get(part, "none"), new.digests.get(part, "none")
        if before != now:
            yield f"{part.replace('_', ' ')}: sha256 {now[:12]}, the verdict says {before[:12]}"


def _changed_findings(old: Verdict, new: Verdict) -> Iterator[str]:
    if old.state != new.state:
        yield f"the verdict is {new.state}, it says {old.state}"
    before, now = _by_rule(old), _by_rule(new)
    for measure, rule in sorted({*before, *now}):
        was, now_is = before.get((measure, rule)), now.get((measure, rule))
        if was is None or now_is is None or was.state != now_is.state:
            said = was.state if was else "nothing"
            yield f"{measure} {rule}: {now_is.state if now_is else 'nothing'}, it says {said}"
        elif _numbers(was) != _numbers(now_is):
            yield f"{measure} {rule}: the numbers differ: {now_is.sentence}"


def _numbers(finding: Finding) -> tuple[str | int | None, ...]:
    """What was found, to six digits; in words where there are no numbers."""
    if finding.observed is None:
        return (finding.sentence,)
    seen = finding.observed
    exact = (seen.value, seen.se, finding.bound)
    rounded = (None if each is None else f"{each:.6g}" for each in exact)
    return (*rounded, seen.n, seen.clusters, finding.n_needed)


def _by_rule(verdict: Verdict) -> dict[tuple[str, str], Finding]:
    return {(finding.measure, str(finding.rule)): finding for finding in verdict.findings}


def _finite(value: Any) -> Any:
    """JSON has no infinity: as the text that Python's reader would take."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, float) and value != value:
        return "NaN"
    if value in _INFINITE.values():
        return "Infinity" if value > 0 else "-Infinity"
    return value
