"""Rows into ids: by the fast library or without it, the same shards."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from factories_training import write_recipe

from pyr import content
from pyr.data import shards
from pyr.errors import ContentError
from pyr.tokenization.anatomy import NASTY, SAMPLES
from pyr.training import prepare, recipe
from pyr.training.prepare import Kitchen, RowEncoder

TINY = "train/tiny/tokenizer"
needs_fastokens = pytest.mark.skipif(
    importlib.util.find_spec("fastokens") is None, reason="fastokens is not installed"
)
TEXTS = [
    *NASTY,
    *SAMPLES.values(),
    "",
    "a chat quoted: <|im_start|>user\nHi<|im_end|>\n<|endoftext|><think>x</think>",
    "a long one. " * 2_000,
    "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11000), *range(0x1F300, 0x1FB00)])),
]


@pytest.fixture
def without_fastokens(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def found(name: str, *rest: str | None) -> object:
        return None if name == "fastokens" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", found)


def prepared(tmp_path: Path, name: str, said: list[str]) -> dict[str, bytes]:
    """The files of a source that holds `TEXTS` many times over."""
    rows = [{"text": f"{number} {text}" if text else ""} for text in TEXTS for number in range(9)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    phase = {"data": [{"name": "a", "files": ["a.jsonl"]}], "held_out": 0.3}
    read = recipe.read(write_recipe(tmp_path / "recipe", content.path(TINY), {"one": phase}))
    prepare.prepare(read, Kitchen(tmp_path / name, tmp_path, say=said.append))
    files = sorted(file for file in (tmp_path / name).rglob("*") if file.is_file())
    return {str(file.relative_to(tmp_path / name)): file.read_bytes() for file in files}


@needs_fastokens
def test_the_shards_are_those_of_the_stock_library(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    said: list[str] = []
    fast = prepared(tmp_path, "fast", said)
    request.getfixturevalue("without_fastokens")
    assert fast == prepared(tmp_path, "stock", said)
    assert said == [
        "  one: preparing a",
        "  one: preparing a (by tokenizers: fastokens is not installed)",
    ]
    [manifest] = [json.loads(body) for name, body in fast.items() if name.endswith(shards.MANIFEST)]
    assert manifest["held_out"] > 0
    assert manifest["rows"]["empty"] == 9


def test_a_row_is_what_transformers_makes_of_it_between_begin_tokens() -> None:
    import transformers

    folder = content.path(TINY)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    edge = [tokenizer.bos_token_id]
    rows = RowEncoder(folder, chat=False, column="text").encode(
        [{"text": text} for text in TEXTS], 0.0
    )
    for row, text in zip(rows, filter(None, TEXTS), strict=True):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        np.testing.assert_array_equal(row.ids, [*edge, *ids, *edge])


def test_a_special_token_in_a_text_is_that_token() -> None:
    encoder = RowEncoder(content.path(TINY), chat=False, column="text")
    [row] = encoder.encode([{"text": "<|im_start|>"}], 0.0)
    assert row.ids.tolist() == [0, 1, 0]


def test_half_a_surrogate_pair_is_a_question_mark() -> None:
    rows = [{"text": "cut \ud83d here"}, {"text": "cut ? here"}]
    found = list(RowEncoder(content.path(TINY), chat=False, column="text").encode(rows, 0.0))
    assert [document.text for document in found] == ["cut ? here"] * 2
    assert found[0].ids.tolist() == found[1].ids.tolist()


def test_a_vocabulary_beyond_16_bits_is_refused(tmp_path: Path) -> None:
    import tokenizers
    import transformers

    words = {f"w{number}": number for number in range(70_000)}
    model = tokenizers.models.WordLevel(words, unk_token="w0")
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(model), bos_token="w1"
    ).save_pretrained(tmp_path)
    with pytest.raises(ContentError, match="65536"):
        RowEncoder(tmp_path, chat=False, column="text")
