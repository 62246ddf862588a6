"""The report as Markdown for people, as JSON for programs, and as JUnit XML for build servers."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

from pyr.gate.spec import Finding, Rule, Verdict
from pyr.report import words
from pyr.report.measures import Measure, Section
from pyr.report.outline import Report, title
from pyr.report.speed import readable

ROWS_SHOWN = 60
_TABLES: tuple[tuple[Section, str], ...] = (
    ("task", "Measures"),
    ("tokenizer", "Tokenizer"),
    ("throughput", "Throughput"),
)


def markdown(report: Report) -> str:
    """The verdict, the findings and the measures, for a pull request or a job's summary."""
    banner = report.banner
    said = [f"## {banner.word}: {_quoted(banner.headline)}", "", _quoted(title(report.candidate))]
    if report.baseline is not None:
        said[-1] += f" against {_quoted(title(report.baseline))}"
    said[-1] += f"; suite {_quoted(report.candidate.suite)}"
    said += ["", *(f"- {_quoted(reason)}" for reason in banner.reasons)]
    if banner.more:
        said.append(f"- and {words.plural(banner.more, 'more reason')}")
    said += _section("Skipped", [f"{each.what}: {each.reason}" for each in report.skipped])
    findings = [f"**{each.state.upper()}** {_quoted(each.sentence)}" for each in report.findings]
    if findings:
        said += [
            "",
            f"### The gate {_quoted(report.gate)}",
            "",
            *(f"- {each}" for each in findings),
        ]
    tables = [table for kind, heading in _TABLES for table in _table(report, kind, heading)]
    said += tables or ["", "### Measures", "", "Nothing was measured."]
    said += _section("Notes", [note.text for note in report.notes])
    return re.sub(r"\n{3,}", "\n\n", "\n".join(said)) + "\n"


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


# ------------------------------------------------------------------ Markdown


def _section(heading: str, texts: list[str]) -> list[str]:
    return ["", f"### {heading}", "", *(f"- {_quoted(each)}" for each in texts)] if texts else []


def _table(report: Report, kind: Section, heading: str) -> Iterator[str]:
    measures = report.of(kind)
    if not measures:
        return
    yield from ("", f"### {heading}", "")
    yield "| measure | change | difference | now | before | n |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for each in measures[:ROWS_SHOWN]:
        yield f"| {' | '.join(_quoted(cell) for cell in _cells(readable(each)))} |"
    if len(measures) > ROWS_SHOWN:
        yield f"\nand {words.plural(len(measures) - ROWS_SHOWN, 'more measure')} in the report."


def _cells(measure: Measure) -> list[str]:
    now, before = measure.candidate, measure.baseline
    known = now or before
    places = words.decimals(now.value if now else None, before.value if before else None)
    own, delta, reach = "", "", ""
    if now is not None:
        own = words.reach(now.value, measure.least, measure.most, places)
    if measure.delta is not None:
        delta = words.signed(measure.delta.value, places)
    if measure.low is not None and measure.high is not None and measure.high > measure.low:
        low, high = words.signed(measure.low, places), words.signed(measure.high, places)
        reach = f" ({low} to {high})"
    unit = f", {measure.unit}" if measure.section == "throughput" and measure.unit else ""
    return [
        measure.name + unit,
        _word(measure),
        delta + reach,
        f"{words.number(now.value, places) if now else '-'}{_in_brackets(own)}",
        words.number(before.value, places) if before else "-",
        f"{words.count(known.n)} {words.clustered(known.n, known.clusters)}" if known else "-",
    ]


def _in_brackets(reach: str) -> str:
    """An interval after its value; in brackets where it is two ends."""
    if not reach:
        return ""
    return f" {reach}" if reach.startswith(words.PLUS_MINUS) else f" ({reach})"


def _word(measure: Measure) -> str:
    word = str(measure.word).replace("not compared", "")
    if measure.marks:
        return f"{word} ({measure.said})".strip()
    return ", ".join(filter(None, (word, measure.said)))


def _quoted(text: str) -> str:
    """Text that Markdown and HTML take for itself, on one line."""
    flat = words.one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]#|~@])", r"\\\1", flat)


# ------------------------------------------------------------------ JSON


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
