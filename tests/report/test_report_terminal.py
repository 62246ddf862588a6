"""The report in a terminal."""

from __future__ import annotations

import dataclasses
import io

import pytest
from factories_report import (
    a_finding,
    a_report,
    a_run,
    a_verdict,
    documents,
    hostile_report,
    published,
    results,
    rows,
    two_runs,
)
from rich.console import Console

from pyr.compare import compare
from pyr.gate import Assessment
from pyr.report import outline, terminal
from pyr.schema import Aggregate, Skipped


def shown(report, *, encoding: str = "utf-8", **options) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    terminal.show(report, Console(file=stream, **options))
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def test_a_line_has_score_margin_n_and_difference() -> None:
    # Now 2 and 4 by turns: t(99) = 1.984 times sqrt(1 / 99) is 0.199. The changes are -1 but for
    # one of -3 and one of 1, so that their error is t(99) * sqrt(2 * 4 / 99 / 100) = 0.056.
    old = results(a_run("old"), rows([3.0, 5.0] * 49 + [5.0, 3.0], metric="score"))
    new = results(a_run("new"), rows([2.0, 4.0] * 50, metric="score"))
    lines = [" ".join(line.split()) for line in shown(a_report(new, old)).splitlines()]
    line = "arc score 3.000 \u00b10.199 (n=100) -1.000 \u00b10.056 vs old worse"
    assert line in lines


def test_a_bound_of_zero_is_a_bound() -> None:
    new, old = two_runs()
    (row,) = compare(new, old)
    row = dataclasses.replace(row, low=-0.6, high=0.0)
    assert "-0.300 \u00b10.300 vs old" in shown(outline.build(new, old, Assessment([row])))


def test_a_score_of_nothing_right_has_no_interval_below_zero() -> None:
    said = " ".join(shown(a_report(results(a_run(), rows([0.0] * 20)))).split())
    assert "acc 0.000 (0.000 to 0." in said


def test_a_score_at_chance_is_said_to_decide_nothing() -> None:
    asked = documents(*((str(n), "p", ["a", "b"], "0") for n in range(100)))
    said = shown(a_report(results(a_run(), rows([0.0, 1.0] * 50)), documents=asked))
    assert "(n=100)" in said and "decides nothing: at chance" in said


@pytest.mark.parametrize("state", ["pass", "fail", "unclear"])
def test_the_last_line_is_the_verdict_in_a_word(state) -> None:
    new, old = two_runs()
    said = shown(a_report(new, old, a_verdict(a_finding(state)))).splitlines()
    assert said[-1].startswith(state.upper())
    assert f"arc/acc says {state}." in "\n".join(said)


def test_a_skipped_task_is_printed_as_skipped_with_the_reason() -> None:
    run = a_run(skipped=[Skipped("boolq", "not on this machine")])
    assert "SKIPPED    boolq: not on this machine" in shown(a_report(results(run)))


def test_hostile_text_is_neither_obeyed_nor_read_as_markup() -> None:
    said = shown(hostile_report())
    assert "\x1b" not in said and "\u202e" not in said
    assert "[bold]x[/bold]" in said


def test_colours_are_only_rich_s_own_on_a_terminal() -> None:
    plain = shown(hostile_report(), force_terminal=True, no_color=True)
    colourful = shown(hostile_report(), force_terminal=True, color_system="standard")
    assert "\x1b[31m" not in plain
    assert "\x1b[1;31mFAIL" in colourful


def test_an_ascii_console_gets_every_line() -> None:
    new, old = two_runs()
    assert "arc" in shown(a_report(new, old), encoding="ascii")
    assert "FAIL" in shown(hostile_report(), encoding="ascii")


def test_many_findings_are_named_even_where_their_sentences_are_not_printed() -> None:
    findings = [a_finding("unclear", f"task{n}/acc") for n in range(30)]
    said = shown(a_report(results(a_run()), None, a_verdict(*findings)))
    assert all(f"task{n}/acc" in said for n in range(30))


def test_unknown_n_is_said() -> None:
    new = published(a_run("new"), Aggregate("sciq", "acc", 0.7, 0.01))
    assert "(n=unknown)" in shown(a_report(new))


def test_a_broken_off_run_with_nothing_in_it_is_told() -> None:
    said = shown(a_report(results(a_run(finished=""))))
    assert said.splitlines()[-1].startswith("INCOMPLETE")


def test_scores_without_a_baseline_say_no_word_of_change() -> None:
    said = shown(a_report(results(a_run(), rows([1.0, 0.0, 1.0]))))
    assert "not compared" not in said
