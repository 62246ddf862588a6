"""Small arithmetic after a few solved examples, so that a base model knows what is asked."""

from __future__ import annotations

import random
from collections.abc import Callable

from choices import Question, balanced

PER_KIND = 40
THINGS = "apples books coins marbles stamps pencils cookies shells eggs balloons".split()
NAMES = "Tom Anna Peter Maria David Laura Emily Jack Clara Simon".split()
NUMBER_WORDS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
).split()

# What is asked, the right answer, and at least three wrong ones to draw from.
Example = tuple[str, str, list[str]]
Kind = Callable[[random.Random], Example]


def items(rng: random.Random) -> list[dict[str, object]]:
    """Forty questions of every kind, each after two solved ones of its kind."""
    return balanced(rng, [question for kind in KINDS for question in _distinct(rng, kind)])


def _distinct(rng: random.Random, kind: Kind) -> list[Question]:
    questions: dict[str, Question] = {}
    while len(questions) < PER_KIND:
        asked, right, wrong = kind(rng)
        if asked not in questions:
            prompt = _solved(rng, kind, asked) + asked
            wrong = rng.sample(wrong, 3)
            questions[asked] = Question(prompt, right, wrong, kind=kind.__name__)
    return list(questions.values())


def _solved(rng: random.Random, kind: Kind, asked: str) -> str:
    solved: dict[str, str] = {}
    while len(solved) < 2:
        prompt, right, _ = kind(rng)
        if prompt != asked:
            solved[prompt] = f"{prompt} {right}\n"
    return "".join(solved.values())


def _near(asked: str, right: int) -> Example:
    """With wrong answers that lie within three of the right one."""
    wrong = [str(right + step) for step in (-3, -2, -1, 1, 2, 3) if right + step >= 0]
    return asked, str(right), wrong


def add_one_digit(rng: random.Random) -> Example:
    a, b = rng.randint(1, 9), rng.randint(1, 9)
    return _near(f"{a} + {b} =", a + b)


def subtract_one_digit(rng: random.Random) -> Example:
    a = rng.randint(2, 12)
    b = rng.randint(1, min(a, 9))
    return _near(f"{a} - {b} =", a - b)


def add_two_digit(rng: random.Random) -> Example:
    a, b = rng.randint(10, 80), rng.randint(1, 19)
    return _near(f"{a} + {b} =", a + b)


def subtract_two_digit(rng: random.Random) -> Example:
    a, b = rng.randint(20, 99), rng.randint(1, 19)
    return _near(f"{a} - {b} =", a - b)


def multiply(rng: random.Random) -> Example:
    a, b = rng.randint(2, 10), rng.randint(2, 10)
    return _near(f"{a} x {b} =", a * b)


def count_on(rng: random.Random) -> Example:
    if rng.randrange(3) == 0:
        # Up to thirteen, so that the wrong answers have words too.
        start = rng.randint(1, 13)
        asked = f"Count on: {', '.join(NUMBER_WORDS[start - 1 : start + 3])},"
        wrong = [NUMBER_WORDS[start + 3 + step] for step in (-2, -1, 1, 2, 3)]
        return asked, NUMBER_WORDS[start + 3], wrong
    step = rng.choice((1, 1, 2, 5, 10))
    start = rng.randint(1, 40) * (step if step > 2 else 1)
    listed = ", ".join(str(start + step * n) for n in range(4))
    return _near(f"Count on: {listed},", start + 4 * step)


def count_things(rng: random.Random) -> Example:
    number = rng.randint(1, 9)
    mark = rng.choice("*xo#+")
    return _near(f"How many? {' '.join(mark * number)} :", number)


def word_problem(rng: random.Random) -> Example:
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    a, b = rng.randint(2, 9), rng.randint(1, 9)
    if rng.randrange(2) or b >= a:
        start = f"{name} has {a} {thing} and gets {b} more."
        return _near(f"{start} Now the number of {thing} is", a + b)
    start = f"{name} has {a} {thing} and gives {b} away."
    return _near(f"{start} Now the number of {thing} is", a - b)


def largest(rng: random.Random) -> Example:
    four = rng.sample(range(1, 100), 4)
    asked = f"The largest of {', '.join(map(str, four[:3]))} and {four[3]} is"
    return asked, str(max(four)), [str(number) for number in four if number != max(four)]


KINDS = (
    add_one_digit,
    subtract_one_digit,
    add_two_digit,
    subtract_two_digit,
    multiply,
    count_on,
    count_things,
    word_problem,
    largest,
)
