"""Calls judged by hand, in BFCL's words: the tests hold Pyr's rules to them, and
`tests/bench/bfcl_agreement.py` the leaderboard's own checker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STRING, INTEGER, FLOAT = {"type": "string"}, {"type": "integer"}, {"type": "float"}
BOOLEAN, DICT, ANY = {"type": "boolean"}, {"type": "dict"}, {"type": "any"}
STRINGS = {"type": "array", "items": STRING}
INTEGERS = {"type": "array", "items": INTEGER}
FLOATS = {"type": "array", "items": FLOAT}
DICTS = {"type": "array", "items": DICT}
LISTS = {"type": "array", "items": {"type": "array", "items": INTEGER}}
POINT = {"type": "tuple", "items": FLOAT}
LEFT_OUT = object()

# (type, right values, value): the argument `x` of a call.
RIGHT_VALUES: list[tuple[dict[str, Any], list[Any], Any]] = [
    (STRING, ["Paris"], "Paris"),
    (STRING, ["Paris"], "paris"),
    (STRING, ["New York, NY"], "new york NY"),
    (STRING, ["April 1, 2024"], "April 1 2024"),
    (STRING, ["it's"], 'it"s'),
    (STRING, ["km/h"], "kmh"),
    (STRING, ["Rome", "Roma"], "roma"),
    (STRING, ["", "Paris"], LEFT_OUT),
    (INTEGER, [3], 3),
    (INTEGER, [3, 4], 4),
    (INTEGER, ["n"], "n"),
    (FLOAT, [3.0], 3),
    (FLOAT, [3], 3.0),
    (FLOAT, [2.5], 2.5),
    (BOOLEAN, [True], True),
    (BOOLEAN, ["", False], LEFT_OUT),
    (STRINGS, [["a", "b"]], ["A", "b "]),
    (STRINGS, [["a"], ["b"]], ["b"]),
    (STRINGS, [["a"], ""], []),
    (INTEGERS, [[1, 2]], [1, 2]),
    (FLOATS, [[1.0, 2.0]], [1.0, 2.0]),
    (FLOATS, [[1, 2]], [1, 2]),
    (LISTS, [[[1, 2], [3]]], [[1, 2], [3]]),
    (POINT, [[1.5, 2.5]], [1.5, 2.5]),
    (DICT, [{"city": ["Rome", "Roma"], "days": [2]}], {"city": "rome", "days": 2}),
    (DICT, [{"city": ["Rome"], "days": [2, ""]}], {"city": "Rome"}),
    (DICT, ["", {"a": [1]}], {"a": 1}),
    (DICTS, [[{"a": [1]}, {"a": [2]}]], [{"a": 1}, {"a": 2}]),
    (ANY, ["5"], "5"),
    (STRINGS, ["", ["a"]], LEFT_OUT),
]

WRONG_VALUES: list[tuple[dict[str, Any], list[Any], Any]] = [
    (STRING, ["Paris"], "London"),
    (STRING, ["Paris"], 3),
    (STRING, ["Paris"], None),
    (STRING, ["Paris"], ["Paris"]),
    (STRING, ["Paris"], LEFT_OUT),
    (STRING, ["3"], 3),
    (STRING, ["5:30"], "530"),
    (INTEGER, [3], "3"),
    (INTEGER, [3], 3.0),
    (INTEGER, [1], True),
    (INTEGER, [3], 4),
    (FLOAT, [3.0], "3.0"),
    (FLOAT, [1.0], True),
    (FLOAT, [2.5], 2.4),
    (BOOLEAN, [True], 1),
    (BOOLEAN, [True], "true"),
    (BOOLEAN, [True], False),
    (STRINGS, [["a", "b"]], ["b", "a"]),
    (STRINGS, [["a", "b"]], "a, b"),
    (STRINGS, [["a", "b"]], ["a"]),
    (INTEGERS, [[1, 2]], ["1", "2"]),
    (FLOATS, [[1.0, 2.0]], [1, 2]),
    (LISTS, [[[1, 2]]], [[2, 1]]),
    (POINT, [[1.5, 2.5]], [2.5, 1.5]),
    (DICT, [{"city": ["Rome"], "days": [2]}], {"city": "Rome"}),
    (DICT, [{"city": ["Rome"]}], {"city": "Rome", "days": 2}),
    (DICT, [{"city": ["Rome"]}], {"city": "Oslo"}),
    (DICT, [{"city": ["Rome"]}], "Rome"),
    (DICTS, [[{"a": [1]}, {"a": [2]}]], [{"a": 2}, {"a": 1}]),
    (DICTS, [[{"a": [1]}]], [{"a": 1}, {"a": 1}]),
    (ANY, ["5"], 5),
    (INTEGER, ["n"], "N"),
]


@dataclass(frozen=True)
class Several:
    """Calls beside the calls that are expected; names stand for tools of `TOOLS`."""

    expected: list[tuple[str, dict[str, list[Any]]]]
    calls: list[tuple[str, dict[str, Any]]]
    greedy_fails: bool = False
    """True where BFCL's checker takes a call that only another expected one could use."""


