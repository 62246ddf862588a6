"""The first bad checkpoint, found with few questions."""

from __future__ import annotations

import pandas as pd
import pytest
from factories_stats import records, results
from hypothesis import given
from hypothesis import strategies as st

from pyr.errors import UsageError
from pyr.gate.bisect import Turn, bisect, narrowed, read_rule
from pyr.gate.spec import Finding, Rule
from pyr.schema import Suite


def turn_of(states):
    asked = []

    def judge(position):
        asked.append(position)
        state = {"p": "pass", "f": "fail", "u": "unclear"}[states[position]]
        return Finding(
            "arc/acc",
            Rule(measure="arc/acc", at_least=1),
            state,
            None,
            None,
            None,
            f"number {position}",
        )

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
    assert turn_of("pf") == Turn(0, 1, 2)


@pytest.mark.parametrize(
    ("states", "said"), [("pppp", "pass: number 3."), ("ppu", "unclear: number 2.")]
)
def test_without_a_bad_end_there_is_nothing_to_find(states, said):
    with pytest.raises(UsageError, match="nothing to find") as raised:
        turn_of(states)
    assert raised.value.where == said


def test_a_first_checkpoint_that_fails_too_is_no_good_one():
    with pytest.raises(UsageError, match="fails on the first checkpoint already"):
        turn_of("fff")


def test_a_rule_is_three_words():
    rule = read_rule("lambada_openai/acc not_worse_by 0.02").rules[0]
    assert (rule.measure, rule.not_worse_by) == ("lambada_openai/acc", 0.02)


@pytest.mark.parametrize(
    "text", ["", "arc/acc", "arc/acc call 3", "arc/acc at_least much", "a b c d"]
)
def test_anything_else_is_no_rule(text):
    with pytest.raises(UsageError, match="is no rule"):
        read_rule(text)


# ------------------------------------------------------------------ what a rule needs

SUITE = Suite.model_validate(
    {
        "name": "s",
        "probes": [
            {"probe": "harness", "tasks": ["sciq", {"task": "blimp", "limit": 9}]},
            {"probe": "texts", "texts": {"prose": "p.jsonl"}},
        ],
    }
)


def needed(measure: str) -> list[tuple[str, list[str]]]:
    """The probes that are left, with the names of their tasks."""
    asked = [("harness", "sciq", ""), ("harness", "blimp_one", "blimp"), ("texts", "prose", "")]
    rows = [
        records([0.0, 1.0], task=task, group=group).assign(probe=probe)
        for probe, task, group in asked
    ]
    found = narrowed(SUITE, measure, results(pd.concat(rows)))
    return [(each.label, [*each.tasks]) for each in found.probes]


@pytest.mark.parametrize(
    ("measure", "left"),
    [
        ("sciq/acc", [("harness", ["sciq"])]),
        ("prose/acc", [("texts", [])]),
        ("blimp_one/acc", [("harness", ["blimp"])]),
        ("blimp/acc", [("harness", ["blimp"])]),
        ("*/acc", [("harness", ["sciq", "blimp"]), ("texts", [])]),
        ("unknown/acc", [("harness", ["sciq", "blimp"]), ("texts", [])]),
    ],
)
def test_only_what_a_rule_is_about_need_be_asked(measure, left):
    assert needed(measure) == left


def test_a_task_keeps_the_keys_that_are_written_beside_it():
    found = narrowed(
        SUITE,
        "blimp/*",
        results(records([1.0], task="blimp_one", group="blimp").assign(probe="harness")),
    )
    assert found.probes[0].options["tasks"] == [{"task": "blimp", "limit": 9}]
