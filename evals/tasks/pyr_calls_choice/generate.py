"""The requests of `pyr_calls` with four calls to choose from: signal before exact calls come."""

from __future__ import annotations

import random
from typing import Any

from choices import Question, balanced
from pyr_calls.generate import TOOLS, Asked, call, offered, prompt, requests


def items(rng: random.Random) -> list[dict[str, object]]:
    """Beside the right call: a tool that is not there, a wrong argument, another offered tool."""
    bank = requests()
    return balanced(rng, [_question(rng, asked, bank) for asked in bank])


def _question(rng: random.Random, asked: Asked, bank: list[Asked]) -> Question:
    names = offered(rng, asked)
    other_tool = rng.choice([name for name in names if name != asked.tool])
    wrong = [
        call(TOOLS[asked.tool]["near"], asked.arguments),
        call(asked.tool, _one_changed(rng, asked, bank)),
        call(other_tool, rng.choice([one for one in bank if one.tool == other_tool]).arguments),
    ]
    right = call(asked.tool, asked.arguments)
    return Question(prompt(asked, names), right, wrong, asked.tool)


def _one_changed(rng: random.Random, asked: Asked, bank: list[Asked]) -> dict[str, Any]:
    """One argument taken from another request for the same tool."""
    key = rng.choice(list(asked.arguments))
    values = [one.arguments[key] for one in bank if one.tool == asked.tool]
    value = rng.choice([value for value in values if value != asked.arguments[key]])
    return {**asked.arguments, key: value}
