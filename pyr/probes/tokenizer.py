"""The tokenizer probe: bytes per token by domain, beside reference tokenizers found here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from pyr import content
from pyr.errors import ContentError
from pyr.probes import Chunk, Subject
from pyr.schema import Record, Strict

Encode = Callable[[str], int]
"""Number of tokens of a text, special tokens not added."""


class TokenizerOptions(Strict):
    """Which texts, and which tokenizers to stand beside."""

    texts: dict[str, str] = Field(default_factory=dict)
    """JSONL files with a `text` key by domain; the shipped domains if empty."""
    references: str = "evals/tokenizers.yaml"


class Reference(Strict):
    """A tokenizer to compare with; used if a file of `files` exists or the hub cache holds it."""

    name: str
    hub: str = ""
    files: list[str] = Field(default_factory=list)


class References(Strict):
    """evals/tokenizers.yaml."""

    references: list[Reference]


class Tokenizer:
    """Records bytes/tokens with the tokens as weight: sum bytes / sum tokens over a domain."""

    def __init__(self, options: dict[str, Any], *, name: str) -> None:
        self.name = name
        self.options = content.check(options, TokenizerOptions, where=f"probe '{name}'")

    def run(self, subject: Subject) -> Iterator[Chunk]:
        """One chunk with every document under every tokenizer."""
        if not subject.earlier.empty:
            return
        own = subject.lm.tokenizer
        encoders: dict[str, Encode] = {
            "": lambda text: len(own.encode(text, add_special_tokens=False))
        }
        encoders |= _references(self.options.references, subject.mirror)
        texts = domain_texts(self.options.texts)
        subject.progress(self.name, 0, len(texts))
        records = [
            _record(domain, item, text, reference, encode)
            for domain, documents in texts.items()
            for item, text in documents
            for reference, encode in encoders.items()
        ]
        yield Chunk(records=records)
        subject.progress(self.name, len(texts), len(texts))


def _record(domain: str, item: str, text: str, reference: str, encode: Encode) -> Record:
    tokens = encode(text)
    return Record(
        task=f"tokenizer:{domain}",
        metric=f"bytes_per_token@{reference}" if reference else "bytes_per_token",
        item=item,
        value=len(text.encode()) / tokens,
        weight=tokens,
        unit="bytes/token",
    )


def domain_texts(files: dict[str, str]) -> dict[str, list[tuple[str, str]]]:
    """(item, text) of every document by domain; by default those of the bits-per-byte tasks."""
    if not files:
        shipped = content.path("evals/tasks")
        found = sorted(shipped.glob("pyr_bpb_*/*.jsonl"))
        files = {file.parent.name.removeprefix("pyr_bpb_"): str(file) for file in found}
    return {domain: _read_texts(Path(file)) for domain, file in files.items()}


def _read_texts(file: Path) -> list[tuple[str, str]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        texts = [json.loads(line)["text"] for line in lines if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContentError(
            f"{file} cannot be read as texts: {error}",
            remedy="one JSON object a line, with the key 'text'",
        ) from error
    return [(str(number), text) for number, text in enumerate(texts) if text]


def _references(listed: str, mirror: Path | None) -> dict[str, Encode]:
    """The listed tokenizers that are on this machine, by name."""
    file = content.path(listed) if not Path(listed).is_file() else Path(listed)
    found: dict[str, Encode] = {}
    for reference in content.read(file, References).references:
        lies_at = _locate(reference, mirror)
        if lies_at is not None:
            found[reference.name] = _encoder(lies_at)
    return found


def _encoder(file: Path) -> Encode:
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(file))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _locate(reference: Reference, mirror: Path | None) -> Path | None:
    """A listed file (as it stands, or below the mirror), else the hub's local cache."""
    import huggingface_hub

    roots = [Path(), *([mirror] if mirror else [])]
    for root in roots:
        for file in reference.files:
            if (root / file).is_file():
                return root / file
    if not reference.hub:
        return None
    cached = huggingface_hub.try_to_load_from_cache(reference.hub, "tokenizer.json")
    return Path(cached) if isinstance(cached, str) else None
