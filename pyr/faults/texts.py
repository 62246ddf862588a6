"""Copies whose weights are sound, and that are given other texts than they were trained on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pyr.errors import CheckpointError
from pyr.faults.folders import copy, read_json

_PROMPT = re.compile(
    r"\{%-?\s*if\s+add_generation_prompt\s*-?%\}.*?\{%-?\s*endif\s*-?%\}", re.DOTALL
)


def without_merge(source: Path, target: Path, *, merge: int = 0) -> Path:
    """A copy whose BPE tokenizer lacks one of its merges, the most frequent one by default.

    Raises CheckpointError if its tokenizer.json holds no such merge.
    """
    merges = read_json(source / "tokenizer.json")["model"].get("merges", [])
    if not 0 <= merge < len(merges):
        raise CheckpointError(
            f"the tokenizer has {len(merges)} merges, none of number {merge}.", where=str(source)
        )

    def lacking(tokenizer: dict[str, Any]) -> dict[str, Any]:
        model = tokenizer["model"]
        rest = model["merges"][:merge] + model["merges"][merge + 1 :]
        return {**tokenizer, "model": {**model, "merges": rest}}

    return copy(source, target, files={"tokenizer.json": lacking})


def without_generation_prompt(source: Path, target: Path) -> Path:
    """A copy whose chat template never opens the assistant's turn.

    Raises CheckpointError if its template asks for no generation prompt.
    """

    def closed(template: str) -> str:
        shorter, count = _PROMPT.subn("", template)
        if not count:
            raise CheckpointError("the chat template asks for no generation prompt.")
        return shorter

    def inside(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "chat_template": closed(config["chat_template"])}

    if (source / "chat_template.jinja").is_file():
        return copy(source, target, files={"chat_template.jinja": closed})
    if isinstance(read_json(source / "tokenizer_config.json").get("chat_template"), str):
        return copy(source, target, files={"tokenizer_config.json": inside})
    raise CheckpointError(f"{source.name} has no chat template.", where=str(source))


def add_bos(source: Path, target: Path) -> Path:
    """A copy whose tokenizer begins every text with its BOS token.

    Raises CheckpointError if it names no BOS token that its vocabulary holds.
    """
    token = read_json(source / "tokenizer_config.json").get("bos_token")
    bos = token.get("content") if isinstance(token, dict) else token
    added = read_json(source / "tokenizer.json").get("added_tokens", [])
    ids = {each["content"]: each["id"] for each in added}
    if bos not in ids:
        raise CheckpointError(f"the tokenizer of {source.name} has no BOS token.")

    def begun(tokenizer: dict[str, Any]) -> dict[str, Any]:
        start = {"SpecialToken": {"id": bos, "type_id": 0}}
        first = {"Sequence": {"id": "A", "type_id": 0}}
        second = {"Sequence": {"id": "B", "type_id": 1}}
        opening = {
            "type": "TemplateProcessing",
            "single": [start, first],
            "pair": [start, first, second],
            "special_tokens": {bos: {"id": bos, "ids": [ids[bos]], "tokens": [bos]}},
        }
        before = tokenizer.get("post_processor")
        both = {"type": "Sequence", "processors": [before, opening]} if before else opening
        return {**tokenizer, "post_processor": both}

    return copy(source, target, files={"tokenizer.json": begun})
