"""Word completion: the last word of a phrase or sentence that its context fixes."""

from __future__ import annotations

import random
from pathlib import Path

from choices import Question, balanced


def items(rng: random.Random) -> list[dict[str, object]]:
    """One document a line of `questions.txt`: prompt | right | wrong, wrong, wrong."""
    text = (Path(__file__).parent / "questions.txt").read_text(encoding="utf-8")
    return balanced(rng, [_question(line) for line in text.splitlines()])


def _question(line: str) -> Question:
    prompt, right, wrong = line.split(" | ")
    return Question(prompt, right, wrong.split(", "))
