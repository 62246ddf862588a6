"""Documents from the files that hold text: JSON lines, plain text, Parquet, or a hub data set.

A document is training text or it is unseen, by the hash of its id alone: the same document falls on
the same side whatever file, order or recipe it is read with.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import Field, model_validator

from pyr.errors import ContentError, DataMissing
from pyr.schema import Strict

_TURN_LISTS = ("conversations", "messages", "turns", "prompt", "chosen")
_KNOWN_FIELDS = ("text", "tools", *_TURN_LISTS, "record")
_SUFFIXES = (".jsonl", ".json", ".txt", ".parquet")
PACKINGS = (".xz", ".gz")

Part = Literal["train", "held-out", "all"]


class Source(Strict):
    """One kind of text: where it lies, and how much of it counts."""

    name: str
    """The domain; several sources may share one."""
    files: list[str] = Field(default_factory=list)
    """Globs below the folder of the texts: .jsonl, .json, .txt or .parquet, also .xz and .gz."""
    hub: str = ""
    """A hub data set, streamed."""
    config: str | None = None
    split: str = "train"
    fields: list[str] = Field(default_factory=list)
    """Columns to read; by default those of `text` and of the usual chat forms that are there."""
    weight: float = Field(default=1.0, gt=0)
    """How often each document counts: 2.5 is two copies, and a third of every other document."""
    megabytes: float | None = Field(default=None, gt=0)
    """Read no more than this many million bytes."""
    part: Part = "all"
    """Which documents, by `held_out` of the file this source stands in."""
    cut: int | None = Field(default=None, gt=0)
    """Take a passage of so many characters from each longer document."""

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        if bool(self.files) == bool(self.hub):
            raise ValueError(f"source '{self.name}' needs exactly one of files, hub")
        return self


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


def share(key: str, *, salt: str = "") -> float:
    """A number in [0, 1) by sha256 of ``salt + key``: the die that splits and samples."""
    digest = hashlib.sha256((salt + key).encode("utf-8", "surrogatepass")).digest()
    return float(int.from_bytes(digest[:8], "big") / 2**64)


def documents(source: Source, root: Path, *, held_out: float = 0.0) -> Iterator[Document]:
    """The documents of a source, in the order of its files.

    held_out: documents whose `share` of the id (of the text, where there is none) is below it are
    the unseen part.
    Raises DataMissing if no file is there, ContentError if one cannot be read.
    """
    left = (source.megabytes or float("inf")) * 1e6
    for number, row in enumerate(_rows(source, root)):
        pieces = _pieces(row, source.fields)
        if not pieces:
            continue
        key = str(row.get("id") or "".join(pieces))
        if source.part != "all" and (share(key) < held_out) != (source.part == "held-out"):
            continue
        if source.cut:
            pieces = (_passage("\n".join(pieces), source.cut, key),)
        left -= sum(len(piece.encode("utf-8", "surrogatepass")) for piece in pieces)
        if left < 0:
            return
        yield Document(source.name, str(row.get("id") or number), pieces)


def copies(document: Document, weight: float) -> int:
    """How many times a document counts at that weight; fractions are drawn by its id."""
    return int(weight) + (share(document.id, salt="copies ") < weight % 1)


def _passage(text: str, length: int, key: str) -> str:
    """A passage that begins at a line, at a place drawn by the document's id."""
    if len(text) <= length:
        return text
    start = int(share(key, salt="passage ") * (len(text) - length))
    line = text.find("\n", start, start + length // 2) + 1
    return text[line or start :][:length]


# ------------------------------------------------------------------ rows


def _rows(source: Source, root: Path) -> Iterator[dict[str, Any]]:
    if source.hub:
        yield from _hub_rows(source)
        return
    for pattern in source.files:
        found = sorted(root.glob(pattern))
        if not found:
            raise DataMissing(
                f"source '{source.name}': no file {pattern}.",
                where=f"looked in: {root.resolve()}",
                remedy="name the folder of the texts with --texts DIR",
            )
        for file in found:
            yield from read_rows(file)


def _hub_rows(source: Source) -> Iterator[dict[str, Any]]:
    import datasets

    try:
        yield from datasets.load_dataset(
            source.hub, source.config, split=source.split, streaming=True
        )
    except (OSError, ValueError) as error:
        raise DataMissing(
            f"source '{source.name}': the data set {source.hub} cannot be read: {error}",
            remedy="check the name and the network, or name local files instead",
        ) from error


def readable(folder: Path) -> list[Path]:
    """The files of a folder that `read_rows` reads."""
    return sorted(file for file in folder.iterdir() if _bare(file).suffix in _SUFFIXES)


def domain_of(file: Path) -> str:
    """The domain that a file's name says: ``python`` for python.jsonl.xz."""
    return _bare(file).stem


def read_rows(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file; a plain text file is one row.

    Raises ContentError if it cannot be read.
    """
    kind = _bare(file).suffix
    try:
        if kind == ".parquet":
            yield from _parquet_rows(file)
        elif kind == ".txt":
            with open_text(file) as stream:
                yield {"text": stream.read(), "id": file.name}
        else:
            with open_text(file) as stream:
                yield from _json_rows(stream, file)
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise ContentError(f"{file} cannot be read: {error}", remedy=_forms()) from error


def _json_rows(lines: Iterable[str], file: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ContentError(
                f"{file.name}, line {number} is not JSON: {error}", where=str(file), remedy=_forms()
            ) from error
        yield row if isinstance(row, dict) else {"text": row}


def _parquet_rows(file: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=256):
                yield from batch.to_pylist()
    except ValueError as error:
        raise ContentError(f"{file} is no Parquet file: {error}", remedy=_forms()) from error


def _forms() -> str:
    return f"texts are {', '.join(_SUFFIXES)} files, plain or packed as {' or '.join(PACKINGS)}"


def _bare(file: Path) -> Path:
    """The file's path without .xz or .gz."""
    return file.with_suffix("") if file.suffix in PACKINGS else file


def open_text(file: Path) -> IO[str]:
    """A text file for reading, unpacked if its name says .xz or .gz. Line ends stay as they are."""
    if file.suffix == ".xz":
        return lzma.open(file, "rt", encoding="utf-8", newline="")
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8", newline="")
    return file.open(encoding="utf-8", newline="")


# ------------------------------------------------------------------ a row's text


def _pieces(row: dict[str, Any], fields: Sequence[str]) -> tuple[str, ...]:
    wanted = fields or [name for name in _KNOWN_FIELDS if name in row]
    found = (piece for name in wanted for piece in _written(row.get(name)))
    return tuple(piece for piece in found if piece)


def _written(value: Any) -> Iterator[str]:
    """A text as it is, a list of texts or turns one by one, anything else as JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and value and all(_is_turn(each) for each in value):
        yield from (_turn(each) for each in value)
    elif isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        yield from value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _written(each)
    elif value is not None:
        yield json.dumps(value, ensure_ascii=False)


def _is_turn(value: Any) -> bool:
    return isinstance(value, dict) and bool({"role", "from"} & value.keys())


def _turn(turn: dict[str, Any]) -> str:
    """A turn as a chat template writes it: the role, a line end, and what was said."""
    role = str(turn.get("role") or turn.get("from"))
    rest = {key: value for key, value in turn.items() if key not in ("role", "from")}
    said = next((rest[key] for key in ("content", "value", "text") if rest.get(key)), rest)
    if isinstance(said, list):
        said = "\n".join(piece for each in said for piece in _written(each))
    return f"{role}\n{said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)}"
