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

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from pyr.errors import ContentError, DataMissing
from pyr.files import folder_aside, fsync, sha256

FORMAT = 1
SHARD_TOKENS = 100_000_000
MANIFEST = "shards.json"


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
        """`count` token ids from `offset` on."""
        return self._slice("tokens", offset, count, np.dtype("<u2"))

    def loss(self, offset: int, count: int) -> npt.NDArray[np.uint8]:
        """Whether each of those tokens counts for the loss."""
        if not self.has_loss:
            return np.ones(count, dtype=np.uint8)
        return self._slice("loss", offset, count, np.dtype("u1"))

    def ids(self) -> list[str]:
        """The documents' ids, in order."""
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(self.folder / "documents.parquet", columns=["id"])
        return list(table["id"].to_pylist())

    def _slice(self, kind: str, offset: int, count: int, dtype: Any) -> npt.NDArray[Any]:
        size = int(self.manifest["shard_tokens"])
        parts = []
        while count > 0:
            number, inside = divmod(offset, size)
            taken = min(count, size - inside)
            parts.append(self._map(f"{kind}-{number:05d}.bin", dtype)[inside : inside + taken])
            offset, count = offset + taken, count - taken
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _map(self, name: str, dtype: Any) -> npt.NDArray[Any]:
        if name not in self._maps:
            self._maps[name] = np.memmap(self.folder / name, dtype=dtype, mode="r")
        return self._maps[name]


def open_shards(folder: Path) -> Shards:
    """The prepared source in `folder`. Raises DataMissing if it is not there, or not complete."""
    import pyarrow.parquet

    manifest = read_manifest(folder)
    table = pyarrow.parquet.read_table(folder / "documents.parquet", columns=["tokens", "held_out"])
    lengths = table["tokens"].to_numpy().astype(np.int64)
    return Shards(
        folder=folder,
        manifest=manifest,
        lengths=lengths,
        held_out=table["held_out"].to_numpy().astype(np.bool_),
        starts=np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
        if len(lengths)
        else np.zeros(0, dtype=np.int64),
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a prepared source says of itself. Raises DataMissing without one."""
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
    about: Callable[[], Mapping[str, Any]],
    shard_tokens: int = SHARD_TOKENS,
) -> None:
    """Write a prepared source.

    about: what else its manifest says; called when every document has been written.
    """
    with folder_aside(folder) as path:
        writer = _Writer(path, chat=chat, shard_tokens=shard_tokens)
        try:
            for document in documents:
                writer.add(document)
            writer.close()
        finally:
            writer.shut()
        manifest = {**_manifest(writer, path, chat, shard_tokens), **about()}
        body = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
        (path / MANIFEST).write_text(body, encoding="utf-8")
        for file in path.iterdir():
            fsync(file)
        shutil.rmtree(folder, ignore_errors=True)
    fsync(folder.parent)


def _manifest(writer: _Writer, folder: Path, chat: bool, shard_tokens: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "chat": chat,
        "shard_tokens": shard_tokens,
        "documents": len(writer.lengths),
        "held_out": sum(writer.held_out),
        "tokens": sum(writer.lengths),
        "held_out_tokens": sum(
            n for n, out in zip(writer.lengths, writer.held_out, strict=True) if out
        ),
        "bytes": sum(writer.bytes),
        "files": {file.name: sha256(file) for file in sorted(folder.iterdir())},
    }


class _Writer:
    """Documents into the files of one source."""

    def __init__(self, folder: Path, *, chat: bool, shard_tokens: int) -> None:
        self._folder = folder
        self._size = shard_tokens
        self._kinds = ("tokens", "loss") if chat else ("tokens",)
        self._written = 0
        self._streams: dict[str, IO[bytes]] = {}
        self.ids: list[str] = []
        self.lengths: list[int] = []
        self.bytes: list[int] = []
        self.held_out: list[bool] = []
        self._open(0)

    def add(self, document: Encoded) -> None:
        """Append one document, across a file's end if need be."""
        count, done = len(document.ids), 0
        loss = np.ones(count, np.uint8) if document.loss is None else document.loss
        while done < count:
            room = self._size - self._written % self._size
            part = slice(done, min(done + room, count))
            self._streams["tokens"].write(document.ids[part].astype("<u2").tobytes())
            if "loss" in self._streams:
                self._streams["loss"].write(loss[part].astype("u1").tobytes())
            taken = part.stop - part.start
            done, self._written = done + taken, self._written + taken
            if self._written % self._size == 0:
                self._open(self._written // self._size)
        self.ids.append(document.id)
        self.lengths.append(count)
        self.bytes.append(document.bytes)
        self.held_out.append(document.held_out)

    def _open(self, number: int) -> None:
        self.shut()
        for kind in self._kinds:
            self._streams[kind] = (self._folder / f"{kind}-{number:05d}.bin").open("wb")

    def shut(self) -> None:
        """Close the files, finished or not."""
        for stream in self._streams.values():
            stream.close()

    def close(self) -> None:
        """Finish the files and write the table of documents."""
        import pyarrow
        import pyarrow.parquet

        self.shut()
        for file in self._folder.glob("*.bin"):
            if file.stat().st_size == 0:
                file.unlink()
        table = pyarrow.table(
            {
                "id": pyarrow.array(self.ids, pyarrow.string()),
                "tokens": pyarrow.array(self.lengths, pyarrow.uint32()),
                "bytes": pyarrow.array(self.bytes, pyarrow.uint32()),
                "held_out": pyarrow.array(self.held_out, pyarrow.bool_()),
            }
        )
        pyarrow.parquet.write_table(table, self._folder / "documents.parquet")


def verify(folder: Path) -> list[str]:
    """What is not as the source's manifest says; empty if all is."""
    manifest = read_manifest(folder)
    wrong = []
    for name, digest in manifest["files"].items():
        file = folder / name
        if not file.is_file():
            wrong.append(f"{name} is missing")
        elif sha256(file) != digest:
            wrong.append(f"{name} is not what was written: its sha256 differs")
    return wrong


def require_uint16(vocabulary: int, where: Path) -> None:
    """ContentError for a vocabulary that 16 bits cannot hold."""
    if vocabulary > 1 << 16:
        raise ContentError(
            f"the tokenizer has {vocabulary} tokens; shards hold at most 65536.",
            where=str(where),
            remedy="use a smaller vocabulary",
        )
