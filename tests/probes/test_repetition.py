"""Repetition and loops, on texts whose answers are known."""

from __future__ import annotations

import itertools
import random
import re

import pytest

from pyr.probes import style
from pyr.probes.style import Loop, units

SAID_ONCE = [
    "The cat sat on the mat and looked at the rain.",
    "One two three four five six seven eight nine ten.",
    "She said yes. He said no. They went home and did not speak of it again.",
    "ha ha ha",
    "... and so it went, on and on, until the bell rang.",
    "def f(x):\n    return x + 1\n\n\ndef g(y):\n    return y * 2\n",
    "to be or not to be, that is the question",
    "a b a b c",
    "",
    "word",
    "No, no, no!",
    "Row, row, row your boat, gently down the stream.",
    "1 2 3 4 5 6 7 8 9 10 11 12",
    "the end the end and then a new beginning came to all of us",
    "I came, I saw, I conquered.",
    "It rained. It rained. It rained. Then the sun came out over the hills.",
    "alpha beta gamma delta alpha beta gamma delta epsilon",
    "x = 1\ny = 1\nz = 1\nprint(x)\n",
    "hello hello",
    "Is it? It is. Is it? Perhaps.",
]
LOOPING = [
    ("the cat sat. " * 5, 4, 4),
    ("It began well. " + "I do not know. " * 6, 5, 8),
    ("yes " * 20, 1, 1),
    ("a b c d e f g h " * 3, 8, 8),
    ("Once upon a time there was " + "a dog and " * 9 + "a dog", 3, 9),
    ("x = 1\n" * 10, 3, 3),
    ("Hello, world! " * 4, 4, 4),
    ("no no no no no no no no no", 1, 1),
    ("He said he would. " + "And then " * 12, 2, 7),
    ("one. two. " * 8, 4, 4),
    ("end " + "la la la la la la la la la", 1, 2),
    ("This is new. " + "This is old. " * 7, 4, 7),
    ("import os\n" * 6, 2, 2),
    ("q " + "1 2 3 " * 4, 3, 4),
    ("So. " * 9, 2, 2),
    ("w1 w2 w3 w4 w5 " + "go on " * 5, 2, 7),
    ("The answer is 4. " * 3, 5, 5),
    ("I think, I think, I think, I think", 3, 3),
    ("pass\n" * 12, 1, 1),
    ("Text. " + "- item\n" * 9, 2, 4),
]


@pytest.mark.parametrize("text", SAID_ONCE)
def test_a_text_that_goes_on_is_no_loop(text: str) -> None:
    assert style.loop(units(text)) is None
    assert style.before_loop(units(text)) == 1


@pytest.mark.parametrize(("text", "period", "begins"), LOOPING)
def test_a_loop_is_found_where_it_says_itself_again(text: str, period: int, begins: int) -> None:
    assert style.loop(units(text)) == Loop(period, begins)
    assert style.before_loop(units(text)) == begins / len(units(text))


def test_loops_of_chance_are_those_that_a_pattern_finds() -> None:
    """Oracle: a regular expression that looks for three copies up to the end."""
    draw = random.Random(3)
    found = 0
    for _ in range(300):
        said = "".join(draw.choice("ab") for _ in range(draw.randint(8, 20)))
        loops = []
        for start, period in itertools.product(range(len(said) - 7), range(1, len(said) // 3 + 1)):
            match = re.fullmatch(rf"(.{{{period}}})\1{{2,}}(.*)", said[start:])
            if match and match[1].startswith(match[2]):
                loops.append(start + period)
        mine = style.loop(list(said))
        assert (mine is not None) == bool(loops), said
        if mine:
            found += 1
            assert mine.begins == min(loops)
    assert found > 5


def test_distinct_counts_ngrams_by_hand() -> None:
    said = units("a b a b a c")
    assert style.distinct(said, 1) == 3 / 6
    assert style.distinct(said, 2) == 3 / 5
    assert style.repeated(said, 2) == pytest.approx(2 / 5)
    assert style.repeated(units("only two"), 4) == 0
    assert style.distinct([], 2) == 0


def test_shared_ngrams_are_those_that_another_text_says() -> None:
    said = units("the cat sat on the mat")
    assert style.shared(said, [units("a cat sat on the roof")], 3) == 2 / 4
    assert style.shared(said, [said], 3) == 1
    assert style.shared(said, [[]], 3) == 0
    assert style.shared([], [said], 3) == 0


def test_units_are_words_and_signs_of_any_script() -> None:
    assert units("It's 3.5, Zo\u00eb!") == ["it", "'", "s", "3", ".", "5", ",", "zo\u00eb", "!"]
