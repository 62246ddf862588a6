"""The items of pyr_tools, spelt out: what is right is graded right, and nothing else is offered."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from pyr.probes.tools.grade import Expected, grade
from pyr.probes.tools.items import Item, own_items, right_calls

FOLDER = Path(__file__).parents[3] / "evals" / "tasks" / "pyr_tools"
CALLING = ("simple", "multiple", "parallel")
ABSTAINING = ("irrelevant", "missing")
ITEMS = own_items(FOLDER)
WRITTEN = [json.loads(line) for line in (FOLDER / "items.jsonl").read_text("utf-8").splitlines()]
TOOLS = yaml.safe_load((FOLDER / "tools.yml").read_text("utf-8"))["tools"]


def of(*categories: str) -> list[Item]:
    return [item for item in ITEMS if item.category in categories]


def test_there_are_enough_items_of_every_category_and_level_in_little_room():
    counts = Counter((each["category"], each["level"]) for each in WRITTEN)
    assert len(ITEMS) >= 1000
    assert len(counts) == 18
    assert min(counts.values()) >= 60
    assert (FOLDER / "items.jsonl").stat().st_size < 1_000_000


def test_every_tool_is_a_cluster_of_many_items():
    assert min(Counter(item.cluster for item in ITEMS).values()) >= 4
    assert {item.cluster for item in ITEMS} == set(TOOLS)


def test_the_right_answer_of_every_item_is_graded_exact():
    for item in of(*CALLING, "response"):
        assert grade(item, item.gold)["exact"].value == 1


def test_a_call_is_wrong_where_none_is_called_for_and_a_plain_answer_is_right():
    for item in of(*ABSTAINING):
        assert not item.expected
        assert grade(item, "I have no tool for that.")["abstained"].value == 1


def test_what_a_worked_turn_says_is_never_the_answer():
    for item in ITEMS:
        said = [turn["content"] for turn in item.turns if turn["role"] == "assistant"]
        if item.category != "response":
            assert not any(grade(item, text)["exact"].value for text in said if item.expected)
        else:
            assert not any(grade(item, text)["exact"].value for text in said)


def test_the_tools_of_an_abstaining_item_serve_its_twin_and_not_its_request():
    for item, written in zip(ITEMS, WRITTEN, strict=True):
        if item.category == "irrelevant":
            assert item.cluster not in written["tools"]
            kins = {TOOLS[name]["kin"] for name in written["tools"]}
            assert TOOLS[item.cluster]["kin"] not in kins
        if item.category in ABSTAINING:
            assert item.twin[:-1] == item.turns[:-1]
            assert item.twin[-1] != item.turns[-1]


def test_tools_offered_together_serve_each_other_no_request():
    for written in WRITTEN:
        kins = [TOOLS[name]["kin"] for name in written["tools"]]
        assert len(set(kins)) == len(kins)


def test_every_request_names_all_arguments_of_its_calls():
    for written in WRITTEN:
        for call in written.get("calls", []):
            for values in next(iter(call.values())).values():
                for value in values[0] if isinstance(values[0], list) else values[:1]:
                    assert isinstance(value, bool) or str(value) in written["request"]


def test_wrong_names_are_all_but_those_expected():
    for item in of(*CALLING):
        right = {each.name for each in item.expected}
        offered = {tool["name"] for tool in item.tools}
        assert offered <= right | set(item.wrong_names)
        assert not right & set(item.wrong_names)
        assert len(item.wrong_names) >= 2


@pytest.mark.parametrize(
    ("right", "written"),
    [
        ({"a": [1, 2]}, '{"a": 1}'),
        ({"a": [1], "b": ["", 2]}, '{"a": 1}'),
        ({"a": ["", 1]}, '{"a": 1}'),
        ({"a": [{"x": [1, 2], "y": ["", 3]}]}, '{"a": {"x": 1}}'),
        ({"a": [[{"x": [1]}, {"x": [2]}]]}, '{"a": [{"x": 1}, {"x": 2}]}'),
        ({"a": [["b", "c"]]}, '{"a": ["b", "c"]}'),
    ],
)
def test_the_right_call_takes_first_values_and_leaves_out_what_it_may(right, written):
    tools = [{"name": "f", "parameters": {"properties": {}, "required": ["a"]}}]
    said = right_calls([Expected("f", right)], tools)
    assert said == f'<tool_call>\n{{"name": "f", "arguments": {written}}}\n</tool_call>'
