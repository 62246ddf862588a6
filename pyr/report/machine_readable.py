"""The report for programs: JSON with every number in full, and JUnit XML for build servers."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from pyr.gate.spec import Finding, Rule, Verdict
from pyr.report import words
from pyr.report.outline import Report


def as_json(report: Report) -> str:
    """Everything in the report, numbers in full; what is not finite is null. Keys are sorted."""
    return json.dumps(_plain(report), indent=2, sort_keys=True, allow_nan=False) + "\n"


def junit(verdict: Verdict, seconds: Mapping[str, float]) -> str:
    """One test case a finding; the text of a failure or an error is the sentence.

    seconds: wall time by task, which is the time of each of its cases. An unclear finding is an
    error of type ``unclear``, or is skipped where the gate passed with it, because it allows what
    cannot be decided.
    """
    allowed = verdict.state == "pass"
    unclear = sum(finding.state == "unclear" for finding in verdict.findings)
    failed = sum(finding.state == "fail" for finding in verdict.findings)
    counts = {
        "tests": str(len(verdict.findings)),
        "failures": str(failed),
        "skipped": str(unclear if allowed else 0),
        "errors": str(0 if allowed else unclear),
        "time": f"{sum(seconds.values()):.3f}",
    }
    suites = ElementTree.Element("testsuites", counts)
    name = words.visible(f"{verdict.gate}: {verdict.run}")
    suite = ElementTree.SubElement(suites, "testsuite", {"name": name, **counts})
    for finding in verdict.findings:
        case = ElementTree.SubElement(suite, "testcase", {"classname": words.visible(verdict.gate)})
        case.set("name", words.visible(f"{finding.measure} {finding.rule}".strip()))
        case.set("time", f"{seconds.get(finding.measure.rpartition('/')[0], 0.0):.3f}")
        _fill(case, finding, allowed=allowed)
    ElementTree.indent(suites)
    document = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{document}\n'


def _fill(case: ElementTree.Element, finding: Finding, *, allowed: bool) -> None:
    sentence = words.visible(finding.sentence)
    why = f"\nWhy this rule: {words.visible(finding.why)}" if finding.why else ""
    if finding.state == "unclear" and allowed:
        ElementTree.SubElement(case, "skipped", {"message": sentence})
    elif finding.state != "pass":
        kind = {"type": finding.state, "message": sentence}
        tag = "failure" if finding.state == "fail" else "error"
        ElementTree.SubElement(case, tag, kind).text = sentence + why
    else:
        ElementTree.SubElement(case, "system-out").text = sentence + why


def _plain(value: Any) -> Any:
    if isinstance(value, Rule):
        return str(value)
    if isinstance(value, Finding):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _plain({**fields, "sentence": value.sentence})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
