"""Simple facts in cloze form: capitals, opposites, animals, colors, calendar, sizes, science."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from choices import Question, balanced

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = (
    "January February March April May June July August September October November December"
).split()
CALENDAR_PROMPTS = (
    ("day", DAYS, "If today is {}, then tomorrow is", 1),
    ("day", DAYS, "If today is {}, then yesterday was", -1),
    ("month", MONTHS, "The month that comes right after {} is", 1),
    ("month", MONTHS, "The month that comes right before {} is", -1),
)


def items(rng: random.Random) -> list[dict[str, object]]:
    """Facts written down in `facts.txt`, then calendar questions made by rule."""
    text = (Path(__file__).parent / "facts.txt").read_text(encoding="utf-8")
    written = [fact for part in text.split("# ")[1:] for fact in _facts(rng, part)]
    return balanced(rng, [*written, *_calendar(rng)])


def _facts(rng: random.Random, part: str) -> Iterator[Question]:
    """One cluster: its head is `cluster: template`; wrong answers come from its other rows."""
    head, *rows = part.splitlines()
    cluster, template = head.split(": ")
    table = [row.split(" | ") for row in rows]
    answers = sorted({row[1] for row in table})
    for subject, right, *given in table:
        others = [answer for answer in answers if answer != right]
        wrong = given[0].split(", ") if given else rng.sample(others, 3)
        yield Question(template.format(subject), right, wrong, cluster)


def _calendar(rng: random.Random) -> Iterator[Question]:
    for cluster, names, template, step in CALENDAR_PROMPTS:
        for place, name in enumerate(names):
            right = names[(place + step) % len(names)]
            others = [other for other in names if other not in (name, right)]
            yield Question(template.format(name), right, rng.sample(others, 3), cluster)
