"""Multiple-choice documents with the right answer's place balanced over the items."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt, its right answer and the wrong ones.

    cluster: what it shares with others, where that is one of many that could have been asked about
    (a relation): such items count together. kind: its kind, where these kinds are all that the task
    is about and its items are drawn one by one from a kind: a stratum, in which each item counts.
    """

    prompt: str
    right: str
    wrong: Sequence[str]
    cluster: str = ""
    kind: str = ""


def balanced(rng: random.Random, questions: Sequence[Question]) -> list[dict[str, object]]:
    """Documents in random order, every prefix a fair sample; all places are right as often."""
    shuffled = rng.sample(questions, len(questions))
    places = [number % (len(question.wrong) + 1) for number, question in enumerate(shuffled)]
    rng.shuffle(places)
    return [_document(rng, *pair) for pair in zip(shuffled, places, strict=True)]


def _document(rng: random.Random, question: Question, place: int) -> dict[str, object]:
    choices = rng.sample(list(question.wrong), len(question.wrong))
    choices.insert(place, question.right)
    document: dict[str, object] = {"prompt": question.prompt, "choices": choices, "gold": place}
    for name, shared in (("cluster", question.cluster), ("kind", question.kind)):
        if shared:
            document[name] = shared
    return document
