"""Training text that holds a test item: found by 13-grams of words, as in Brown et al. 2020, C."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pyr import content
from pyr.schema import Suite

WORDS = 13
_WORD = re.compile(r"\w+")


def grams(text: str) -> Iterator[bytes]:
    """A digest of every run of 13 words, case and punctuation left out."""
    words = _WORD.findall(text.lower())
    for first in range(len(words) - WORDS + 1):
        joined = " ".join(words[first : first + WORDS])
        yield hashlib.blake2b(joined.encode("utf-8", "replace"), digest_size=8).digest()


def shares_a_gram(text: str, blocked: frozenset[bytes]) -> bool:
    """True if the text holds one of the blocked runs of words."""
    return any(gram in blocked for gram in grams(text))


def holds_an_item(row: dict[str, Any], blocked: frozenset[bytes]) -> bool:
    """True if a row of training data holds one of the blocked runs of words."""
    if not blocked:
        return False
    return shares_a_gram(str(row.get("text") or row.get("messages") or row), blocked)


def grams_of(files: list[Path]) -> frozenset[bytes]:
    """The runs of words in every text of JSON-lines files of items."""
    found: set[bytes] = set()
    for file in files:
        # Not splitlines: an item may hold a line separator of Unicode.
        for line in file.read_text(encoding="utf-8").split("\n"):
            if line:
                for text in _texts(json.loads(line)):
                    found.update(grams(text))
    return frozenset(found)


@cache
def shipped_grams() -> frozenset[bytes]:
    """Those of the project's own tasks."""
    return grams_of(sorted(content.path("evals/tasks").glob("*/items.jsonl")))


def suite_grams(suites: Iterable[Suite], mirror: Path | None) -> frozenset[bytes]:
    """Those of every item that the suites take from data sets; what a limit leaves out too.

    mirror: read hub data sets from here; None asks the hub or its cache.
    Raises DataMissing if one is not there: better now than when the first phase is judged.
    """
    from pyr.probes import tasks

    found: set[bytes] = set()
    asked: set[str] = set()
    for probe in (each for suite in suites for each in suite.probes if each.probe == "harness"):
        options = tasks.HarnessOptions.model_validate(probe.options)
        manager = tasks.task_manager(options)
        for spec in tasks.expand(manager, options):
            if spec.sources and spec.name not in asked:
                asked.add(spec.name)
                task = tasks.load(manager, spec, tasks.place(spec, mirror))
                for text in _texts(list(task.eval_docs)):
                    found.update(grams(text))
    return frozenset(found)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
