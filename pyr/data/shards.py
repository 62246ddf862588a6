"""Documents, tokenised once, in memory-mapped files: what `pyr data` prepares and training reads.

    <folder>/tokens-00000.bin    uint16, little endian: all documents one after another
             tokens-00001.bin    every file but the last holds `shard_tokens` tokens
             loss-00000.bin      chats only: uint8, 1 where the assistant speaks
             documents.parquet   id, tokens, bytes, held_out: a row a document, in that order
             shards.json         what this is, counts, and the sha256 of every file; written last

A document is its begin token, its text, and the begin token again as its end. The folder is
written aside and renamed: it is complete or absent.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from pyr.data.filters import SourceStats
from pyr.errors import DataMissing
from pyr.files import differences, folder_aside, fsync, manifest

FORMAT = 1
SHARD_TOKENS = 100_000_000
MANIFEST = "shards.json"
_KEPT_TEXTS = 400
_KEPT_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class Encoded:
    """One tokenised document."""

    id: str
    ids: npt.NDArray[np.uint16]
    bytes: int
    """UTF-8 of its text."""
    held_out: bool
    loss: npt.NDArray[np.uint8] | None = None
    """1 for tokens that the loss is taken over; None for all."""
    text: str = ""
    """The manifest keeps that of the first documents that are held out."""


@dataclass(frozen=True)
class Shards:
    """A prepared source, opened for reading. Offsets count tokens over all files."""

    folder: Path
    manifest: Mapping[str, Any]
    lengths: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.bool_]
    starts: npt.NDArray[np.int64]
    _maps: dict[str, npt.NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def has_loss(self) -> bool:
        """True if only some tokens count for the loss."""
        return bool(self.manifest["chat"])

    def tokens(self, offset: int, count: int) -> npt.NDArray[np.uint16]:
        """Return `count` token ids from `offset` on."""
        return self._slice("tokens", offset, count, np.dtype("<u2"))

    def loss(self, offset: int, count: int) -> npt.NDArray[np.uint8]:
        """Return whether each of those tokens counts for the loss."""
        if not self.has_loss:
            return np.ones(count, dtype=np.uint8)
        return self._slice("loss", offset, count, np.dtype("u1"))

    def _slice(self, kind: str, offset: int, count: int, dtype: Any) -> npt.NDArray[Any]:
        size = int(self.manifest["shard_tokens"])
        parts = []
        while count > 0:
            number, inside = divmod(offset, size)
            taken = min(count, size - inside)
            name = f"{kind}-{number:05d}.bin"
            if name not in self._maps:
                self._maps[name] = np.memmap(self.folder / name, dtype=dtype, mode="r")
            parts.append(self._maps[name][inside : inside + taken])
            offset, count = offset + taken, count - taken
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def open_shards(folder: Path) -> Shards:
    """Open the prepared source in `folder`. Raises DataMissing if it is not there and complete."""
    import pyarrow.parquet

    manifest = read_manifest(folder)
    table = pyarrow.parquet.read_table(folder / "documents.parquet", columns=["tokens", "held_out"])
    lengths = table["tokens"].to_numpy().astype(np.int64)
    return Shards(
        folder=folder,
        manifest=manifest,
        lengths=lengths,
        held_out=table["held_out"].to_numpy().astype(np.bool_),
        starts=np.cumsum(lengths) - lengths,
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what a prepared source says of itself. Raises DataMissing without one."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataMissing(
            f"{folder} is no prepared source: {error}", remedy="prepare it: pyr data prepare RECIPE"
        ) from error
    if manifest.get("format") != FORMAT:
        raise DataMissing(
            f"{folder} was prepared in form {manifest.get('format')}, this is form {FORMAT}.",
            remedy="remove the folder and prepare it again",
        )
    return manifest


def write(
    folder: Path,
    documents: Iterable[Encoded],
    *,
    chat: bool,
    about: Mapping[str, Any],
    stats: SourceStats | None = None,
    shard_tokens: int = SHARD_TOKENS,
) -> None:
    """Write a prepared source.

    about: what else its manifest says. stats: complete when the last document has been taken.
    """
    table: list[tuple[str, int, int, bool]] = []
    held_texts: list[dict[str, str]] = []
    with folder_aside(folder) as path:
        with (
            closing(_ShardFiles(path, "tokens", "<u2", shard_tokens)) as tokens,
            closing(_ShardFiles(path, "loss", "u1", shard_tokens)) as loss,
        ):
            for document in documents:
                count = len(document.ids)
                tokens.append(document.ids)
                if chat:
                    loss.append(np.ones(count) if document.loss is None else document.loss)
                table.append((document.id, count, document.bytes, document.held_out))
                if document.held_out and len(held_texts) < _KEPT_TEXTS:
                    text = document.text[:_KEPT_CHARACTERS]
                    held_texts.append({"id": document.id, "text": text})
        about_source: dict[str, Any] = {
            **_write_table(path, table),
            "format": FORMAT,
            "chat": chat,
            "shard_tokens": shard_tokens,
            "held_out_texts": held_texts,
            "files": manifest(path),
            **about,
        }
        if stats:
            rows = asdict(stats)
            about_source |= {"contaminated": rows.pop("contaminated"), "rows": rows}
        body = json.dumps(about_source, indent=2, sort_keys=True) + "\n"
        (path / MANIFEST).write_text(body, encoding="utf-8")
        for file in path.iterdir():
            fsync(file)
        shutil.rmtree(folder, ignore_errors=True)
    fsync(folder.parent)


def _write_table(folder: Path, rows: list[tuple[str, int, int, bool]]) -> dict[str, int]:
    """Write the table of documents, and return the sums that the manifest gives."""
    import pyarrow as pa
    import pyarrow.parquet

    types = {"id": pa.string(), "tokens": pa.uint32(), "bytes": pa.uint32(), "held_out": pa.bool_()}
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)] or [[]] * len(
        types
    )
    table = pa.table(columns, schema=pa.schema(types))
    pyarrow.parquet.write_table(table, folder / "documents.parquet")
    _, tokens, sizes, held_out = columns
    return {
        "documents": len(rows),
        "held_out": sum(held_out),
        "tokens": sum(tokens),
        "held_out_tokens": sum(itertools.compress(tokens, held_out)),
        "bytes": sum(sizes),
    }


class _ShardFiles:
    """Numbers, one array after another, in files that hold `size` of them each."""

    def __init__(self, folder: Path, kind: str, dtype: str, size: int) -> None:
        self._folder = folder
        self._kind = kind
        self._dtype = dtype
        self._size = size
        self._written = 0
        self._stream: IO[bytes] | None = None

    def append(self, numbers: npt.NDArray[Any]) -> None:
        """Write an array, across a file's end if need be."""
        while len(numbers):
            number, inside = divmod(self._written, self._size)
            if inside == 0:
                self.close()
                self._stream = (self._folder / f"{self._kind}-{number:05d}.bin").open("wb")
            assert self._stream is not None
            part, numbers = np.split(numbers, [self._size - inside])
            self._stream.write(part.astype(self._dtype).tobytes())
            self._written += len(part)

    def close(self) -> None:
        """Close the file that is being written."""
        if self._stream is not None:
            self._stream.close()


def verify(folder: Path) -> list[str]:
    """Return what is not as the source's manifest says; empty if all is."""
    return differences(folder, read_manifest(folder)["files"])
