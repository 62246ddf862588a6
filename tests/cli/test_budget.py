"""What a budget allows, and that a run in stages is kept apart from a whole one."""

from __future__ import annotations

import json

import pytest

from pyr.cli.options import budget, seconds_of
from pyr.errors import UsageError
from pyr.gate.spec import Gate, Rule
from pyr.store import Store

GATE = Gate(name="quiz", floors=[Rule(measure="quiz/acc", at_least=0.2)])


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1.5h", 5400)], ids=str)
def test_a_budget_is_a_time(tmp_path, text, seconds):
    assert seconds_of(text, tmp_path) == seconds


@pytest.mark.parametrize("text", ["90", "s", "-1s", "0s", "2 percent"])
def test_anything_else_is_no_budget(tmp_path, text):
    with pytest.raises(UsageError, match="is no budget"):
        seconds_of(text, tmp_path)


def test_a_share_is_of_the_time_that_the_phase_took(tmp_path):
    lines = [{"step": 10, "seconds": 2.0}, {"step": 30, "seconds": 4.0}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert seconds_of("2%", tmp_path / "checkpoint-30") == pytest.approx(0.02 * 100)


def test_a_log_that_a_crash_cut_off_counts_as_far_as_it_goes(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 10, "seconds": 2.0}\n{"step": 20, "sec')
    assert seconds_of("50%", tmp_path / "checkpoint-30") == pytest.approx(10)


def test_a_share_of_an_unknown_phase_is_refused(tmp_path):
    with pytest.raises(UsageError, match="how long the phase"):
        seconds_of("2%", tmp_path / "checkpoint-30")


def test_the_label_tells_gates_apart(tmp_path):
    strict = GATE.model_copy(update={"confidence": 0.99})
    one, other = (
        budget("90s", tmp_path, gate, None, store=Store(tmp_path), history=[])
        for gate in (GATE, strict)
    )
    assert one.label.startswith("budget 90s by gate quiz ")
    assert one.label != other.label
