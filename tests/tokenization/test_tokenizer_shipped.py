"""The tokenizer that the project ships: what issue and docs promise of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import tokenizers
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pyr import content
from pyr.tokenization import recipe
from pyr.tokenization.forms import load

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
KEPT = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]


@pytest.fixture(scope="module")
def raw(shipped: Path) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(shipped / "tokenizer.json"))


@pytest.fixture(scope="module")
def loaded(shipped: Path):
    import transformers

    return transformers.AutoTokenizer.from_pretrained(shipped)


def test_it_has_16384_tokens_in_all(raw: tokenizers.Tokenizer, loaded) -> None:
    assert raw.get_vocab_size() == len(loaded) == 16384
    assert sorted(raw.get_vocab().values()) == list(range(16384))


def test_special_and_kept_tokens_are_single_and_have_the_first_ids(
    raw: tokenizers.Tokenizer,
) -> None:
    for number, token in enumerate([*SPECIAL, *KEPT]):
        assert raw.encode(token).ids == [number]


def test_decoding_keeps_what_parsers_read_and_drops_what_is_special(loaded) -> None:
    text = "<think>a</think><tool_call>b</tool_call><tool_response>c</tool_response>"
    ids = loaded.encode(f"<|im_start|>{text}<|im_end|>")
    assert loaded.decode(ids, skip_special_tokens=True) == text


def test_the_special_ids_are_those_of_the_configuration(loaded, shipped: Path) -> None:
    assert (loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id) == (0, 2, 3)
    generation = json.loads((shipped / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [2, 0]


def test_no_token_is_added_around_a_text(loaded) -> None:
    assert loaded("hello")["input_ids"] == loaded.encode("hello", add_special_tokens=False)


@given(st.text())
@settings(max_examples=400, deadline=None)
def test_every_text_comes_back(text: str) -> None:
    tokenizer = shared()
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


@given(
    st.lists(st.sampled_from([*KEPT, " ", "\n", "a", "1", "\u0301", "\u200d", "def f():\n    "]))
)
@settings(max_examples=200, deadline=None)
def test_texts_with_kept_tokens_come_back(pieces: list[str]) -> None:
    text = "".join(pieces)
    tokenizer = shared()
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=True) == text


@given(st.text(), st.lists(st.sampled_from(SPECIAL), max_size=3))
@settings(max_examples=100, deadline=None)
def test_transformers_gives_texts_back_too(text: str, special: list[str]) -> None:
    tokenizer = shared_transformers()
    whole = text.join(["", *special, ""])
    assert tokenizer.decode(tokenizer.encode(whole), skip_special_tokens=False) == whole


def shared(found: list[tokenizers.Tokenizer] = []) -> tokenizers.Tokenizer:  # noqa: B006
    """Loaded once: hypothesis takes no fixtures of function scope."""
    if not found:
        file = content.path("train/pyr-135m/tokenizer/tokenizer.json")
        found.append(tokenizers.Tokenizer.from_file(str(file)))
    return found[0]


def shared_transformers(found: list = []):  # noqa: B006
    import transformers

    if not found:
        folder = content.path("train/pyr-135m/tokenizer")
        found.append(transformers.AutoTokenizer.from_pretrained(folder))
    return found[0]


def test_no_token_holds_a_digit_and_anything_else(shipped: Path) -> None:
    for token in load(shipped).tokenizer.token_bytes:
        assert token is not None
        text = token.decode("utf-8", "ignore")
        assert len(text) == 1 or not any(c.isnumeric() for c in text), token


def test_there_is_no_normalizer_and_nothing_is_added_by_a_processor(shipped: Path) -> None:
    written = json.loads((shipped / "tokenizer.json").read_text())
    assert written["normalizer"] is None
    assert written["post_processor"] is None
    assert not written["model"]["ignore_merges"]


def test_the_record_fits_the_files_and_the_recipe(shipped: Path) -> None:
    record = json.loads((shipped / "training.json").read_text())
    for name, digest in record["result"]["sha256"].items():
        assert hashlib.sha256((shipped / name).read_bytes()).hexdigest() == digest, name
    file = content.path("train/pyr-135m/tokenizer.yaml")
    assert record["recipe_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert recipe.read(file).vocab_size == record["result"]["vocab_size"]
    assert [each["source"] for each in record["data"]] == [
        each["name"] for each in yaml.safe_load(file.read_text())["texts"]
    ]


def test_the_templates_are_those_beside_the_recipe(shipped: Path) -> None:
    template = (shipped.parent / "chat_template.jinja").read_text()
    assert (shipped / "chat_template.jinja").read_text() == template
    config = json.loads((shipped / "tokenizer_config.json").read_text())
    written = json.loads((shipped.parent / "response_template.json").read_text())
    assert config["response_template"] == written
