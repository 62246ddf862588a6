"""Training text that holds a test item: found by 13-grams of words, as in Brown et al. 2020, C."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

WORDS = 13
_INNER = 8
_STEP = WORDS - _INNER + 1
_BYTES = 8
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Blocked:
    """Runs of words of test items, as digests."""

    grams: frozenset[bytes] = frozenset()
    """Of 13 words: a text that holds one is not trained on."""
    inner: frozenset[bytes] = frozenset()
    """Of 8 words, all that stand inside those: a sixth of a text's runs need be looked up."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> Blocked:
        """Return the runs of the texts, case and punctuation left out."""
        grams: set[bytes] = set()
        inner: set[bytes] = set()
        for text in texts:
            words = _WORD.findall(text.lower())
            if len(words) >= WORDS:
                grams.update(_digests(words, WORDS))
                inner.update(_digests(words, _INNER))
        return cls(frozenset(grams), frozenset(inner))

    def to_bytes(self) -> bytes:
        """Return both sets in one text of bytes, for `from_bytes` in another process."""
        grams, inner = sorted(self.grams), sorted(self.inner)
        return b"".join([len(grams).to_bytes(_BYTES, "little"), *grams, *inner])

    @classmethod
    def from_bytes(cls, body: bytes) -> Blocked:
        """Return what `to_bytes` was called on."""
        count, *digests = [body[at : at + _BYTES] for at in range(0, len(body), _BYTES)]
        until = int.from_bytes(count, "little")
        return cls(frozenset(digests[:until]), frozenset(digests[until:]))


def _digests(words: Sequence[str], count: int, step: int = 1) -> Iterator[bytes]:
    """Yield a digest of every run of so many words, or of those that begin at every `step`-th."""
    for first in range(0, len(words) - count + 1, step):
        joined = " ".join(words[first : first + count])
        yield hashlib.blake2b(joined.encode("utf-8", "replace"), digest_size=_BYTES).digest()


def holds_an_item(row: dict[str, Any], blocked: Blocked) -> bool:
    """Return whether a row of training data holds one of the blocked runs of words."""
    if not blocked.grams:
        return False
    words = _WORD.findall(str(row.get("text") or row.get("messages") or row).lower())
    # Any 13 words in a row hold 8 that begin at a multiple of 6.
    for number, inner in enumerate(_digests(words, _INNER, _STEP)):
        if inner in blocked.inner:
            at = number * _STEP
            around = words[max(0, at - _STEP + 1) : at + WORDS]
            if not blocked.grams.isdisjoint(_digests(around, WORDS)):
                return True
    return False


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in a value made of dicts and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts_in(inner)
