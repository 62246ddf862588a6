"""The report of a checkpoint as Markdown."""

from __future__ import annotations

import math

from factories_report import (
    a_finding,
    a_report,
    a_run,
    a_verdict,
    as_markdown,
    hostile_report,
    published,
    results,
    rows,
    two_runs,
)

from pyr.schema import Aggregate


def test_markdown_says_the_verdict_the_findings_and_the_measures() -> None:
    new, old = two_runs()
    told = as_markdown(a_report(new, old, a_verdict(a_finding("fail"))))
    assert told.startswith("## FAIL: new does not pass the gate keep against old.")
    assert "- **FAIL** arc/acc says fail." in told
    assert "| arc acc rule: fail | \u25bc worse | -0.300 \u00b10.065 | 0.450 " in told


def test_markdown_quotes_what_html_and_tables_take_for_themselves() -> None:
    report = a_report(results(a_run("a|b <i> `c` [d](e) @f"), rows([1.0, 0.0])))
    told = as_markdown(report)
    assert "a\\|b &lt;i&gt; \\`c\\` \\[d\\](e) \\@f" in told
    assert "<script" not in as_markdown(hostile_report())


def test_markdown_of_nothing_says_so() -> None:
    assert "Nothing was measured." in as_markdown(a_report(results(a_run(finished=""))))


def test_a_margin_in_markdown_is_never_not_a_number() -> None:
    told = as_markdown(a_report(published(a_run(), Aggregate("x", "acc", 0.5, math.inf))))
    assert "nan" not in told.lower() and "inf" not in told
