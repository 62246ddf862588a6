"""Bulk encoding never changes an id."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from factories_tokenization import TEXTS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyr.tokenization import encode
from pyr.tokenization.encode import Encoder

needs_fastokens = pytest.mark.skipif(
    importlib.util.find_spec("fastokens") is None, reason="fastokens is not installed"
)


def assert_same(one: Encoder, other: Encoder, texts: list[str]) -> None:
    for mine, theirs in zip(one.encode(texts), other.encode(texts), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_without_the_fast_library_the_stock_one_encodes(shipped: Path, monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    encoder = Encoder.from_file(shipped / "tokenizer.json")
    assert encoder.library == "tokenizers"
    assert encoder.note == "fastokens is not installed"


def test_texts_keep_their_order_and_an_empty_one_its_place(shipped: Path) -> None:
    import tokenizers

    stock = tokenizers.Tokenizer.from_file(str(shipped / "tokenizer.json"))
    texts = ["one", "", "two three"]
    found = Encoder.from_file(shipped / "tokenizer.json", fast=False).encode(texts)
    assert [ids.tolist() for ids in found] == [stock.encode(text).ids for text in texts]


@pytest.mark.parametrize("fast", [False, True])
def test_no_texts_give_no_ids(shipped: Path, fast: bool) -> None:
    found = Encoder.from_file(shipped / "tokenizer.json", fast=fast).encode([])
    assert len(found.ids) == 0
    assert found.offsets.tolist() == [0]


@needs_fastokens
def test_the_fast_library_gives_the_same_ids(shipped: Path) -> None:
    fast, stock = (
        Encoder.from_file(shipped / "tokenizer.json", fast=each) for each in (True, False)
    )
    assert fast.library == "fastokens"
    assert_same(fast, stock, [*TEXTS, "<|im_start|>user\n<think>x</think>", "\u200d\u0301  \n\n 1"])


@pytest.fixture(scope="module")
def both(shipped: Path) -> tuple[Encoder, Encoder]:
    return Encoder.from_file(shipped / "tokenizer.json"), Encoder.from_file(
        shipped / "tokenizer.json", fast=False
    )


PIECES = st.sampled_from(["<|im_start|>", "<|endoftext|>", "<think>", "<|im_", "\r\n", "  ", "'s"])


@needs_fastokens
@given(st.lists(st.lists(st.one_of(PIECES, st.text(max_size=20))).map("".join), max_size=5))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=200)
def test_any_unicode_among_special_tokens_gets_the_same_ids(both, texts: list[str]) -> None:
    assert both[0].library == "fastokens"
    assert_same(*both, texts)


@needs_fastokens
def test_a_very_long_text_gets_the_same_ids(both) -> None:
    assert_same(*both, ["".join(f"{number} is {number**3:x}\n" for number in range(5_000))])
    assert_same(*both, ["a" * 20_000, " " * 20_000, "\n" * 20_000])


@needs_fastokens
def test_a_byte_that_the_vocabulary_lacks_gets_the_same_ids(small: Path, tmp_path: Path) -> None:
    told = json.loads((small / "tokenizer.json").read_text(encoding="utf-8"))
    # The letter that stands for the byte 0xf2.
    told["model"]["vocab"]["never"] = told["model"]["vocab"].pop("\u00f2")
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(told), encoding="utf-8")
    fast, stock = (Encoder.from_file(file, fast=each) for each in (True, False))
    assert fast.library == "fastokens"
    with pytest.raises(ValueError, match="0xf2"):
        encode._fast_ids(fast._fast, ["\U000a0000"])
    assert_same(fast, stock, ["one two", "one \U000a0000 two"])


@needs_fastokens
def test_a_tokenizer_that_truncates_is_left_to_the_stock_library(shipped: Path) -> None:
    import tokenizers

    stock = tokenizers.Tokenizer.from_file(str(shipped / "tokenizer.json"))
    stock.enable_truncation(3)
    encoder = Encoder(stock)
    assert encoder.note == "this tokenizer truncates or pads"
    assert encoder.encode(["one two three four five six"]).offsets.tolist() == [0, 3]


def test_a_library_that_gives_other_ids_is_not_taken(shipped: Path, monkeypatch) -> None:
    class Wrong:
        @staticmethod
        def from_json_str(body: str) -> Wrong:
            return Wrong()

        def encode_batch_flat(self, texts: list[str], *, add_special_tokens: bool):
            assert not add_special_tokens
            return b"", np.zeros(len(texts) + 1, dtype=np.uint64).tobytes()

    module = types.ModuleType("fastokens")
    module.Tokenizer = Wrong  # type: ignore[attr-defined]
    module.__spec__ = importlib.machinery.ModuleSpec("fastokens", None)
    monkeypatch.setitem(sys.modules, "fastokens", module)
    encoder = Encoder.from_file(shipped / "tokenizer.json")
    assert encoder.library == "tokenizers"
    assert "gives other ids for" in encoder.note
