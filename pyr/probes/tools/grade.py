"""The scores of one answer, kept apart: form, names, arguments, and all of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyr.probes.tools.answers import Answer, parse
from pyr.probes.tools.items import Item
from pyr.probes.tools.matching import Call, Expected, all_matched, arguments_fit
from pyr.schema import Better


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of an answer."""

    value: float
    better: Better = "higher"


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
