"""The first bad checkpoint, found with few questions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyr.errors import UsageError
from pyr.gate.bisect import Turn, bisect, read_rule


def turn_of(states):
    asked = []

    def judge(position):
        asked.append(position)
        return {"p": "pass", "f": "fail", "u": "unclear"}[states[position]]

    found = bisect(len(states), judge)
    assert len(asked) == len(set(asked)) == found.asked
    return found


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_turn_is_found_with_about_two_log_questions(good, bad):
    found = turn_of("p" * good + "f" * bad)
    assert (found.last_good, found.first_bad) == (good - 1, good)
    assert found.asked <= 2 * (good + bad).bit_length() + 2


def test_what_is_unclear_lies_between():
    found = turn_of("ppppuuufff")
    assert (found.last_good, found.first_bad) == (3, 7)


def test_two_checkpoints_are_the_shortest_way():
    assert turn_of("pf") == Turn(0, 1, 1)


@pytest.mark.parametrize("states", ["pppp", "ppu", "f"])
def test_without_a_bad_end_there_is_nothing_to_find(states):
    with pytest.raises(UsageError, match="nothing to find"):
        turn_of(states)


def test_a_rule_is_three_words():
    rule = read_rule("lambada_openai/acc not_worse_by 0.02").rules[0]
    assert (rule.measure, rule.not_worse_by) == ("lambada_openai/acc", 0.02)


@pytest.mark.parametrize(
    "text", ["", "arc/acc", "arc/acc call 3", "arc/acc at_least much", "a b c d"]
)
def test_anything_else_is_no_rule(text):
    with pytest.raises(UsageError, match="is no rule"):
        read_rule(text)
