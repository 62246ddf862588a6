"""The rules by which a call is right, on values and calls judged by hand.

The verdicts are those of the leaderboard's own checker too, which `tests/bench/bfcl_agreement.py`
shows; only `greedy_fails` differs, on purpose.
"""

from __future__ import annotations

import itertools

import pytest
from factories_calls import (
    LEFT_OUT,
    RIGHT_SEVERAL,
    RIGHT_VALUES,
    TOOLS,
    WRONG_SEVERAL,
    WRONG_VALUES,
    Several,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pyr.probes.tools.grade import Call, Expected, all_matched, arguments_fit
from pyr.probes.tools.items import json_schema

BY_NAME = {tool["name"]: json_schema(tool) for tool in TOOLS}


def value_is_right(case) -> bool:
    schema, right, value = case
    properties = {"x": json_schema(schema)}
    tool = {"parameters": {"type": "object", "properties": properties, "required": []}}
    return arguments_fit({} if value is LEFT_OUT else {"x": value}, {"x": right}, tool)


def calls_are_right(case: Several) -> bool:
    def fits(call: Call, one: Expected) -> bool:
        tool = BY_NAME[one.name]
        return call.name == one.name and arguments_fit(call.arguments, one.arguments, tool)

    calls = [Call(*call) for call in case.calls]
    return all_matched(calls, [Expected(*one) for one in case.expected], fits)


@pytest.mark.parametrize("case", RIGHT_VALUES, ids=str)
def test_a_right_value_is_right(case):
    assert value_is_right(case)


@pytest.mark.parametrize("case", WRONG_VALUES, ids=str)
def test_a_wrong_value_is_wrong(case):
    assert not value_is_right(case)


@pytest.mark.parametrize("case", RIGHT_SEVERAL, ids=str)
def test_right_calls_are_right_in_any_order(case):
    assert calls_are_right(case)


@pytest.mark.parametrize("case", WRONG_SEVERAL, ids=str)
def test_wrong_calls_are_wrong(case):
    assert not calls_are_right(case)


def test_a_value_that_the_public_checker_crashes_on_is_wrong():
    schema = {"type": "array", "items": {"type": "dict"}}
    assert not value_is_right((schema, ["", [{"a": [1]}]], ["no dict"]))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=n, max_size=n)
    )
)
def test_an_assignment_is_found_wherever_there_is_one(table):
    calls = [Call(str(row), {}) for row in range(len(table))]
    expected = [Expected(str(column), {}) for column in range(len(table))]
    by_hand = any(
        all(table[row][column] for row, column in enumerate(order))
        for order in itertools.permutations(range(len(table)))
    )

    def fits(call: Call, one: Expected) -> bool:
        return table[int(call.name)][int(one.name)]

    assert all_matched(calls, expected, fits) is by_hand
