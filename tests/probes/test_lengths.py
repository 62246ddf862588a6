"""Answers longer than the model can hold give way to the prompt, and never starve it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories_probes import GENERATION, Holding, records, run

from pyr.probes import Subject
from pyr.probes.harness import Bounded, allowed, fit


@pytest.mark.parametrize(
    ("prompt", "asked", "context", "given"),
    [
        (100, 1280, 2048, 1280),  # as the task says
        (768, 1280, 2048, 1280),  # just so
        (900, 1280, 2048, 1148),  # the prompt stays whole
        (120, 1280, 1024, 904),
        (120, 1280, 1280, 1160),  # HFLM stops with an assertion
        (1500, 1280, 2048, 1024),  # half for each
        (5000, 64, 128, 64),
    ],
)
def test_an_answer_gives_way_to_its_prompt_until_half(
    prompt: int, asked: int, context: int, given: int
) -> None:
    assert allowed(prompt, asked, context) == given


class Words:
    """Holds 100 tokens; a token is a word."""

    max_length = 100

    def tok_encode(self, string: str) -> list[int]:
        return [0] * len(string.split())


def asking(prompt: str, tokens: int) -> Any:
    from lm_eval.api.instance import Instance

    return Instance("generate_until", {}, (prompt, {"until": [], "max_gen_toks": tokens}), 0)


def test_only_answers_that_do_not_fit_are_shortened_and_counted() -> None:
    short, long = asking("one two three", 90), asking("word " * 40, 90)
    assert isinstance(Words(), Bounded)
    assert fit(Words(), [short, long]).startswith("1 of 2 answers could not get the 90 tokens")
    assert short.args[1]["max_gen_toks"] == 90
    assert long.args[1] == {"until": [], "max_gen_toks": 60}


def test_nothing_is_said_where_all_fits() -> None:
    assert fit(Words(), [asking("one two", 90)]) == ""


def test_a_task_that_asks_for_more_than_the_model_holds_is_answered_and_noted(
    sums: tuple[Path, Path], in_mirror: Subject
) -> None:
    """lm-eval's HFLM stops with an assertion here."""
    (sums[1] / "says.yaml").write_text(GENERATION.replace("max_gen_toks: 8", "max_gen_toks: 5000"))
    options = {"include_path": [str(sums[1])], "tasks": ["says"], "limit": 2}
    # The tiny model holds 2,048 tokens, and seldom stops by itself: it is told to.
    narrow = replace(in_mirror, models=Holding(Narrow(in_mirror.lm)))
    chunks = run(options, narrow)
    assert len(records(chunks)) == 2
    [note] = [note for chunk in chunks for note in chunk.notes]
    assert note.startswith("says: 2 of 2 answers could not get the 5000 tokens")


class Narrow:
    """The same model with room for 64 tokens; it notes what it is asked for."""

    max_length = 64

    def __init__(self, lm: Any) -> None:
        self.inner = lm
        self.tok_encode = lm.tok_encode

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        self.inner._max_length, before = 64, self.inner._max_length
        try:
            found: list[str] = self.inner.generate_until(requests, disable_tqdm=True)
        finally:
            self.inner._max_length = before
        return found
