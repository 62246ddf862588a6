"""Files that are whole or not there: durable writes by rename, reads checked by digest."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pyr.errors import StoreError
from pyr.files import aside, fsync

REMOVE_AND_REPEAT = "restore it from a copy, or remove that run's folder and evaluate again"


def unwritable(path: Path, error: OSError) -> StoreError:
    """The StoreError for a file or folder that the system refused to write."""
    return StoreError(
        f"the results cannot be written: {error.strerror or error}.",
        where=str(path),
        remedy="free space there or make it writable, or name another folder with --store; "
        "what was finished before is kept",
    )


def make_folder(path: Path) -> None:
    """Create the folder and its parents, durably; raises StoreError."""
    try:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            fsync(folder.parent)
    except OSError as error:
        raise unwritable(path, error) from error


def write(path: Path, content: bytes) -> None:
    """Put the content at `path`, so that a kill or a power cut leaves the old file or the new one.

    The folder must exist. Raises StoreError, leaving no temporary file behind.
    """
    try:
        with aside(path) as temporary:
            temporary.write_bytes(content)
            fsync(temporary)
        fsync(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error


def remove(path: Path) -> None:
    """Delete the file, if it is there and can be."""
    try:
        path.unlink(missing_ok=True)
    except OSError:  # a left-over that nothing reads: not worth an error
        return


def listing(folder: Path) -> list[Path]:
    """What is in the folder, sorted; nothing if it is not there. Raises StoreError."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(
            f"the results folder cannot be read: {error.strerror or error}.",
            where=str(folder),
            remedy="name another folder with --store",
        ) from error


def remove_tree(folder: Path) -> None:
    """Delete the folder; what cannot be deleted stays, since nothing reads it any more."""
    shutil.rmtree(folder, ignore_errors=True)


def read(path: Path, *, sha256: str = "", remedy: str = REMOVE_AND_REPEAT) -> bytes:
    """The content of a file; raises StoreError if it is gone or its sha256 begins otherwise."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"a file of the results cannot be read: {error.strerror or error}.",
            where=str(path),
            remedy=remedy,
        ) from error
    if not hashlib.sha256(content).hexdigest().startswith(sha256):
        raise StoreError(
            "a file of the results is damaged: its content is not what was written.",
            where=str(path),
            remedy=remedy,
        )
    return content


def to_parquet(table: pa.Table) -> bytes:
    """The table as a Parquet file: the same table gives the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read_parquet(path: Path, *, sha256: str, remedy: str = REMOVE_AND_REPEAT) -> pa.Table:
    """The table in a Parquet file whose sha256 must begin so; raises StoreError."""
    content = read(path, sha256=sha256, remedy=remedy)
    try:
        # Half the time of pq.read_table on a chunk of a few hundred rows.
        return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"a file of the results is no Parquet file: {error}", where=str(path), remedy=remedy
        ) from error
