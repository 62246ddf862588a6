"""What is loaded from a checkpoint beside its weights: config, tokenizer, template, own code."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pyr.checkpoint.places import cached
from pyr.checkpoint.weights import CONFIG, read_json
from pyr.data.chat_formats import TEMPLATE_FILES, TEMPLATE_KEY
from pyr.errors import CheckpointError

GENERATION = "generation_config.json"
_TOKENIZER_CONFIG = "tokenizer_config.json"
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt",
    "vocab.txt", "spiece.model", "sentencepiece.bpe.model", "sentencepiece.model", "spm.model",
    "spm_char.model", "source.spm", "target.spm", "bpe.codes", "dict.txt", "byte_maps.json",
    "emoji.json", "entity_vocab.json", "normalizer.json", "prophetnet.tokenizer",
    "target_vocab.json", "vocab-src.json", "vocab-tgt.json", "word_pronunciation.json",
    "word_shape.json", "tekken.json",
)  # fmt: skip
"""What transformers' tokenizers read, in the order of the digest: further names go to the end."""
_NO_VOCABULARY = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_WITHOUT_VOCABULARY = ("ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer")
"""Tokenizers of bytes or characters: they have no file but their config."""


def digests(model: Path, spoken: Path) -> dict[str, str]:
    """The digest of each part; `spoken` is the folder that holds the tokenizer.

    The checkpoint's own code is a part where a config names any, and how it generates where the
    folder says.
    """
    tokenizer = [*_present(spoken, _TOKENIZER_FILES), *_ranks(spoken)]
    found = {
        "config": digest(_present(model, (CONFIG,))),
        "tokenizer": digest(tokenizer),
        "template": digest(_templates(spoken)),
    }
    if (model / GENERATION).is_file():
        found["generation"] = digest([model / GENERATION])
    if code := own_code(model, spoken):
        found["code"] = digest(code)
    return found


def own_code(*folders: Path) -> list[Path]:
    """The Python files of a checkpoint whose configs name code of its own; else empty.

    Every file counts: the one that is named may import the others. Code that lies in another
    model of the hub (``ORG/NAME--file.Class``) is found in the hub's cache.
    """
    found: list[Path] = []
    for folder in dict.fromkeys(folders):
        configs = _present(folder, (CONFIG, _TOKENIZER_CONFIG, GENERATION))
        maps = [read_json(file).get("auto_map") for file in configs]
        if any(maps) or (folder / "custom_generate").is_dir():
            found += sorted(folder.rglob("*.py"))
        for repository in sorted(set(re.findall(r"[\"']([\w./-]+)--", str(maps)))):
            found += sorted(cached(repository).rglob("*.py"))
    return found


def digest(files: Iterable[Path]) -> str:
    """sha256 of the files: names, sizes and contents, in their order."""
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    return total.hexdigest()


# ------------------------------------------------------------------ tokenizer and template


def holds_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer can be loaded from the folder, as far as its files tell."""
    names = [name for name in _TOKENIZER_FILES if name not in _NO_VOCABULARY]
    if _present(folder, names) or _ranks(folder):
        return True
    config = folder / _TOKENIZER_CONFIG
    about = read_json(config) if config.is_file() else {}
    return about.get("tokenizer_class") in _WITHOUT_VOCABULARY or "auto_map" in about


def check_tokenizer(folder: Path, config: dict[str, Any]) -> None:
    """CheckpointError if there is none, or its vocabulary is larger than the embedding.

    Tokens that were added to it later need no row: most tasks never use them. The engines say so
    where a task does.
    """
    if not holds_tokenizer(folder):
        raise CheckpointError(
            f"{folder} holds no tokenizer.",
            where="looked for: tokenizer.json, tokenizer.model, vocab.json and the like",
            remedy="save the tokenizer beside the model: tokenizer.save_pretrained(folder)",
        )
    rows = config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size")
    file = folder / "tokenizer.json"
    if not isinstance(rows, int) or not file.is_file():
        return
    highest = _highest_id(read_json(file))
    if highest >= rows:
        raise CheckpointError(
            f"the tokenizer is larger than the embedding: token id {highest}, {rows} rows.",
            where=str(folder),
            remedy="take the model's own tokenizer, or call model.resize_token_embeddings",
        )


def _highest_id(tokenizer: dict[str, Any]) -> int:
    """The highest id of the vocabulary itself, without added tokens."""
    vocab = tokenizer.get("model", {}).get("vocab", {})
    ids = vocab.values() if isinstance(vocab, dict) else range(len(vocab))
    added = {token["id"] for token in tokenizer.get("added_tokens", [])}
    return max((number for number in ids if number not in added), default=-1)


def has_template(folder: Path) -> bool:
    """Whether the tokenizer in the folder brings a chat template."""
    if _templates(folder):
        return True
    file = folder / _TOKENIZER_CONFIG
    return file.is_file() and bool(read_json(file).get(TEMPLATE_KEY))


def _templates(folder: Path) -> list[Path]:
    further = sorted((folder / "additional_chat_templates").glob("*.jinja"))
    return [*_present(folder, TEMPLATE_FILES), *further]


def _ranks(folder: Path) -> list[Path]:
    """Vocabularies in tiktoken's form, which go by any name."""
    return sorted(folder.glob("*.tiktoken"))


def _present(folder: Path, names: Iterable[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).is_file()]
