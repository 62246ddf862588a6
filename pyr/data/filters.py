"""Which rows of a source are used, for model training and for tokenizer training.

Model training leaves out repetitions and decides by a row's content what `sample` takes.
Tokenizer training reads every row as pieces of text, and splits documents by the hash of their id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pyr import content
from pyr.data import chat_formats
from pyr.data.ngrams import Blocked, holds_an_item
from pyr.data.source import Keep, Places, Row, Source, complete_rows, read_rows


@dataclass(slots=True)
class SourceStats:
    """What became of the rows of a source."""

    read: int = 0
    filtered: int = 0
    empty: int = 0
    repeated: int = 0
    left_out: int = 0
    """By `sample`."""
    missing: int = 0
    """Rows whose content was not where they point."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Rows left out, by the column that was not as asked."""
    contaminated: int = 0
    """Rows that hold a test item."""


NOTHING_BLOCKED = Blocked()
Decision = Literal["used", "repeated", "left out", "enough"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that may be used: a digest of its content, and the content's bytes."""

    digest: bytes
    size: int
    row: Row


def share(key: str, *, salt: str = "") -> float:
    """Return a number in [0, 1) by sha256 of ``salt + key``: the die that splits and samples."""
    digest = hashlib.sha256((salt + key).encode("utf-8", "surrogatepass")).digest()
    return float(int.from_bytes(digest[:8], "big") / 2**64)


def is_held_out(key: str, proportion: float) -> bool:
    """Return whether a document is one that training never sees.

    key: for tokenizers a document's id, or its text where it has none; for models its text. The
    same document falls on the same side whatever file, order or recipe it is read with.
    """
    return share(key) < proportion


def matching_rows(
    source: Source, places: Places, stats: SourceStats, part: int | None = None
) -> Iterator[Row]:
    """Yield the rows that the source's filters keep; count the others by column."""
    for row in read_rows(source, places, part):
        stats.read += 1
        for column, asked in source.keep.items():
            if not _matches(row.get(column), asked):
                stats.filtered += 1
                stats.reasons[column] = stats.reasons.get(column, 0) + 1
                break
        else:
            yield row


def candidates(
    source: Source, places: Places, stats: SourceStats, part: int | None = None
) -> Iterator[Candidate]:
    """Yield every row that the source's filters keep and that is not empty.

    part: one of `count_parts`, read as if there were no other; None for the whole source.
    Raises DataMissing if something is not there, ContentError if it cannot be read.
    """
    # After the filters: nothing is fetched for a row that is not used.
    for row in complete_rows(source, places, matching_rows(source, places, stats, part)):
        if source.rows and row.get(source.column, "") is None:
            stats.missing += 1
            continue
        text = row.get(source.column) or row.get("messages") or row.get("prompt")
        if not text:
            stats.empty += 1
            continue
        digest = hashlib.blake2b(repr(text).encode("utf-8", "replace"), digest_size=12).digest()
        yield Candidate(digest, len(str(text).encode("utf-8", "replace")), row)


def select(
    found: Iterable[Candidate], source: Source, stats: SourceStats
) -> Iterator[tuple[Candidate, Decision]]:
    """Yield each candidate with what becomes of it: repetitions, `sample` and the limits decide.

    The last one is ``enough`` where a limit is reached: it and all after it are not read.
    """
    seen: set[bytes] = set()
    left = (source.megabytes or float("inf")) * 1e6
    used = 0
    for candidate in found:
        decision: Decision = "used"
        if candidate.digest in seen:
            stats.repeated += 1
            decision = "repeated"
        elif int.from_bytes(candidate.digest[:4], "big") >= source.sample * 2**32:
            stats.left_out += 1
            decision = "left out"
        else:
            left -= candidate.size
            if left < 0 or used == source.documents:
                decision = "enough"
            used += 1
        seen.add(candidate.digest)
        yield candidate, decision
        if decision == "enough":
            return


def used_rows(
    source: Source, places: Places, stats: SourceStats, blocked: Blocked = NOTHING_BLOCKED
) -> Iterator[Row]:
    """Yield the rows of a source that model training uses; exact repetitions once.

    blocked: what test items hold; rows that hold it are counted and left out.
    """
    for candidate, decision in select(candidates(source, places, stats), source, stats):
        if decision != "used":
            continue
        if holds_an_item(candidate.row, blocked):
            stats.contaminated += 1
        else:
            yield candidate.row


def _matches(value: object, asked: Keep) -> bool:
    try:
        number = float(str(value).replace(",", ""))
    except ValueError:
        number = float("nan")  # Which no bound admits.
    if asked.at_least is not None and not (number >= asked.at_least):
        return False
    if asked.at_most is not None and not (number <= asked.at_most):
        return False
    text = str(value or "").lower()
    if len(text) < asked.characters or any(word.lower() in text for word in asked.lacks):
        return False
    return not asked.has or any(word.lower() in text for word in asked.has)


# ------------------------------------------------------------------ documents of tokenizers


@dataclass(frozen=True, slots=True)
class Document:
    """A text with its domain; `pieces` are its turns, or the whole text alone.

    `id` is the row's own, else its number.
    """

    domain: str
    id: str
    pieces: tuple[str, ...]

    @property
    def text(self) -> str:
        """The pieces, a line apart."""
        return "\n".join(self.pieces)


def read_documents(source: Source, root: Path, *, held_out: float = 0.0) -> Iterator[Document]:
    """Yield the documents of a source for a tokenizer, in the order of its files.

    held_out: the share of documents that `is_held_out` keeps for the unseen part.
    Raises DataMissing if no file is there, ContentError if one cannot be read.
    """
    places = Places((root,), remedy="name the folder of the texts with --texts DIR")
    left = (source.megabytes or float("inf")) * 1e6
    rows = complete_rows(source, places, matching_rows(source, places, SourceStats()))
    for number, row in enumerate(rows):
        pieces = chat_formats.text_pieces(row, source.fields)
        if not pieces:
            continue
        key = str(row.get("id") or "".join(pieces))
        unseen = source.part == "held-out"
        if source.part != "all" and is_held_out(key, held_out) != unseen:
            continue
        if source.cut:
            pieces = (_passage("\n".join(pieces), source.cut, key),)
        left -= sum(len(piece.encode("utf-8", "surrogatepass")) for piece in pieces)
        if left < 0:
            return
        yield Document(source.name, str(row.get("id") or number), pieces)


def read_shipped_passages() -> list[Document]:
    """Return the passages of the project's bits-per-byte tasks, by domain."""
    documents: list[Document] = []
    for file in sorted(content.path("evals/tasks").glob("pyr_bpb_*/items.jsonl")):
        source = Source(name=file.parent.name.removeprefix("pyr_bpb_"), files=[file.name])
        documents += read_documents(source, file.parent)
    return documents


def count_copies(document: Document, weight: float) -> int:
    """Return how many times a document counts at that weight; its id draws the fraction."""
    return int(weight) + (share(document.id, salt="copies ") < weight % 1)


def _passage(text: str, length: int, key: str) -> str:
    """Return a passage that begins at a line, at a place drawn by the document's id."""
    if len(text) <= length:
        return text
    start = int(share(key, salt="passage ") * (len(text) - length))
    line = text.find("\n", start, start + length // 2) + 1
    return text[line or start :][:length]
