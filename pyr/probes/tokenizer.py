"""The tokenizer probe: bytes per token by domain, beside reference tokenizers found here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from pyr import content, datasets
from pyr.data.filters import Document, read_shipped_passages
from pyr.data.source import read_file
from pyr.errors import ContentError
from pyr.files import json_sha256
from pyr.probes import Chunk, Subject
from pyr.schema import Record, Strict
from pyr.tokenization import listed, measure


class TokenizerOptions(Strict):
    """Which texts, and which tokenizers to stand beside."""

    texts: dict[str, str] = Field(default_factory=dict)
    """JSONL files with a `text` key by domain; the shipped domains if empty."""
    references: str = "evals/tokenizers.yaml"


class Tokenizer:
    """Records bytes/tokens with the tokens as weight: sum bytes / sum tokens over a domain."""

    def __init__(self, options: dict[str, Any], *, name: str) -> None:
        self.name = name
        self.options = content.check(options, TokenizerOptions, where=f"probe '{name}'")

    def reads(self) -> Iterator[str]:
        """The list of reference tokenizers, and the texts."""
        yield datasets.fingerprint(content.given_or_shipped(self.options.references))
        for document in _documents(self.options.texts):
            yield json_sha256([document.domain, document.text])

    def writes(self) -> bool:
        """Nothing is generated."""
        return False

    def run(self, subject: Subject) -> Iterator[Chunk]:
        """One chunk with every document under every tokenizer."""
        if not subject.earlier.empty:
            return
        own = subject.lm.tokenizer
        notes: list[str] = []
        roots = [subject.mirror] if subject.mirror else []
        found = listed.references(self.options.references, roots, on_note=notes.append)
        texts = measure.passages(_documents(self.options.texts))
        subject.progress(self.name, 0, len(texts))
        records: list[Record] = []
        for each in texts:
            # As the model is given its texts: by transformers, not by the file it was read from.
            counts = [len(own.encode(text, add_special_tokens=False)) for text in each.texts]
            records += measure.records(each, np.array(counts, dtype=np.int64))
            for one in found:
                counted = measure.token_counts(one.tokenizer.encode_all(each.texts))
                records += measure.named(measure.records(each, counted), one.name)
        yield Chunk(records=records, notes=notes)
        subject.progress(self.name, len(texts), len(texts))


def _documents(files: dict[str, str]) -> list[Document]:
    """The documents of each domain's file; by default those of the bits-per-byte tasks."""
    if not files:
        return read_shipped_passages()
    return [document for domain, file in files.items() for document in _read(domain, Path(file))]


def _read(domain: str, file: Path) -> Iterator[Document]:
    for number, row in enumerate(read_file(file)):
        text = row.get("text")
        if not isinstance(text, str):
            raise ContentError(
                f"{file}, row {number + 1} has no text.",
                remedy="one JSON object a line, with the key 'text'",
            )
        yield Document(domain, str(number), (text,))
