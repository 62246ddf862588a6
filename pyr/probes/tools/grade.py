"""What one answer is (calls, a malformed attempt, plain text), and its scores, kept apart."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pyr.schema import Direction

if TYPE_CHECKING:
    from pyr.probes.tools.items import Item

State = Literal["call", "malformed", "plain"]

_THOUGHT = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_ATTEMPTS = (
    # Markers of Hermes, Llama and Mistral; keys of a call; an answer that is JSON.
    re.compile(r"</?tool_call|<function|\[TOOL_CALLS\]|<\|python_tag\|>"),
    re.compile(r"""["'](name|arguments|parameters)["']\s*:"""),
    re.compile(r"^\s*(```(json|python)?\s*)?[\[{]\s*[\[{\"]"),
    # As in Python: a line that is nothing but `name(key=value)`, or a list of such.
    re.compile(r"^\s*\[?[A-Za-z_][\w.]*\(([A-Za-z_]\w*\s*=.*)?\)[\],]?.*$", re.MULTILINE),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The calls of an answer; none if it is malformed or plain."""

    state: State
    calls: Sequence[Call] = ()


def parse(text: str) -> Answer:
    """The state of an answer and its calls: all of them well-formed, or none.

    Two forms are taken: Hermes, one object in each <tool_call>; SmolLM2, a list of them in one,
    where an empty list says that nothing is called. Text around calls is allowed, thoughts are
    passed over.
    """
    text = _THOUGHT.sub("", text)
    if "<tool_call>" not in text:
        attempted = any(pattern.search(text) for pattern in _ATTEMPTS)
        return Answer("malformed" if attempted else "plain")
    bodies = _CALL.findall(text)
    if len(bodies) != text.count("<tool_call>"):
        return Answer("malformed")
    try:
        read = [json.loads(body) for body in bodies]
    except (json.JSONDecodeError, RecursionError):
        return Answer("malformed")
    objects: list[Any] = []
    for part in read:
        objects.extend(part if isinstance(part, list) else [part])
    if not all(_is_call(each) for each in objects):
        return Answer("malformed")
    calls = [Call(each["name"], each["arguments"]) for each in objects]
    return Answer("call", calls) if calls else Answer("plain")


def _is_call(each: Any) -> bool:
    return (
        isinstance(each, dict)
        and isinstance(each.get("name"), str)
        and isinstance(each.get("arguments"), dict)
    )


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of an answer."""

    value: float
    direction: Direction = "higher"


def grade(item: Item, text: str) -> dict[str, Score]:
    """The scores of an answer by metric; `exact` is 1 where it says all that the item asks.

    Where a call is asked for: `format_valid`, `name_right`, `arguments_right`, `exact`. Elsewhere
    only a plain answer is right, and `called` says that a call was made: it is `exact` where it
    tells what a tool has answered, and `abstained` where there is nothing to say, which is kept
    apart because a model that never calls does it always. `malformed` is an attempt at a call
    that cannot be read.
    """
    answer = parse(text)
    scores = _called(item, answer) if item.expected else _not_called(item, answer, text)
    return {**scores, "malformed": Score(float(answer.state == "malformed"), "lower")}


def _called(item: Item, answer: Answer) -> dict[str, Score]:
    tools = {tool["name"]: tool for tool in item.tools}
    calls, expected = answer.calls, item.expected

    def arguments(call: Call, one: Expected) -> bool:
        return arguments_fit(call.arguments, one.arguments, tools[one.name])

    def whole(call: Call, one: Expected) -> bool:
        return call.name == one.name and arguments(call, one)

    names = sorted(call.name for call in calls) == sorted(one.name for one in expected)
    return {
        "exact": Score(float(all_matched(calls, expected, whole))),
        "format_valid": Score(float(answer.state == "call")),
        "name_right": Score(float(names)),
        "arguments_right": Score(float(all_matched(calls, expected, arguments))),
    }


def _not_called(item: Item, answer: Answer, text: str) -> dict[str, Score]:
    plain = answer.state == "plain" and bool(text.strip())
    said = all(_holds(text, each) for each in item.says)
    return {
        "exact" if item.says else "abstained": Score(float(plain and said)),
        "called": Score(float(answer.state == "call"), "lower"),
    }


def _holds(text: str, said: str) -> bool:
    """Whether a text says a word or number, and not only as a part of another."""
    pattern = rf"(?<![\w.]){re.escape(said)}(?!\w|[.,]\d)"
    return re.search(pattern, text, re.IGNORECASE) is not None


# ------------------------------------------------------------------
# Whether a call is the one that was asked for, by the matching rules of BFCL.
#
# Source of the rules: the Berkeley Function-Calling Leaderboard's AST checker (Patil et al. 2025;
# `bfcl_eval/eval_checker/ast_eval/ast_checker.py` of ShishirPatil/gorilla), written anew here. Two
# things differ: parallel calls are assigned by a maximum matching, where BFCL takes the first that
# fits and may fail a right answer; and a value that its checker crashes on is wrong.


_TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
}
_IGNORED = re.compile(r"[ ,./\-_*^]")


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a model made."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Expected:
    """A call that is asked for; of each argument the values that are right.

    An empty string among the values says that the argument may be left out.
    """

    name: str
    arguments: Mapping[str, Sequence[Any]]


