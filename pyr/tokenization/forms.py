"""Any tokenizer, whatever file it comes in, behind one small interface.

    a folder             with one of the files below
    tokenizer.json       the library `tokenizers` (Hugging Face)
    *.tiktoken           ranks, base64 and a number a line; needs the library `tiktoken`
    claude.json          ranks in one line, with pattern and special tokens; needs `tiktoken`
    *.model*             SentencePiece; needs the library `sentencepiece`

Each may be packed as .xz or .gz.
"""

from __future__ import annotations

import base64
import gzip
import json
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pyr.errors import ContentError, UsageError
from pyr.tokenization.train import byte_letters

Ids = npt.NDArray[np.int64]

_GPT4_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_O200K_PATTERN = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
_GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_PATTERNS = {
    "cl100k": _GPT4_PATTERN,
    "o200k": _O200K_PATTERN,
    "gpt2": _GPT2_PATTERN,
    "r50k": _GPT2_PATTERN,
    "p50k": _GPT2_PATTERN,
}
"""A rank file says nothing of its pattern: tiktoken's own, by the name of the file."""

_FILES = ("tokenizer.json", "tokenizer.model*", "*.tiktoken", "claude.json", "*.model")


class Tokenizer(Protocol):
    """What a comparison asks of a tokenizer. No special tokens are added around a text."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens, added ones included."""
        ...

    @property
    def token_bytes(self) -> Sequence[bytes | None]:
        """The bytes each id stands for in a text; None for ids that stand for none."""
        ...

    def encode(self, text: str) -> Sequence[int]:
        """The ids of a text, on one core."""
        ...

    def encode_all(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of many texts, on all cores where the library can."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, on one core."""
        ...

    def decode_all(self, ids: Sequence[Ids]) -> list[str]:
        """The texts of many, on all cores where the library can."""
        ...


@dataclass(frozen=True, slots=True)
class Named:
    """A tokenizer with the name it is shown under."""

    name: str
    tokenizer: Tokenizer
    path: str = ""


def load(path: Path, *, name: str = "") -> Named:
    """The tokenizer at that path, of any form this module lists.

    Raises UsageError if there is none, ContentError if it cannot be read.
    """
    file = find(path)
    bare = file.name.removesuffix(".xz").removesuffix(".gz")
    folder = file.parent
    shown = name or (folder.parent.name if folder.name == "tokenizer" else folder.name) or bare
    try:
        raw = _unpacked(file)
        tokenizer: Tokenizer
        if bare.endswith(".tiktoken"):
            tokenizer = _from_rank_file(raw, bare, path)
        elif bare == "claude.json":
            tokenizer = _from_claude(raw, shown)
        elif ".model" in bare:
            tokenizer = SentencePiece(raw)
        else:
            tokenizer = HuggingFace.read(raw)
    except (OSError, ValueError, KeyError, lzma.LZMAError) as error:
        raise ContentError(f"the tokenizer {file} cannot be read: {error}") from error
    return Named(shown, tokenizer, str(file))


def find(path: Path) -> Path:
    """The tokenizer's file: the path itself, or the best known file in that folder."""
    if path.is_file():
        return path
    for pattern in _FILES:
        for packing in ("", ".xz", ".gz"):
            found = sorted(path.glob(pattern + packing)) if path.is_dir() else []
            if found:
                return found[0]
    raise UsageError(
        f"no tokenizer at {path}.",
        where=f"looked for: {', '.join(_FILES)}, also .xz and .gz",
        remedy="name a tokenizer's folder or file",
    )


def _unpacked(file: Path) -> bytes:
    raw = file.read_bytes()
    if file.suffix == ".xz":
        return lzma.decompress(raw)
    return gzip.decompress(raw) if file.suffix == ".gz" else raw


class LibraryMissing(ContentError):
    """A tokenizer of a form that needs a library which is not installed."""

    def __init__(self, library: str, what: str) -> None:
        super().__init__(
            f"{what} needs the library {library}, which is not installed.",
            remedy="pip install 'pyr-lm[tokenizers]'",
        )


# ------------------------------------------------------------------ Hugging Face


class HuggingFace:
    """A tokenizer of the library `tokenizers`."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    @classmethod
    def read(cls, raw: bytes) -> HuggingFace:
        """A tokenizer.json; raises ValueError if it is none."""
        import tokenizers

        if "model" not in json.loads(raw):
            raise ValueError("a tokenizer.json has a key 'model'")
        try:
            return cls(tokenizers.Tokenizer.from_buffer(raw))
        except Exception as error:
            # The library raises nothing narrower for a file that it does not understand.
            raise ValueError(str(error)) from error

    @property
    def vocab_size(self) -> int:
        """Number of tokens, added ones included."""
        return int(self._tokenizer.get_vocab_size())

    @cached_property
    def token_bytes(self) -> Sequence[bytes | None]:
        """The bytes each id stands for; added tokens stand for their own letters."""
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        added = self._tokenizer.get_added_tokens_decoder()
        values = {letter: bytes([byte]) for byte, letter in enumerate(byte_letters())}
        byte_level = '"ByteLevel"' in self._tokenizer.to_str()
        table: list[bytes | None] = [None] * (max(vocabulary.values()) + 1)
        for token, number in vocabulary.items():
            if number in added:
                table[number] = token.encode()
            elif byte_level:
                table[number] = b"".join(values.get(c, c.encode()) for c in token)
            else:
                table[number] = _piece_bytes(token)
        return table

    def encode(self, text: str) -> Sequence[int]:
        """The ids of a text, on one core."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_all(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of many texts, on all cores."""
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.asarray(each.ids, dtype=np.int64) for each in found]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens kept."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def decode_all(self, ids: Sequence[Ids]) -> list[str]:
        """The texts of many, special tokens kept, on all cores."""
        plain = [each.tolist() for each in ids]
        return list(self._tokenizer.decode_batch(plain, skip_special_tokens=False))


