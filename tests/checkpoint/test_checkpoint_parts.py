from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyr.checkpoint import identify, parts
from pyr.errors import CheckpointError


def edit(file: Path, **changes: object) -> None:
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, **changes}))


def test_every_file_that_a_tokenizer_of_transformers_reads_is_in_the_digest() -> None:
    from transformers.models.auto import tokenization_auto as auto

    read: set[str] = set()
    for name in set(auto.TOKENIZER_MAPPING_NAMES.values()) - {None}:
        found = auto.tokenizer_class_from_name(name)
        read |= set(getattr(found, "vocab_files_names", {}).values())
    assert read <= set(parts._TOKENIZER_FILES)


def test_how_it_generates_is_a_part_that_is_not_in_the_digest(checkpoint_copy: Path) -> None:
    before = identify(checkpoint_copy)
    edit(checkpoint_copy / "generation_config.json", top_k=3)
    after = identify(checkpoint_copy)
    assert after.digest == before.digest
    assert after.digests["generation"] != before.digests["generation"]


def test_code_that_a_config_names_is_part_of_the_checkpoint(checkpoint_copy: Path) -> None:
    (checkpoint_copy / "modeling_own.py").write_text("a = 1")
    plain = identify(checkpoint_copy)
    assert "code" not in plain.digests
    edit(checkpoint_copy / "config.json", auto_map={"AutoModelForCausalLM": "modeling_own.Own"})
    named = identify(checkpoint_copy)
    (checkpoint_copy / "modeling_own.py").write_text("a = 2")
    edited = identify(checkpoint_copy)
    (checkpoint_copy / "parts").mkdir()
    (checkpoint_copy / "parts" / "attention.py").write_text("b = 1")
    grown = identify(checkpoint_copy)
    assert len({each.digest for each in (plain, named, edited, grown)}) == 4
    assert named.digests["config"] == grown.digests["config"]


@pytest.mark.parametrize("file", ["tokenizer_config.json", "generation_config.json"])
def test_code_is_looked_for_in_every_config(checkpoint_copy: Path, file: str) -> None:
    (checkpoint_copy / "own.py").write_text("a = 1")
    edit(checkpoint_copy / file, auto_map={"AutoTokenizer": ["own.Own", None]})
    assert "code" in identify(checkpoint_copy).digests


def test_code_that_lies_in_another_model_of_the_hub_is_part_of_it(
    checkpoint_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    edit(checkpoint_copy / "config.json", auto_map={"AutoModelForCausalLM": "some/one--own.Own"})
    place = tmp_path / "models--some--one" / "snapshots" / "main"
    place.mkdir(parents=True)
    (place / "own.py").write_text("a = 1")
    before = identify(checkpoint_copy)
    (place / "own.py").write_text("a = 2")
    assert identify(checkpoint_copy).digests["code"] != before.digests["code"]


# ------------------------------------------------------------------ tokenizers


def test_a_token_that_was_added_needs_no_row(checkpoint_copy: Path) -> None:
    file = checkpoint_copy / "tokenizer.json"
    added = json.loads(file.read_text())["added_tokens"]
    edit(file, added_tokens=[*added, {**added[0], "id": 600, "content": "<image>"}])
    edit(checkpoint_copy / "config.json", vocab_size=600)
    assert identify(checkpoint_copy).digest


@pytest.mark.parametrize("file", ["spiece.model", "vocab.txt", "qwen.tiktoken", "tekken.json"])
def test_vocabularies_of_other_forms_are_known_and_counted(
    checkpoint_copy: Path, file: str
) -> None:
    (checkpoint_copy / "tokenizer.json").unlink()
    (checkpoint_copy / file).write_text("one")
    before = identify(checkpoint_copy)
    (checkpoint_copy / file).write_text("two")
    assert identify(checkpoint_copy).digests["tokenizer"] != before.digests["tokenizer"]


def test_a_tokenizer_of_bytes_has_no_vocabulary_file(checkpoint_copy: Path) -> None:
    (checkpoint_copy / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="holds no tokenizer"):
        identify(checkpoint_copy)
    edit(checkpoint_copy / "tokenizer_config.json", tokenizer_class="ByT5Tokenizer")
    assert identify(checkpoint_copy).digest


def test_further_chat_templates_are_part_of_the_template(checkpoint_copy: Path) -> None:
    before = identify(checkpoint_copy)
    folder = checkpoint_copy / "additional_chat_templates"
    folder.mkdir()
    (folder / "tools.jinja").write_text("{{ 1 }}")
    assert identify(checkpoint_copy).digests["template"] != before.digests["template"]