Fits = Callable[[Call, Expected], bool]


def all_matched(calls: Sequence[Call], expected: Sequence[Expected], fits: Fits) -> bool:
    """Whether calls and expected calls go together one to one, in any order.

    The assignment is a maximum one (Kuhn 1955, by scipy), so that no choice spoils a later one.
    """
    if len(calls) != len(expected):
        return False
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    pairs = np.zeros((len(calls), len(expected)), dtype=bool)
    for row, call in enumerate(calls):
        for column, one in enumerate(expected):
            pairs[row, column] = fits(call, one)
    rows, columns = linear_sum_assignment(pairs, maximize=True)
    return bool(pairs[rows, columns].all())


def arguments_fit(
    arguments: Mapping[str, Any], expected: Mapping[str, Sequence[Any]], tool: Mapping[str, Any]
) -> bool:
    """Whether nothing required is missing, nothing is too much, and every value is right.

    tool: its `parameters` are a JSON Schema of type object.
    """
    schema = tool["parameters"]
    properties = schema.get("properties", {})
    if any(name not in arguments for name in schema.get("required", ())):
        return False
    if any(name not in arguments and "" not in right for name, right in expected.items()):
        return False
    for name, value in arguments.items():
        if name not in properties or name not in expected:
            return False
        if not value_fits(value, expected[name], properties[name]):
            return False
    return True


def value_fits(value: Any, right: Sequence[Any], schema: Mapping[str, Any]) -> bool:
    """Whether a value has the type that its schema asks for and is one of the right ones.

    Types are exact (true is no integer, 2.0 is none either), but an integer does for a number.
    Right values of another type than the schema's stand for themselves: such a value is compared
    as it is.
    """
    wanted = _TYPES.get(schema.get("type", ""))
    if wanted is float and type(value) is int:
        value = float(value)
    stated = _type_of_first(right)
    if type(value) is not wanted:
        return type(value) is stated and value in right
    inner = _TYPES.get(schema.get("items", {}).get("type", "")) if wanted is list else None
    if inner and not _items_have_type(value, right, inner):
        return False
    if stated not in (None, wanted):
        return value in right
    return any(_same(value, one, of_dicts=inner is dict) for one in right)


def _same(value: Any, one: Any, *, of_dicts: bool) -> bool:
    """Whether two values mean the same; one may be the empty string, the argument left out."""
    if isinstance(value, dict):
        return _dict_fits(value, one)
    if of_dicts:
        return _dicts_fit(value, one)
    if isinstance(value, list):
        return isinstance(one, list | str) and _folded(value) == _folded(one)
    return bool(_fold(value) == _fold(one))


def _type_of_first(right: Sequence[Any]) -> type | None:
    return next((type(one) for one in right if one != ""), None)


def _items_have_type(value: Any, right: Sequence[Any], inner: type) -> bool:
    """One level deep, against any of the right lists; an argument that may be left out is free."""
    for one in right:
        if not isinstance(one, list):
            return True
        # The key may break its own schema: then the type that it shows does as well.
        allowed = (inner, _type_of_first(one))
        if all(type(item) in allowed for item in value):
            return True
    return False


def _dict_fits(value: Any, right: Any) -> bool:
    """right: by key the values that are right; an empty string among them makes a key optional."""
    if not (isinstance(value, Mapping) and isinstance(right, Mapping)):
        return False
    if any(key not in value and "" not in values for key, values in right.items()):
        return False
    for key, item in value.items():
        if key not in right or _fold(item) not in _folded(right[key]):
            return False
    return True


def _dicts_fit(values: list[Any], right: Any) -> bool:
    if not isinstance(right, list | str) or len(values) != len(right):
        return False
    return all(map(_dict_fits, values, right))


def _folded(values: Sequence[Any]) -> list[Any]:
    # "" stands for an argument left out: as a list it is the empty one.
    return [_fold(each) for each in values]


def _fold(value: Any) -> Any:
    """Text without blanks, punctuation and case; anything else as it is."""
    if not isinstance(value, str):
        return value
    return _IGNORED.sub("", value).lower().replace("'", '"')
