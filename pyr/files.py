"""Files and folders that are whole or not there: written aside, renamed when they are complete.

Whoever reads sees what was there before or all that is there now. A kill leaves nothing but a
hidden file or folder that nobody reads.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyr.errors import PyrError

TEMPORARY = ".tmp"


def write(file: Path, body: str | bytes) -> None:
    """Put `body` at `file`, text as UTF-8; its folder is made. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with aside(file) as path:
        path.write_bytes(body.encode() if isinstance(body, str) else body)


@contextmanager
def aside(file: Path) -> Iterator[Path]:
    """A path to write to that becomes `file` when the block ends well, and is gone otherwise.

    The folder must exist. Raises OSError.
    """
    # Not the process's number: threads of one, and processes of two machines, write beside another.
    path = file.with_name(f".{file.name}.{os.urandom(6).hex()}{TEMPORARY}")
    try:
        yield path
        path.replace(file)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def folder_aside(folder: Path) -> Iterator[Path]:
    """A folder to write in that becomes `folder` when the block ends well, and is gone otherwise.

    Nothing but an empty folder may be there when the block ends. Raises OSError.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as spare:
        path = Path(spare) / folder.name
        path.mkdir()
        yield path
        path.replace(folder)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to write in that becomes `target` when the block ends well, and is gone otherwise.

    Raises PyrError if `target` exists or cannot be written.
    """
    if target.exists():
        raise PyrError(f"{target} exists", remedy="name another folder, or delete this one")
    try:
        with folder_aside(target) as partial:
            yield partial
    except OSError as error:
        raise PyrError(
            f"{target} cannot be written", where=str(error), remedy="choose another place"
        ) from error


def fsync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, would outlast a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def text_sha256(text: str) -> str:
    """Return the sha256 of the text's UTF-8 as hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256(file: Path) -> str:
    """The file's digest in hexadecimal. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
