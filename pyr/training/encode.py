"""Rows into token ids: texts between begin tokens, chats by the tokenizer's own template."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pyr.data import chat_formats
from pyr.data.filters import is_held_out
from pyr.data.shards import Encoded
from pyr.errors import ContentError
from pyr.files import text_sha256

_BATCH = 256


class RowEncoder:
    """Rows into token ids, in batches: the tokenizer uses every core."""

    def __init__(self, folder: Path, *, chat: bool, column: str) -> None:
        """folder: the tokenizer's. Raises ContentError if it cannot be used."""
        import transformers

        from pyr.tokenization.encode import Encoder

        self.chat = chat
        self._column = column
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        vocabulary = 1 + max(self._tokenizer.get_vocab().values())
        if vocabulary > 1 << 16:
            raise ContentError(
                f"the tokenizer has {vocabulary} tokens; shards hold at most 65536.",
                where=str(folder),
                remedy="use a smaller vocabulary",
            )
        if self._tokenizer.bos_token_id is None:
            raise ContentError(
                "the tokenizer has no begin token (bos_token).",
                where=str(folder / "tokenizer.json"),
            )
        # Chats go through transformers' own template, which no other library renders.
        self._encoder = Encoder(self._tokenizer.backend_tokenizer, fast=not chat)
        self.slow = "" if chat else self._encoder.note
        """Why texts are not encoded by the fast library, if they are not."""

    def encode(self, rows: Iterable[dict[str, Any]], held_out: float) -> Iterator[Encoded]:
        """Yield the rows as documents for the shards; those that hold no text are left out.

        held_out: the share of documents that are held out, decided by their text, so that a copy
        elsewhere falls on the same side.
        """
        for row, text, ids, loss in self._chats(rows) if self.chat else self._texts(rows):
            raw = text.encode("utf-8", "replace")
            yield Encoded(
                id=str(row.get("id") or text_sha256(text)[:16]),
                ids=ids,
                bytes=len(raw),
                held_out=is_held_out(text, held_out),
                loss=loss,
                text=text,
            )

    def _texts(self, rows: Iterable[dict[str, Any]]) -> Iterator[tuple[Any, str, Any, Any]]:
        edge = [self._tokenizer.bos_token_id]
        remaining = iter(rows)
        while batch := list(islice(remaining, _BATCH)):
            # A question mark for half a surrogate pair, which UTF-8 cannot hold.
            raw = [str(row.get(self._column) or "").encode("utf-8", "replace") for row in batch]
            texts = list(map(bytes.decode, raw))
            for row, text, ids in zip(batch, texts, self._encoder.encode(texts), strict=True):
                if len(ids):
                    yield row, text, np.concatenate([edge, ids, edge]).astype(np.uint16), None

    def _chats(self, rows: Iterable[dict[str, Any]]) -> Iterator[tuple[Any, str, Any, Any]]:
        for row in rows:
            encoded = chat_formats.encode_chat(self._tokenizer, row, self._column)
            if encoded is not None:
                yield row, *encoded