def _piece_bytes(piece: str) -> bytes:
    """A SentencePiece token: U+2581 for a space, ``<0xNN>`` for a byte."""
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)])
    return piece.replace("\u2581", " ").encode()


# ------------------------------------------------------------------ tiktoken's ranks


class Ranks:
    """A byte-level BPE given by ranks and a pattern (library `tiktoken`)."""

    def __init__(
        self, name: str, pattern: str, ranks: dict[bytes, int], special: dict[str, int]
    ) -> None:
        try:
            import tiktoken
        except ImportError as error:
            raise LibraryMissing("tiktoken", "a file of ranks") from error
        self._ranks, self._special = ranks, special
        self._encoding: Any = tiktoken.Encoding(
            name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=special
        )

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        return len(self._ranks) + len(self._special)

    @cached_property
    def token_bytes(self) -> Sequence[bytes | None]:
        """The bytes each id stands for; None for special tokens."""
        highest = max([*self._ranks.values(), *self._special.values()])
        table: list[bytes | None] = [None] * (highest + 1)
        for token, number in self._ranks.items():
            table[number] = token
        return table

    def encode(self, text: str) -> Sequence[int]:
        """The ids of a text, on one core."""
        ids: list[int] = self._encoding.encode_ordinary(text)
        return ids

    def encode_all(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of many texts, on all cores."""
        found = self._encoding.encode_ordinary_batch(list(texts))
        return [np.asarray(ids, dtype=np.int64) for ids in found]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        return str(self._encoding.decode(list(ids)))

    def decode_all(self, ids: Sequence[Ids]) -> list[str]:
        """The texts of many, on all cores."""
        return list(self._encoding.decode_batch([each.tolist() for each in ids]))


def _from_rank_file(raw: bytes, bare: str, path: Path) -> Ranks:
    lines = (line.split() for line in raw.splitlines() if line.strip())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    known = (pattern for name, pattern in _PATTERNS.items() if name in f"{path.name}/{bare}")
    return Ranks(bare, next(known, _GPT4_PATTERN), ranks, {})


def _from_claude(raw: bytes, name: str) -> Ranks:
    """One line ``_ 0 token token ...``: ranks count up from the number in front."""
    written = json.loads(raw)
    words = written["bpe_ranks"].split(" ")
    tokens = [base64.b64decode(token) for token in words[2:]]
    ranks = {token: rank for rank, token in enumerate(tokens, int(words[1]))}
    return Ranks(name, written["pat_str"], ranks, dict(written["special_tokens"]))


# ------------------------------------------------------------------ SentencePiece


class SentencePiece:
    """A SentencePiece model."""

    def __init__(self, raw: bytes) -> None:
        try:
            import sentencepiece
        except ImportError as error:
            raise LibraryMissing("sentencepiece", "a SentencePiece model") from error
        try:
            self._model: Any = sentencepiece.SentencePieceProcessor(model_proto=raw)
        except RuntimeError as error:
            raise ValueError(str(error)) from error

    @property
    def vocab_size(self) -> int:
        """Number of tokens, control tokens included."""
        return int(self._model.vocab_size())

    @cached_property
    def token_bytes(self) -> Sequence[bytes | None]:
        """The bytes each id stands for; None for control tokens."""
        model = self._model
        return [
            None
            if model.is_control(number) or model.is_unknown(number)
            else _piece_bytes(model.id_to_piece(number))
            for number in range(model.vocab_size())
        ]

    def encode(self, text: str) -> Sequence[int]:
        """The ids of a text, on one core."""
        ids: list[int] = self._model.encode(text)
        return ids

    def encode_all(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of many texts, on all cores."""
        found = self._model.encode(list(texts), num_threads=-1)
        return [np.asarray(ids, dtype=np.int64) for ids in found]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        return str(self._model.decode([int(each) for each in ids]))

    def decode_all(self, ids: Sequence[Ids]) -> list[str]:
        """The texts of many, on all cores."""
        return list(self._model.decode([each.tolist() for each in ids], num_threads=-1))
