"""Training text that holds a test item: found by 13-grams of words, as in Brown et al. 2020, C."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pyr import content
from pyr.schema import Suite

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
        """The runs of the texts, case and punctuation left out."""
        found: set[bytes] = set()
        inner: set[bytes] = set()
        for text in texts:
            words = _words(text)
            if len(words) >= WORDS:
                found.update(_grams(words, WORDS))
                inner.update(_grams(words, _INNER))
        return cls(frozenset(found), frozenset(inner))

    def __or__(self, other: Blocked) -> Blocked:
        """What either holds."""
        return Blocked(self.grams | other.grams, self.inner | other.inner)

    def to_bytes(self) -> bytes:
        """For `from_bytes` in another process."""
        parts = (b"".join(sorted(part)) for part in (self.grams, self.inner))
        return b"".join([len(self.grams).to_bytes(_BYTES, "little"), *parts])

    @classmethod
    def from_bytes(cls, body: bytes) -> Blocked:
        """What `to_bytes` was asked of."""
        count, *digests = [body[at : at + _BYTES] for at in range(0, len(body), _BYTES)]
        until = int.from_bytes(count, "little")
        return cls(frozenset(digests[:until]), frozenset(digests[until:]))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _grams(words: Sequence[str], count: int, step: int = 1) -> Iterator[bytes]:
    """A digest of every run of so many words, or of those that begin at every `step`-th."""
    for first in range(0, len(words) - count + 1, step):
        joined = " ".join(words[first : first + count])
        yield hashlib.blake2b(joined.encode("utf-8", "replace"), digest_size=_BYTES).digest()


def shares_a_gram(text: str, blocked: Blocked) -> bool:
    """True if the text holds one of the blocked runs of words."""
    words = _words(text)
    # Any 13 words in a row hold 8 that begin at a multiple of 6.
    for number, inner in enumerate(_grams(words, _INNER, _STEP)):
        if inner in blocked.inner:
            at = number * _STEP
            around = words[max(0, at - _STEP + 1) : at + WORDS]
            if not blocked.grams.isdisjoint(_grams(around, WORDS)):
                return True
    return False


def holds_an_item(row: dict[str, Any], blocked: Blocked) -> bool:
    """True if a row of training data holds one of the blocked runs of words."""
    if not blocked.grams:
        return False
    return shares_a_gram(str(row.get("text") or row.get("messages") or row), blocked)


def blocked_of(files: Iterable[Path]) -> Blocked:
    """The runs of words in every text of JSON-lines files of items."""
    # Not splitlines: an item may hold a line separator of Unicode.
    lines = (line for file in files for line in file.read_text(encoding="utf-8").split("\n"))
    return Blocked.of(text for line in lines if line for text in _texts(json.loads(line)))


@cache
def shipped_items() -> Blocked:
    """Those of the project's own tasks."""
    return blocked_of(sorted(content.path("evals/tasks").glob("*/items.jsonl")))


def suite_items(suites: Iterable[Suite], mirror: Path | None) -> Blocked:
    """Those of every item that the suites take from data sets; what a limit leaves out too.

    mirror: read hub data sets from here; None asks the hub or its cache.
    Raises DataMissing if one is not there: better now than when the first phase is judged.
    """
    return Blocked.of(_items(suites, mirror))


def _items(suites: Iterable[Suite], mirror: Path | None) -> Iterator[str]:
    """The texts of every item that the suites take from data sets."""
    from pyr.probes import tasks

    asked: set[str] = set()
    for probe in (each for suite in suites for each in suite.probes if each.probe == "harness"):
        options = tasks.HarnessOptions.model_validate(probe.options)
        manager = tasks.task_manager(options)
        for spec in tasks.expand(manager, options):
            if spec.sources and spec.name not in asked:
                asked.add(spec.name)
                task = tasks.load(manager, spec, tasks.place(spec, mirror))
                yield from _texts(list(task.eval_docs))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
