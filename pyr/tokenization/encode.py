"""Encoding in bulk: by the fastest library that gives the same ids, else by the stock one.

`fastokens` is an optional extra. It is asked for the ids of the passages below and taken only if
every one agrees with `tokenizers`: so a new version of either, or a tokenizer that it does not
understand, costs time and never changes an id. docs/tokenizer.md has the measurements.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyr.data.filters import read_shipped_passages
from pyr.tokenization.anatomy import NASTY, SAMPLES

FAST = "fastokens"
STOCK = "tokenizers"


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """The ids of many texts in one array; text i has ids[offsets[i] : offsets[i + 1]]."""

    ids: npt.NDArray[np.uint32]
    offsets: npt.NDArray[np.int64]

    def __iter__(self) -> Iterator[npt.NDArray[np.uint32]]:
        """The ids of each text."""
        for begin, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.ids[begin:end]


class Encoder:
    """A tokenizer for encoding many texts. No special tokens are added around them."""

    def __init__(self, stock: Any, *, fast: bool = True) -> None:
        """stock: a tokenizers.Tokenizer, as it is: what it truncates stays truncated.

        fast=False: the stock library, whatever is installed.
        """
        self._stock = stock
        self._fast: Any = None
        self.note = "" if fast else "asked for"
        """Why the stock library encodes, if it does."""
        if fast:
            self._fast, self.note = self._try_fast()

    @classmethod
    def from_file(cls, file: Path, *, fast: bool = True) -> Encoder:
        """The tokenizer of a tokenizer.json, which truncates and pads nothing."""
        import tokenizers

        stock: Any = tokenizers.Tokenizer.from_file(str(file))
        stock.no_truncation()
        stock.no_padding()
        return cls(stock, fast=fast)

    @property
    def library(self) -> str:
        """Which library encodes."""
        return FAST if self._fast is not None else STOCK

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """The ids of the texts, on all cores."""
        if self._fast is None:
            return self._stock_ids(texts)
        try:
            return _fast_ids(self._fast, texts)
        except ValueError:
            # A byte that the vocabulary lacks, as SmolLM2's lacks 0xf2: the stock library goes on.
            return self._stock_ids(texts)

    def _stock_ids(self, texts: Sequence[str]) -> EncodedTexts:
        found = self._stock.encode_batch_fast(list(texts), add_special_tokens=False)
        lengths = [0, *(len(each) for each in found)]
        arrays = [np.asarray(each.ids, dtype=np.uint32) for each in found]
        ids = np.concatenate([np.zeros(0, dtype=np.uint32), *arrays])
        return EncodedTexts(ids, np.cumsum(lengths, dtype=np.int64))

    def _try_fast(self) -> tuple[Any, str]:
        if importlib.util.find_spec(FAST) is None:
            return None, f"{FAST} is not installed"
        if self._stock.truncation or self._stock.padding:
            # Of no length that the proofs could know to reach.
            return None, "this tokenizer truncates or pads"
        import fastokens

        texts = self._proofs()
        own = self._stock_ids(texts)
        try:
            # Not the file: transformers may have changed what it read there.
            fast = fastokens.Tokenizer.from_json_str(self._stock.to_str())
            others = _fast_ids(fast, texts)
        except ValueError as error:
            return None, f"{FAST} cannot use this tokenizer: {error}"
        for text, mine, other in zip(texts, own, others, strict=True):
            if not np.array_equal(mine, other):
                return None, f"{FAST} gives other ids for {text[:40]!r}"
        return fast, ""

    def _proofs(self) -> list[str]:
        """Hard cases, the shipped passages, and every added token inside a text."""
        added = self._stock.get_added_tokens_decoder().values()
        inside = [f"one{token.content}two {token.content} {token.content}\n" for token in added]
        passages = [document.text for document in read_shipped_passages()]
        return [*NASTY, *SAMPLES.values(), *inside, *passages, ""]


def _fast_ids(fast: Any, texts: Sequence[str]) -> EncodedTexts:
    ids, offsets = fast.encode_batch_flat(list(texts), add_special_tokens=False)
    return EncodedTexts(
        np.frombuffer(ids, np.uint32), np.frombuffer(offsets, np.uint64).astype(np.int64)
    )
