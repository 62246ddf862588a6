"""What one answer is (calls, a malformed attempt, plain text), and its scores, kept apart."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pyr.probes.tools.items import Item
from pyr.probes.tools.matching import Call, Expected, all_matched, arguments_fit
from pyr.schema import Direction

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
