"""The rows that train/tiny makes up."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest

from pyr import content
from pyr.data.source import load_function


def made(kind: str, **arguments: int) -> Iterator[dict]:
    yield from load_function(content.path("train/tiny/generate.py"), kind)(**arguments)


def rows(kind: str, **arguments: int) -> list[dict]:
    return list(made(kind, **arguments))


def test_the_standard_library_has_code_and_documentation() -> None:
    code = list(islice(made("python_code"), 3))
    docs = list(islice(made("python_docs"), 3))
    assert all("\n" in row["text"] for row in code)
    assert all(len(row["text"]) >= 200 for row in docs)


@pytest.mark.parametrize("kind", ["stories", "dialogues", "preferences"])
def test_what_is_invented_follows_from_the_seed(kind: str) -> None:
    one = rows(kind, seed=1, count=20)
    assert one == rows(kind, seed=1, count=30)[:20]
    assert one != rows(kind, seed=2, count=20)


def test_an_invented_preference_is_right_before_wrong() -> None:
    for row in rows("preferences", seed=1, count=100):
        assert row["chosen"] != row["rejected"]
