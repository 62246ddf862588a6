"""What a model can do with its context alone: copy, reverse, look up, go on with a pattern."""

from __future__ import annotations

import random
from collections.abc import Callable

from choices import Question, balanced

PER_KIND = 45
WORDS = (
    "apple bridge candle dragon engine forest garden hammer island jacket kitten ladder "
    "market needle orange pencil quartz rabbit saddle tunnel umbrella violin window "
    "yellow zebra basket copper desert eagle feather guitar honey iron jungle lemon "
    "mirror ocean pepper river silver ticket valley winter blanket castle diamond flower"
).split()
LETTERS = "abcdefghjkmnpqrstuvwxyz"

Task = Callable[[random.Random], tuple[str, str, list[str]]]


def items(rng: random.Random) -> list[dict[str, object]]:
    """Forty-five questions of every kind; every answer stands in the prompt or follows from it."""
    kinds = (*SHOWN, *PLAIN)
    return balanced(rng, [question for kind in kinds for question in _distinct(rng, kind)])


def _distinct(rng: random.Random, kind: Task) -> list[Question]:
    questions: dict[str, Question] = {}
    while len(questions) < PER_KIND:
        prompt, right, wrong = kind(rng)
        if kind in SHOWN:
            prompt = "".join(_shown(*kind(rng)[:2]) for _ in range(2)) + prompt
        questions[prompt] = Question(prompt, right, wrong, kind=kind.__name__)
    return list(questions.values())


def _shown(prompt: str, right: str) -> str:
    return f"{prompt} {right}\n\n"


def _swapped(rng: random.Random, parts: list[str], spare: str) -> list[str]:
    """Two neighbors exchanged, one part replaced, one part repeated for its neighbor."""
    place = rng.randrange(len(parts) - 1)
    swapped = [*parts]
    swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
    replaced = [*parts]
    replaced[rng.randrange(len(parts))] = spare
    repeated = [*parts]
    repeated[place + 1] = repeated[place]
    return [" ".join(wrong) for wrong in (swapped, replaced, repeated)]


def copy_words(rng: random.Random) -> tuple[str, str, list[str]]:
    *parts, spare = rng.sample(WORDS, rng.randint(5, 8))
    return f"Text: {' '.join(parts)}\nCopy:", " ".join(parts), _swapped(rng, parts, spare)


def copy_codes(rng: random.Random) -> tuple[str, str, list[str]]:
    letters = rng.sample(LETTERS, rng.randint(5, 9))
    *parts, spare = [letter + str(rng.randint(1, 9)) for letter in letters]
    return f"Text: {' '.join(parts)}\nCopy:", " ".join(parts), _swapped(rng, parts, spare)


def reverse_words(rng: random.Random) -> tuple[str, str, list[str]]:
    a, b, c, spare = rng.sample(WORDS, 4)
    wrong = [f"{a} {b} {c}", f"{c} {a} {b}", f"{c} {b} {spare}"]
    return f"List: {a} {b} {c}\nReverse:", f"{c} {b} {a}", wrong


def last_word(rng: random.Random) -> tuple[str, str, list[str]]:
    parts = rng.sample(WORDS, rng.randint(4, 6))
    return f"List: {', '.join(parts)}\nLast word:", parts[-1], rng.sample(parts[:-1], 3)


def first_word(rng: random.Random) -> tuple[str, str, list[str]]:
    parts = rng.sample(WORDS, rng.randint(4, 6))
    return f"List: {', '.join(parts)}\nFirst word:", parts[0], rng.sample(parts[1:], 3)


def pattern(rng: random.Random) -> tuple[str, str, list[str]]:
    cycle = rng.sample(WORDS, rng.choice((2, 3, 4)))
    spare = rng.sample([word for word in WORDS if word not in cycle], 3)
    run = cycle * 4
    end = rng.randint(2 * len(cycle), 3 * len(cycle))
    wrong = ([word for word in cycle if word != run[end]] + spare)[:3]
    return " ".join(run[:end]), run[end], wrong


def lookup(rng: random.Random) -> tuple[str, str, list[str]]:
    keys = rng.sample(WORDS, rng.randint(4, 7))
    values = [str(number) for number in rng.sample(range(10, 100), len(keys))]
    asked = rng.randrange(len(keys))
    lines = "".join(f"{key}: {value}\n" for key, value in zip(keys, values, strict=True))
    wrong = rng.sample([value for value in values if value != values[asked]], 3)
    return f"{lines}\n{keys[asked]}:", values[asked], wrong


def repeated_text(rng: random.Random) -> tuple[str, str, list[str]]:
    """The second time round, the next word is the one that came the first time."""
    parts = rng.sample(WORDS, rng.randint(8, 14))
    place = rng.randint(3, len(parts) - 1)
    wrong = rng.sample([word for word in parts if word not in parts[place - 1 : place + 1]], 3)
    return " ".join(parts + parts[:place]), parts[place], wrong


SHOWN: tuple[Task, ...] = (copy_words, copy_codes, reverse_words, last_word, first_word)
PLAIN: tuple[Task, ...] = (pattern, lookup, repeated_text)
