"""Rows into token ids: texts between begin tokens, chats by the tokenizer's own template."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from pyr.errors import ContentError
from pyr.training import shards, sources
from pyr.training.shards import Encoded

Document = tuple[Encoded, str]
"""A tokenised document, and its text."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A row's text and its token ids; `loss` is 1 where the assistant speaks, None for all."""

    id: str
    text: str
    ids: list[int]
    loss: list[int] | None


class Encoder:
    """Rows into token ids, in batches: the tokenizer uses every core."""

    def __init__(self, folder: Path, *, chat: bool, column: str) -> None:
        """folder: the tokenizer's. Raises ContentError if it cannot be used."""
        import transformers

        self.chat = chat
        self._column = column
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        shards.require_uint16(len(self._tokenizer), folder)
        if self._tokenizer.bos_token_id is None:
            raise ContentError(
                "the tokenizer has no begin token (bos_token).",
                where=str(folder / "tokenizer.json"),
            )

    def documents(self, rows: Sequence[dict[str, Any]], held_out: float) -> Iterator[Document]:
        """The batch as documents for the shards.

        What is held out is decided by the text, so that a copy elsewhere falls on the same side.
        """
        from pyr.tokenization.texts import share

        for text in self(rows):
            document = Encoded(
                id=text.id,
                ids=np.asarray(text.ids, dtype=np.uint16),
                bytes=len(text.text.encode("utf-8", "replace")),
                held_out=share(text.text) < held_out,
                loss=None if text.loss is None else np.asarray(text.loss, dtype=np.uint8),
            )
            yield document, text.text

    def __call__(self, rows: Sequence[dict[str, Any]]) -> list[Coded]:
        """The batch, tokenised; rows that hold no text are left out."""
        return self._chats(rows) if self.chat else self._texts(rows)

    def _texts(self, rows: Sequence[dict[str, Any]]) -> list[Coded]:
        texts = [str(row.get(self._column) or "") for row in rows]
        coded = self._tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        edge = self._tokenizer.bos_token_id
        return [
            Coded(_id(row, text), text, [edge, *each.ids, edge], None)
            for row, text, each in zip(rows, texts, coded, strict=True)
            if each.ids
        ]

    def _chats(self, rows: Sequence[dict[str, Any]]) -> list[Coded]:
        return [chat for row in rows if (chat := self._chat(row)) is not None]

    def _chat(self, row: dict[str, Any]) -> Coded | None:
        messages = sources.messages_of(row, self._column)
        if not any(message["role"] == "assistant" for message in messages):
            return None
        tools = row.get("tools")
        if isinstance(tools, str):
            tools = json.loads(tools)
        try:
            coded = self._tokenizer.apply_chat_template(
                messages, tools=tools or None, return_dict=True, return_assistant_tokens_mask=True
            )
        except jinja2.TemplateError:
            # A role or form that the template does not know: the row is read, and no document.
            return None
        text = self._tokenizer.decode(coded["input_ids"])
        return Coded(_id(row, text), text, coded["input_ids"], coded["assistant_masks"])


def _id(row: dict[str, Any], text: str) -> str:
    return str(row.get("id") or hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16])
