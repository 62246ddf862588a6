"""One writer a run folder: a lock that the kernel releases, however the process ends."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path

from pyr.store import files


def take(path: Path, on_wait: Callable[[str], None]) -> int:
    """Take the lock file for this process alone; the descriptor that holds it, `os.close` releases.

    Where another process holds it, `on_wait` is told which, once, and this one blocks. Raises
    StoreError where the folder cannot be written or the file system has no locks.
    """
    told = False
    while True:
        files.make_folder(path.parent)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise files.unwritable(path, error) from error
        try:
            if not _lock_at_once(descriptor):
                if not told:
                    on_wait(f"{_holder(descriptor)} is writing {path.parent}: waiting for its end")
                told = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(path, descriptor):
                _sign(descriptor)
                return descriptor
        except OSError as error:
            os.close(descriptor)
            raise files.unwritable(path, error) from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock_at_once(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> str:
    pid, _, host = os.pread(descriptor, 200, 0).decode("utf-8", "replace").partition(" ")
    return f"process {pid} on {host}" if pid else "another process"


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}".encode(), 0)


def _is_at(path: Path, descriptor: int) -> bool:
    """False if the file was deleted while we waited: the lock on it then protects nothing."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
