"""Files and folders that are whole or not there, their digests, and the lock of one writer.

What is written is written aside and renamed when it is complete: whoever reads sees what was there
before or all that is there now. A kill leaves nothing but a hidden file or folder that nobody
reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pyr.errors import PyrError

TEMPORARY = ".tmp"


def write(file: Path, body: str | bytes) -> None:
    """Put `body` at `file`, text as UTF-8, so that it outlasts a power cut; its folder is made.

    Raises OSError, leaving what was there before.
    """
    make_folder(file.parent)
    with aside(file) as path:
        path.write_bytes(body.encode() if isinstance(body, str) else body)
        fsync(path)
    fsync(file.parent)


def make_folder(folder: Path) -> None:
    """Create the folder and its parents, so that they outlast a power cut. Raises OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    fsync(folder.parent)


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


# ------------------------------------------------------------------ digests


def sha256(file: Path) -> str:
    """Return the sha256 of the file's content as hexadecimal digits. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_sha256(text: str) -> str:
    """Return the sha256 of the text's UTF-8 as hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def json_sha256(value: Any) -> str:
    """Return the sha256 of the value as JSON with sorted keys: equal values have equal digests."""
    return text_sha256(json.dumps(value, sort_keys=True))


def manifest(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file in the folder and below it, by relative name, sorted."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


def differences(folder: Path, digests: Mapping[str, str]) -> list[str]:
    """Say which files are not what the manifest `digests` says; nothing if all are."""
    wrong = []
    for name, digest in digests.items():
        file = folder / name
        if not file.is_file():
            wrong.append(f"{name} is missing")
        elif sha256(file) != digest:
            wrong.append(f"{name} is not what was written: its sha256 differs")
    return wrong


# ------------------------------------------------------------------ one writer


@contextmanager
def locked(file: Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock `file` while the block runs; the system releases it if the process is killed.

    Where another process holds it, `on_wait` is told which, once, and this one waits. The folder
    is made. Raises OSError where it cannot be written.
    """
    # A run may be opened in one thread and closed in another.
    lock = FileLock(file, thread_local=False)
    make_folder(file.parent)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait(f"{_holder(file)} is writing {file.parent}: waiting for its end")
        lock.acquire()
    try:
        file.write_text(f"{os.getpid()} {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        lock.release()


def _holder(file: Path) -> str:
    """Who holds the lock, as its file says; it may be gone or not signed yet."""
    signature = ""
    with suppress(OSError):
        signature = file.read_text(encoding="utf-8", errors="replace")
    pid, _, host = signature.partition(" ")
    return f"process {pid} on {host}" if pid else "another process"
