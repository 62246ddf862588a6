"""English minimal pairs: a grammatical sentence and one that differs from it in a single point."""

from __future__ import annotations

import random
from collections.abc import Callable

from pyr_pairs import agreement, structure, usage

PER_PARADIGM = 50
PARADIGMS = (*agreement.PARADIGMS, *structure.PARADIGMS, *usage.PARADIGMS)

Pair = tuple[str, str]


def items(rng: random.Random) -> list[dict[str, object]]:
    """Fifty pairs a paradigm, in random order, the good sentence first in half of each."""
    documents = []
    for paradigm in PARADIGMS:
        for number, (good, bad) in enumerate(_distinct_pairs(rng, paradigm)):
            gold = number % 2
            choices = [bad, good] if gold else [good, bad]
            documents.append({"choices": choices, "gold": gold, "cluster": paradigm.__name__})
    rng.shuffle(documents)
    return documents


def _distinct_pairs(rng: random.Random, paradigm: Callable[[random.Random], Pair]) -> list[Pair]:
    """No sentence twice, and none good in one pair and bad in another."""
    pairs: list[Pair] = []
    seen: set[str] = set()
    while len(pairs) < PER_PARADIGM:
        pair = paradigm(rng)
        if seen.isdisjoint(pair):
            pairs.append(pair)
            seen.update(pair)
    return pairs
