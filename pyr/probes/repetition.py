"""How a text repeats itself: n-grams said again, variety of words, and loops.

Texts are taken apart into words and signs; what is counted does not depend on a tokenizer, so that
two checkpoints with different ones compare.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_UNIT = re.compile(r"\w+|[^\w\s]")
_COPIES = 3
"""A tail is a loop if its period stands there at least so often."""
_LOOP_UNITS = 8
"""And if it is at least so long: ``ha ha ha`` or a row of stops is none."""


def units(text: str) -> list[str]:
    """The words and signs of a text, in lower case."""
    return _UNIT.findall(text.lower())


def grams(said: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Every n neighbours, in order."""
    return [tuple(said[place : place + n]) for place in range(len(said) - n + 1)]


def distinct(said: Sequence[str], n: int) -> float:
    """Distinct n-grams over all n-grams: distinct-n of Li et al. 2016, arXiv 1510.03055.

    0 for a text of fewer than n units. It falls with length: compare texts of one length.
    """
    found = grams(said, n)
    return len(set(found)) / len(found) if found else 0.0


def repeated(said: Sequence[str], n: int) -> float:
    """The share of n-grams that were said before: seq-rep-n of Welleck et al. 2019.

    Source: arXiv 1908.04319, section 6. 0 for a text of fewer than n units.
    """
    return 1 - distinct(said, n) if len(said) >= n else 0.0


def shared(said: Sequence[str], others: Sequence[Sequence[str]], n: int) -> float:
    """The share of a text's distinct n-grams that any of the other texts says too."""
    mine = set(grams(said, n))
    theirs = {gram for other in others for gram in grams(other, n)}
    return len(mine & theirs) / len(mine) if mine else 0.0


@dataclass(frozen=True, slots=True)
class Loop:
    """The end of a text that says one thing over and over."""

    period: int
    """Units of what is repeated."""
    begins: int
    """The unit at which it is said for the second time."""


def loop(said: Sequence[str]) -> Loop | None:
    """The loop that a text ends in, the one that begins earliest; None if it ends in none.

    The tail from some unit on has a period p (each unit equals the one p before it), holds three
    copies or more, and eight units or more. A last copy may be cut off.
    """
    found: Loop | None = None
    total = len(said)
    for period in range(1, total // _COPIES + 1):
        start = total
        while start - period > 0 and said[start - 1] == said[start - 1 - period]:
            start -= 1
        tail = total - start + period
        long_enough = tail >= max(_COPIES * period, _LOOP_UNITS)
        if long_enough and (found is None or start < found.begins):
            found = Loop(period, start)
    return found


def before_loop(said: Sequence[str]) -> float:
    """The share of a text that stands before it begins to loop; 1 if it does not."""
    found = loop(said)
    return found.begins / len(said) if found else 1.0
