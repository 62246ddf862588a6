"""The report as JSON and JUnit XML."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from factories_report import (
    HOSTILE,
    a_finding,
    a_report,
    a_run,
    a_verdict,
    as_markdown,
    hostile_report,
    published,
    two_runs,
)

from pyr.report import machine_readable
from pyr.schema import Aggregate


def cases(verdict):
    suites = ElementTree.fromstring(machine_readable.junit(verdict, {}))
    return suites.find("testsuite"), list(suites.iter("testcase"))


def test_json_holds_the_numbers_in_full() -> None:
    new, old = two_runs()
    told = json.loads(machine_readable.as_json(a_report(new, old)))
    (measure,) = told["measures"]
    assert measure["delta"]["value"] == pytest.approx(-0.3, abs=1e-15)
    assert measure["candidate"]["n"] == 200
    assert told["banner"]["outcome"] == "measured"


def test_json_has_null_for_what_is_no_number() -> None:
    new = published(a_run("new"), Aggregate("sciq", "ppl", 11.0, None))
    told = machine_readable.as_json(a_report(new))
    assert "NaN" not in told and "Infinity" not in told
    assert json.loads(told)["measures"][0]["candidate"]["se"] is None


def test_json_of_the_same_report_is_the_same() -> None:
    first, second = (machine_readable.as_json(hostile_report()) for _ in range(2))
    assert first == second
    assert json.loads(first)


def test_no_text_form_holds_a_control_code() -> None:
    report, verdict = hostile_report(), a_verdict(a_finding("fail", HOSTILE, statement=HOSTILE))
    for told in (
        as_markdown(report),
        machine_readable.as_json(report),
        machine_readable.junit(verdict, {}),
    ):
        assert not set(told) & {"\x1b", "\x00", "\u202e"}


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


def test_an_unclear_finding_is_an_error_and_no_failure_where_the_gate_blocks() -> None:
    suite, (case,) = cases(a_verdict(a_finding("unclear")))
    assert case.find("error").attrib["type"] == "unclear" and case.find("failure") is None
    counts = {name: suite.attrib[name] for name in ("failures", "errors", "skipped")}
    assert counts == {"failures": "0", "errors": "1", "skipped": "0"}


def test_a_case_takes_the_time_of_its_task() -> None:
    found = machine_readable.junit(a_verdict(a_finding("fail")), {"arc": 1.5, "piqa": 2.0})
    suite = ElementTree.fromstring(found).find("testsuite")
    assert suite.attrib["time"] == "3.500"
    assert suite.find("testcase").attrib["time"] == "1.500"


def test_an_unclear_finding_is_skipped_where_the_gate_allows_it() -> None:
    suite, (case,) = cases(a_verdict(a_finding("unclear"), state="pass"))
    assert case.find("failure") is None
    assert "says unclear" in case.find("skipped").attrib["message"]
    assert suite.attrib["failures"] == "0" and suite.attrib["skipped"] == "1"


def test_junit_survives_text_that_xml_forbids() -> None:
    _, (case,) = cases(a_verdict(a_finding("fail", f"{HOSTILE}\ufffe\ud800", statement=HOSTILE)))
    assert "<script>alert(1)</script>\u241b[31m" in case.find("failure").text
