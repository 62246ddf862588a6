"""Every form of tokenizer loads, packed or not, and says what its tokens stand for."""

from __future__ import annotations

import base64
import importlib.util
import json
import lzma
from pathlib import Path

import pytest
from factories_tokenization import TEXT

from pyr.errors import ContentError, UsageError
from pyr.tokenization import forms, listed

ROOT = Path(__file__).parent.parent.parent
SHARED = ROOT.parent / "shared" / "data"
needs_tiktoken = pytest.mark.skipif(
    importlib.util.find_spec("tiktoken") is None, reason="tiktoken is not installed"
)
needs_sentencepiece = pytest.mark.skipif(
    importlib.util.find_spec("sentencepiece") is None, reason="sentencepiece is not installed"
)


def assert_cuts_text(found: forms.Named, text: str = TEXT) -> None:
    tokenizer = found.tokenizer
    ids = list(tokenizer.encode(text))
    assert b"".join(tokenizer.token_bytes[i] or b"" for i in ids).strip() == text.encode().strip()
    assert tokenizer.decode(ids) == text
    coded = tokenizer.encode_all([text, "", text])
    assert coded[2].tolist() == ids
    assert tokenizer.decode_all(coded) == [text, "", text]


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_or_its_tokenizer_json_loads(small: Path, tmp_path: Path, packed: bool) -> None:
    file = small / "tokenizer.json"
    if packed:
        file = tmp_path / "tokenizer.json.xz"
        file.write_bytes(lzma.compress((small / "tokenizer.json").read_bytes()))
    for path in (file, file.parent):
        assert_cuts_text(forms.load(path))
    assert forms.load(file).tokenizer.vocab_size == 400


def ranks(small: Path) -> list[tuple[bytes, int]]:
    table = forms.load(small).tokenizer.token_bytes
    return [(token, number - 6) for number, token in enumerate(table) if number >= 6 and token]


@needs_tiktoken
def test_a_file_of_ranks_gives_the_ids_of_the_same_merges(small: Path, tmp_path: Path) -> None:
    lines = [f"{base64.b64encode(token).decode()} {rank}" for token, rank in ranks(small)]
    file = tmp_path / "small.tiktoken"
    file.write_text("\n".join(lines) + "\n")
    found = forms.load(file)
    assert_cuts_text(found)
    text = "The cat sat on the mat."
    own = forms.load(small).tokenizer.encode(text)
    assert [number + 6 for number in found.tokenizer.encode(text)] == list(own)


@needs_tiktoken
def test_a_claude_json_loads(small: Path, tmp_path: Path) -> None:
    words = " ".join(base64.b64encode(token).decode() for token, _ in ranks(small))
    written = {
        "pat_str": r"\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+",
        "special_tokens": {"<EOT>": 0},
        "bpe_ranks": f"! 1 {words}",
    }
    (tmp_path / "claude.json").write_text(json.dumps(written))
    found = forms.load(tmp_path)
    assert_cuts_text(found)
    assert found.tokenizer.vocab_size == 395


@needs_sentencepiece
def test_a_sentencepiece_model_loads(tmp_path: Path) -> None:
    import sentencepiece

    (tmp_path / "text").write_text(TEXT * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"),
        model_prefix=str(tmp_path / "tokenizer"),
        vocab_size=330,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    found = forms.load(tmp_path / "tokenizer.model")
    assert_cuts_text(found, "The cat sat on \u65e5 mats")
    assert found.tokenizer.vocab_size == 330


def test_a_missing_library_is_named_with_its_remedy(
    small: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tiktoken", None)
    (tmp_path / "small.tiktoken").write_text("YQ== 0\n")
    with pytest.raises(forms.LibraryMissing, match="needs the library tiktoken") as caught:
        forms.load(tmp_path)
    assert "pyr-lm[tokenizers]" in caught.value.remedy


@pytest.mark.parametrize("body", ["{}", "{oops", '{"model": {"type": "Nothing"}}', "[]"])
def test_a_file_that_is_no_tokenizer_is_an_error(tmp_path: Path, body: str) -> None:
    (tmp_path / "tokenizer.json").write_text(body)
    with pytest.raises(ContentError, match="cannot be read"):
        forms.load(tmp_path)


def test_a_path_without_a_tokenizer_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tokenizer at"):
        forms.load(tmp_path)


def test_a_folder_called_tokenizer_is_named_after_the_one_it_stands_in(shipped: Path) -> None:
    assert forms.load(shipped).name == "pyr-135m"


def test_references_that_are_not_here_are_left_out(small: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizers" / "a").mkdir(parents=True)
    packed = lzma.compress((small / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizers" / "a" / "tokenizer.json.xz").write_bytes(packed)
    listing = tmp_path / "list.yaml"
    listing.write_text(
        "references:\n"
        "  - {name: here, files: [tokenizers/a/tokenizer.json]}\n"
        "  - {name: gone, files: [tokenizers/b/tokenizer.json]}\n"
    )
    notes: list[str] = []
    found = listed.references(str(listing), [tmp_path], on_note=notes.append)
    assert [one.name for one in found] == ["here"]
    assert not notes


@needs_tiktoken
@needs_sentencepiece
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared tokenizers are not on this machine")
def test_every_listed_reference_loads() -> None:
    found = listed.references("evals/tokenizers.yaml", [SHARED], on_note=lambda note: None)
    assert len(found) == 12
    for one in found:
        assert one.tokenizer.vocab_size > 10_000
        assert one.tokenizer.decode(one.tokenizer.encode("Hello, world 12")) == "Hello, world 12"
