"""The report as Markdown, JSON and JUnit XML."""

from __future__ import annotations

import json
import math
from xml.etree import ElementTree

import pytest
from factories_report import (
    HOSTILE,
    a_finding,
    a_report,
    a_run,
    a_verdict,
    hostile_report,
    published,
    results,
    rows,
    two_runs,
)

from pyr.report import text
from pyr.schema import Aggregate


def cases(verdict):
    suites = ElementTree.fromstring(text.junit(verdict))
    return suites.find("testsuite"), list(suites.iter("testcase"))


def test_json_holds_the_numbers_in_full() -> None:
    new, old = two_runs()
    told = json.loads(text.as_json(a_report(new, old)))
    (measure,) = told["measures"]
    assert measure["delta"]["value"] == pytest.approx(-0.3, abs=1e-15)
    assert measure["candidate"]["n"] == 200
    assert told["banner"]["outcome"] == "measured"


def test_json_has_null_for_what_is_no_number() -> None:
    new = published(a_run("new"), Aggregate("sciq", "ppl", 11.0, None))
    told = text.as_json(a_report(new))
    assert "NaN" not in told and "Infinity" not in told
    assert json.loads(told)["measures"][0]["candidate"]["se"] is None


def test_json_of_the_same_report_is_the_same() -> None:
    first, second = (text.as_json(hostile_report()) for _ in range(2))
    assert first == second
    assert json.loads(first)


def test_no_text_form_holds_a_control_code() -> None:
    report, verdict = hostile_report(), a_verdict(a_finding("fail", HOSTILE, statement=HOSTILE))
    for told in (text.markdown(report), text.as_json(report), text.junit(verdict)):
        assert not set(told) & {"\x1b", "\x00", "\u202e"}


def test_markdown_says_the_verdict_the_findings_and_the_measures() -> None:
    new, old = two_runs()
    told = text.markdown(a_report(new, old, a_verdict(a_finding("fail"))))
    assert told.startswith("## FAIL: new does not pass the gate keep against old.")
    assert "- **FAIL** arc/acc says fail." in told
    assert "| arc/acc | worse | -0.300 (" in told


def test_markdown_quotes_what_html_and_tables_take_for_themselves() -> None:
    report = a_report(results(a_run("a|b <i> `c` [d](e) @f"), rows([1.0, 0.0])))
    told = text.markdown(report)
    assert "a\\|b &lt;i&gt; \\`c\\` \\[d\\](e) \\@f" in told
    assert "<script" not in text.markdown(hostile_report())


def test_markdown_of_nothing_says_so() -> None:
    assert "Nothing was measured." in text.markdown(a_report(results(a_run(finished=""))))


def test_junit_has_a_case_for_every_finding_and_the_sentence_in_a_failure() -> None:
    suite, found = cases(a_verdict(a_finding("fail"), a_finding("pass", "piqa/acc")))
    assert suite.attrib["tests"] == "2" and suite.attrib["failures"] == "1"
    assert [case.attrib["name"] for case in found] == [
        "arc/acc not_worse_by 0.02",
        "piqa/acc not_worse_by 0.02",
    ]
    failure = found[0].find("failure")
    assert failure.attrib["type"] == "fail" and failure.text == "arc/acc says fail."
    assert found[1].find("failure") is None


def test_an_unclear_finding_fails_the_build_where_the_gate_blocks() -> None:
    suite, (case,) = cases(a_verdict(a_finding("unclear")))
    assert case.find("failure").attrib["type"] == "unclear"
    assert suite.attrib["failures"] == "1" and suite.attrib["skipped"] == "0"


def test_an_unclear_finding_is_skipped_where_the_gate_allows_it() -> None:
    suite, (case,) = cases(a_verdict(a_finding("unclear"), state="pass"))
    assert case.find("failure") is None
    assert "says unclear" in case.find("skipped").attrib["message"]
    assert suite.attrib["failures"] == "0" and suite.attrib["skipped"] == "1"


def test_junit_survives_text_that_xml_forbids() -> None:
    _, (case,) = cases(a_verdict(a_finding("fail", f"{HOSTILE}\ufffe\ud800", statement=HOSTILE)))
    assert "<script>alert(1)</script>\u241b[31m" in case.find("failure").text


def test_a_margin_in_markdown_is_never_not_a_number() -> None:
    told = text.markdown(a_report(published(a_run(), Aggregate("x", "acc", 0.5, math.inf))))
    assert "nan" not in told.lower() and "inf" not in told
