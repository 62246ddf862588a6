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
import numpy.typing as npt

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
    ids: npt.NDArray[np.uint16]
    loss: npt.NDArray[np.uint8] | None


class RowEncoder:
    """Rows into token ids, in batches: the tokenizer uses every core."""

    def __init__(self, folder: Path, *, chat: bool, column: str) -> None:
        """folder: the tokenizer's. Raises ContentError if it cannot be used."""
        import transformers

        from pyr.tokenization.encode import Encoder

        self.chat = chat
        self._column = column
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        shards.require_uint16(1 + max(self._tokenizer.get_vocab().values()), folder)
        if self._tokenizer.bos_token_id is None:
            raise ContentError(
                "the tokenizer has no begin token (bos_token).",
                where=str(folder / "tokenizer.json"),
            )
        # Chats go through transformers' own template, which no other library renders.
        self._texts_encoder = Encoder(self._tokenizer.backend_tokenizer, fast=not chat)
        self.slow = "" if chat else self._texts_encoder.note
        """Why texts are not encoded by the fast library, if they are not."""

    def documents(self, rows: Sequence[dict[str, Any]], held_out: float) -> Iterator[Document]:
        """The batch as documents for the shards.

        What is held out is decided by the text, so that a copy elsewhere falls on the same side.
        """
        from pyr.tokenization.texts import share

        for text in self(rows):
            document = Encoded(
                id=text.id,
                ids=text.ids,
                bytes=len(text.text.encode("utf-8", "replace")),
                held_out=share(text.text) < held_out,
                loss=text.loss,
            )
            yield document, text.text

    def __call__(self, rows: Sequence[dict[str, Any]]) -> list[Coded]:
        """The batch, tokenised; rows that hold no text are left out."""
        return self._chats(rows) if self.chat else self._texts(rows)

    def _texts(self, rows: Sequence[dict[str, Any]]) -> list[Coded]:
        texts = [_valid(str(row.get(self._column) or "")) for row in rows]
        edge = [self._tokenizer.bos_token_id]
        return [
            Coded(_id(row, text), text, np.concatenate([edge, ids, edge]).astype(np.uint16), None)
            for row, text, ids in zip(rows, texts, self._texts_encoder.encode(texts), strict=True)
            if len(ids)
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
        ids = np.asarray(coded["input_ids"], dtype=np.uint16)
        loss = np.asarray(coded["assistant_masks"], dtype=np.uint8)
        return Coded(_id(row, text), text, ids, loss)


def _valid(text: str) -> str:
    """The text with a question mark for half a surrogate pair, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()


def _id(row: dict[str, Any], text: str) -> str:
    return str(row.get("id") or hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16])
