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


def junit(verdict: Verdict) -> str:
    """One test case a finding; the failure's text is the sentence.

    An unclear finding is a failure of type ``unclear``, or is skipped where the gate passed with
    it, because it allows what cannot be decided.
    """
    allowed = verdict.state == "pass"
    unclear = sum(finding.state == "unclear" for finding in verdict.findings)
    failed = sum(finding.state == "fail" for finding in verdict.findings)
    counts = {
        "tests": str(len(verdict.findings)),
        "failures": str(failed if allowed else failed + unclear),
        "skipped": str(unclear if allowed else 0),
        "errors": "0",
    }
    suites = ElementTree.Element("testsuites", counts)
    name = words.visible(f"{verdict.gate}: {verdict.run}")
    suite = ElementTree.SubElement(suites, "testsuite", {"name": name, **counts})
    for finding in verdict.findings:
        _case(suite, finding, words.visible(verdict.gate), allowed=allowed)
    ElementTree.indent(suites)
    document = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{document}\n'


def _case(suite: ElementTree.Element, finding: Finding, gate: str, *, allowed: bool) -> None:
    name = words.visible(f"{finding.measure} {finding.rule}".strip())
    case = ElementTree.SubElement(suite, "testcase", {"classname": gate, "name": name})
    sentence = words.visible(finding.sentence)
    why = f"\nWhy this rule: {words.visible(finding.why)}" if finding.why else ""
    if finding.state == "unclear" and allowed:
        ElementTree.SubElement(case, "skipped", {"message": sentence})
    elif finding.state != "pass":
        kind = {"type": finding.state, "message": sentence}
        ElementTree.SubElement(case, "failure", kind).text = sentence + why
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