TOOLS = [
    {
        "name": "weather",
        "parameters": {
            "type": "dict",
            "properties": {"city": STRING, "days": INTEGER},
            "required": ["city"],
        },
    },
    {
        "name": "add",
        "parameters": {
            "type": "dict",
            "properties": {"a": INTEGER, "b": INTEGER},
            "required": ["a", "b"],
        },
    },
    {"name": "ping", "parameters": {"type": "dict", "properties": {}, "required": []}},
]


def weather(*cities: str, days: list[Any] | None = None) -> tuple[str, dict[str, list[Any]]]:
    return "weather", {"city": list(cities), "days": days or [""]}


def adds(a: int, b: int) -> tuple[str, dict[str, list[Any]]]:
    return "add", {"a": [a], "b": [b]}


def says(city: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    return "weather", {"city": city, **more}


def sums(a: Any, b: Any) -> tuple[str, dict[str, Any]]:
    return "add", {"a": a, "b": b}


PING: tuple[str, dict[str, Any]] = ("ping", {})
ROME_OSLO = [weather("Rome"), weather("Oslo")]

RIGHT_SEVERAL = [
    Several([PING], [PING]),
    Several([PING, PING], [PING, PING]),
    Several(ROME_OSLO, [says("Rome"), says("Oslo")]),
    Several(ROME_OSLO, [says("Oslo"), says("Rome")]),
    Several(ROME_OSLO, [says("oslo"), says("ROME")]),
    Several([weather("Rome"), adds(1, 2)], [says("Rome"), sums(1, 2)]),
    Several([weather("Rome"), adds(1, 2)], [sums(1, 2), says("Rome")]),
    Several([adds(1, 2), adds(2, 1)], [sums(2, 1), sums(1, 2)]),
    Several([adds(1, 2), adds(1, 2)], [sums(1, 2), sums(1, 2)]),
    Several([adds(1, 2), PING], [PING, sums(1, 2)]),
    Several([weather("Rome", days=[2])], [says("Rome", days=2)]),
    Several([weather("Rome", days=["", 2])], [says("Rome")]),
    Several([weather("Rome", days=["", 2])], [says("Rome", days=2)]),
    Several([weather("Rome", "Roma"), weather("Oslo")], [says("Oslo"), says("Roma")]),
    Several([*ROME_OSLO, weather("Lima")], [says("Lima"), says("Oslo"), says("Rome")]),
    Several([*ROME_OSLO, PING], [says("Oslo"), PING, says("Rome")]),
    Several([*ROME_OSLO, adds(0, 0)], [sums(0, 0), says("Rome"), says("Oslo")]),
    Several([weather("Rome"), weather("Rome")], [says("Rome"), says("Rome")]),
    Several([weather("Rome", "Oslo"), weather("Rome", "Oslo")], [says("Rome"), says("Oslo")]),
    Several([weather("Rome"), weather("Rome", "Oslo")], [says("Oslo"), says("Rome")]),
    Several(
        [weather("Rome", "Oslo"), weather("Rome")],
        [says("Rome"), says("Oslo")],
        greedy_fails=True,
    ),
    Several(
        [weather("Rome", "Oslo", "Lima"), weather("Rome", "Oslo"), weather("Rome")],
        [says("Rome"), says("Oslo"), says("Lima")],
        greedy_fails=True,
    ),
]

WRONG_SEVERAL = [
    Several([PING], []),
    Several([PING], [PING, PING]),
    Several([PING, PING], [PING]),
    Several([PING], [sums(1, 2)]),
    Several([PING], [("pong", {})]),
    Several([PING], [("Ping", {})]),
    Several([PING], [("ping", {"x": 1})]),
    Several(ROME_OSLO, [says("Rome")]),
    Several(ROME_OSLO, [says("Rome"), says("Rome")]),
    Several(ROME_OSLO, [says("Rome"), says("Lima")]),
    Several(ROME_OSLO, [says("Rome"), says("Oslo"), says("Oslo")]),
    Several(ROME_OSLO, [says("Rome"), ("forecast", {"city": "Oslo"})]),
    Several(ROME_OSLO, [says("Rome"), says(["Oslo"])]),
    Several([adds(1, 2)], [sums(2, 1)]),
    Several([adds(1, 2)], [sums("1", 2)]),
    Several([adds(1, 2)], [sums(1.0, 2)]),
    Several([adds(1, 2)], [sums(True, 2)]),
    Several([adds(1, 2)], [("add", {"a": 1})]),
    Several([adds(1, 2)], [("add", {"a": 1, "b": 2, "c": 3})]),
    Several([weather("Rome", days=[2])], [says("Rome")]),
    Several([weather("Rome")], [says("Rome", days=2)]),
    Several([weather("Rome"), adds(1, 2)], [sums(1, 2), sums(1, 2)]),
    Several([weather("Rome", "Oslo"), weather("Rome")], [says("Oslo"), says("Lima")]),
]
