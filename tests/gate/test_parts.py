"""A gate says what its phase is for."""

from __future__ import annotations

import pytest
from factories_gate import mean
from pydantic import ValidationError

from pyr.compare import compare
from pyr.gate import judge
from pyr.gate.spec import Gate

WORDS = {
    "teaches": {"better_by": 0.01},
    "keeps": {"not_worse_by": 0.01},
    "floors": {"at_least": 0.1},
    "guards": {"at_most": 0.9},
}


def rule(**word):
    return {"measure": "arc/acc", **word}


def test_every_part_is_judged_and_every_finding_says_where_it_stands():
    gate = Gate(name="g", **{part: [rule(**word)] for part, word in WORDS.items()})
    runs = mean(0.6, 0.001), mean(0.5, 0.001)
    found = judge(gate, *runs, compare(*runs))
    assert [each.part for each in found.findings] == ["guards", "floors", "keeps", "teaches"]
    assert found.state == "pass"


def test_a_checkpoint_that_lost_nothing_and_learnt_nothing_does_not_pass():
    # Gates that only ask for no loss pick early checkpoints.
    runs = mean(0.5, 0.0001), mean(0.5, 0.0001)
    gate = Gate(name="g", keeps=[rule(not_worse_by=0.01)], teaches=[rule(better_by=0.01)])
    found = judge(gate, *runs, compare(*runs))
    assert {each.part: each.state for each in found.findings} == {
        "keeps": "pass",
        "teaches": "fail",
    }


def test_one_rule_needs_no_list():
    assert Gate(name="g", keeps=rule(not_worse_by=0.01)).keeps[0].measure == "arc/acc"


@pytest.mark.parametrize(
    ("part", "word"),
    [
        ("teaches", {"not_worse_by": 0.1}),
        ("keeps", {"better_by": 0.1}),
        ("floors", {"better_by": 0.1}),
    ],
)
def test_a_part_takes_only_its_own_words(part, word):
    with pytest.raises(ValidationError, match=f"{part}: arc/acc says {next(iter(word))}"):
        Gate(name="g", **{part: [rule(**word)]})


def test_a_gate_without_a_rule_is_none():
    with pytest.raises(ValidationError, match="needs a rule in one of"):
        Gate(name="g")
