"""Rows for a recipe that needs no data: what is made up from a seed, and the standard library.

Pyr calls these functions, as ``rows: generate.py:stories`` in a phase asks, with the keywords
`rows`, `seed`, `cache` and the source's `arguments`. Item `number` of a seed is always the same,
whatever else is made. The world is small on purpose: a model of a few million parameters can learn
its facts in minutes.
"""

from __future__ import annotations

import ast
import os
import random
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NAMES = (
    "Anna Ben Clara David Emma Finn Greta Hugo Ida Jonas Kim Leo Mia Nils Olga Paul Rosa Sam"
).split()
_ANIMALS = "cat dog fox hen horse mouse owl rabbit sheep bear duck goat".split()
_THINGS = "ball book boat box cup kite lamp map key drum coat bell".split()
_COLOURS = "red blue green yellow black white brown grey".split()
_PLACES = ("garden", "forest", "kitchen", "village", "school", "market", "river", "barn")
_FEELINGS = {
    "happy": "smiled",
    "sad": "cried",
    "angry": "shouted",
    "afraid": "hid",
    "tired": "slept",
}
_OPPOSITES = {
    "big": "small", "hot": "cold", "fast": "slow", "old": "young", "wet": "dry", "loud": "quiet",
    "long": "short", "full": "empty", "early": "late", "open": "closed", "light": "dark",
}  # fmt: skip
_SOUNDS = {"cat": "meows", "dog": "barks", "hen": "clucks", "horse": "neighs", "sheep": "bleats",
           "duck": "quacks", "owl": "hoots", "bear": "growls", "mouse": "squeaks"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question with its right answer, and a wrong one."""

    question: str
    right: str
    wrong: str


def stories(*, seed: int, count: int, **_: Any) -> Iterator[dict[str, Any]]:
    """Yield `count` rows with `text`."""
    return _make("stories", lambda die: {"text": _story(die)}, seed, count)


def dialogues(*, seed: int, count: int, **_: Any) -> Iterator[dict[str, Any]]:
    """Yield `count` rows with `messages`."""
    return _make("dialogues", _dialogue_row, seed, count)


def preferences(*, seed: int, count: int, **_: Any) -> Iterator[dict[str, Any]]:
    """Yield `count` rows with `prompt`, `chosen` and `rejected`."""
    return _make("preferences", _preference_row, seed, count)


def _make(
    kind: str, make: Callable[[random.Random], dict[str, Any]], seed: int, count: int
) -> Iterator[dict[str, Any]]:
    for number in range(count):
        die = random.Random(f"{kind} {seed} {number}")
        yield {"id": f"{kind}-{seed}-{number}", **make(die)}


# ------------------------------------------------------------------ the Python installation

_NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


def python_code(**_: Any) -> Iterator[dict[str, Any]]:
    """Yield the modules of the standard library of the Python that runs this."""
    for name, text in _standard_library():
        if text.strip():
            yield {"id": name, "text": text}


def python_docs(**_: Any) -> Iterator[dict[str, Any]]:
    """Yield its documentation strings of at least 200 characters, each a document."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for name, text in _standard_library():
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        number = 0
        for node in ast.walk(tree):
            docstring = ast.get_docstring(node) if isinstance(node, documented) else None
            if docstring and len(docstring) >= 200:
                yield {"id": f"{name}#{number}", "text": docstring}
                number += 1


def _standard_library() -> Iterator[tuple[str, str]]:
    """Yield name and text of every module of the standard library, tests left out."""
    root = Path(sysconfig.get_path("stdlib"))
    for folder, below, files in os.walk(root):
        below[:] = sorted(set(below) - _NOT_LIBRARY)
        for file in sorted(Path(folder) / name for name in files if name.endswith(".py")):
            try:
                yield str(file.relative_to(root)), file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue


# ------------------------------------------------------------------ stories


def _story(die: random.Random) -> str:
    hero, friend = die.sample(_NAMES, 2)
    animal, thing = die.choice(_ANIMALS), die.choice(_THINGS)
    colour, place = die.choice(_COLOURS), die.choice(_PLACES)
    feeling = die.choice(sorted(_FEELINGS))
    sentences = [
        die.choice(
            [
                f"Once upon a time there was a child called {hero}.",
                f"{hero} lived near the {place}.",
                f"One day {hero} went to the {place}.",
            ]
        ),
        f"{hero} had a {colour} {thing}.",
        die.choice(
            [
                f"In the {place} {hero} met a {animal}.",
                f"A {animal} came to the {place}.",
                f"{hero} and {friend} saw a {animal}.",
            ]
        ),
        _loss(die, hero, animal, thing),
        f"{hero} was {feeling}. {hero} {_FEELINGS[feeling]}.",
        die.choice(
            [
                f'Then {friend} came and asked: "What is wrong?"',
                f"{friend} heard it and ran to the {place}.",
                f'"Do not worry," said {friend}. "I will help you."',
            ]
        ),
        f"{friend} found the {colour} {thing} in the {place}.",
        die.choice(
            [
                f'"Thank you," said {hero}.',
                f"{hero} gave {friend} a hug.",
                f"{hero} and {friend} laughed and went home.",
            ]
        ),
    ]
    if animal in _SOUNDS and die.random() < 0.5:
        sentences.insert(3, f"A {animal} {_SOUNDS[animal]}.")
    return " ".join(sentences)


def _loss(die: random.Random, hero: str, animal: str, thing: str) -> str:
    return die.choice(
        [
            f"The {animal} took the {thing} and ran away.",
            f"{hero} lost the {thing}.",
            f"The {thing} fell down and the {animal} carried it off.",
        ]
    )


# ------------------------------------------------------------------ dialogues


def _dialogue_row(die: random.Random) -> dict[str, Any]:
    messages: list[dict[str, str]] = []
    for _ in range(die.randint(1, 3)):
        exchange = _exchange(die)
        messages.append({"role": "user", "content": exchange.question})
        messages.append({"role": "assistant", "content": exchange.right})
    return {"messages": messages}


def _preference_row(die: random.Random) -> dict[str, Any]:
    exchange = _exchange(die)
    return {
        "prompt": [{"role": "user", "content": exchange.question}],
        "chosen": [{"role": "assistant", "content": exchange.right}],
        "rejected": [{"role": "assistant", "content": exchange.wrong}],
    }


def _exchange(die: random.Random) -> Exchange:
    return die.choice([_opposite, _sound, _sum, _repeat, _who, _greeting])(die)


def _opposite(die: random.Random) -> Exchange:
    word = die.choice(sorted(_OPPOSITES))
    other = die.choice(sorted(set(_OPPOSITES) - {word}))
    return Exchange(
        f"What is the opposite of {word}?",
        f"The opposite of {word} is {_OPPOSITES[word]}.",
        f"The opposite of {word} is {_OPPOSITES[other]}.",
    )


def _sound(die: random.Random) -> Exchange:
    animal, other = die.sample(sorted(_SOUNDS), 2)
    return Exchange(
        f"What does a {animal} do?",
        f"A {animal} {_SOUNDS[animal]}.",
        f"A {animal} {_SOUNDS[other]}.",
    )


def _sum(die: random.Random) -> Exchange:
    left, right = die.randint(0, 9), die.randint(0, 9)
    off = left + right + die.choice([1, 2, 3])
    return Exchange(
        f"What is {left} + {right}?",
        f"{left} + {right} = {left + right}.",
        f"{left} + {right} = {off}.",
    )


def _repeat(die: random.Random) -> Exchange:
    words = die.sample([*_THINGS, *_COLOURS, *_ANIMALS], die.randint(2, 4))
    wrong = " ".join(die.sample(_THINGS, 2))
    return Exchange(f"Say exactly: {' '.join(words)}", " ".join(words), wrong)


def _who(die: random.Random) -> Exchange:
    hero, friend = die.sample(_NAMES, 2)
    thing, place = die.choice(_THINGS), die.choice(_PLACES)
    return Exchange(
        f"{hero} went to the {place}. {friend} found a {thing}. Who found the {thing}?",
        f"{friend} found the {thing}.",
        f"{hero} found the {thing}.",
    )


def _greeting(die: random.Random) -> Exchange:
    name = die.choice(_NAMES)
    other = die.choice([each for each in _NAMES if each != name])
    return Exchange(
        f"Hello, my name is {name}.", f"Hello {name}, how can I help you?", f"Goodbye {other}."
    )
