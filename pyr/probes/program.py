"""One program that a model has written, in an interpreter of its own: started by `run_code.py`.

``python -I program.py WORD SECONDS``, the program on stdin. On stdout it says a dot when it begins;
then WORD if it came to its end, else how it ended, and a zero byte. It imports nothing but Python's
own: it is started for every program.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from typing import TextIO

_MEMORY_BYTES = 4 << 30
_FILE_BYTES = 16 << 20
_PROCESSES = 64
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
"""Flags of unshare(2)."""


def limit(*, cpu_seconds: int, held_bytes: int = 0) -> None:
    """Limit this process and all that it starts; for good.

    held_bytes: address space that it has already.
    """
    limits = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_AS: held_bytes + _MEMORY_BYTES,
        resource.RLIMIT_FSIZE: _FILE_BYTES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: _processes() + _PROCESSES,
    }
    for kind, most in limits.items():
        soft, hard = resource.getrlimit(kind)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (allowed, allowed))
    _leave_network()


def _processes() -> int:
    """How many threads and processes this user has: the limit counts those too."""
    with contextlib.suppress(OSError):
        own = [each for each in os.scandir("/proc") if each.name.isdigit()]
        return sum(len(os.listdir(f"{each.path}/task")) for each in own if _is_own(each))
    return 0


def _is_own(place: os.DirEntry[str]) -> bool:
    try:
        return place.stat().st_uid == os.getuid() and os.path.isdir(f"{place.path}/task")
    except OSError:
        return False


def _leave_network() -> None:
    """Enter a network of nobody, alone or as the root of a user namespace; or stay."""
    with contextlib.suppress(OSError, AttributeError):
        system = ctypes.CDLL(None, use_errno=True)
        if system.unshare(_NEW_NETWORK):
            system.unshare(_NEW_USER | _NEW_NETWORK)


def _end(*_: object) -> None:
    raise TimeoutError


def _run(word: str, seconds: float) -> None:
    program = sys.stdin.read()
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    for number in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), number)
    limit(cpu_seconds=int(seconds) + 2)
    _say(answer, ".")  # from here on its time runs
    signal.signal(signal.SIGALRM, _end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        exec(program, {"__name__": "__main__"})  # noqa: S102
        how = word
    except TimeoutError:
        how = "timed out"
    # Whatever a program raises, SystemExit included, it did not come to its end.
    except BaseException as error:
        how = f"failed: {type(error).__name__}: {error}"
    _say(answer, how[:500] + "\0")
    os._exit(0)


def _say(answer: TextIO, text: str) -> None:
    answer.write(text)
    answer.flush()


if __name__ == "__main__":
    _run(sys.argv[1], float(sys.argv[2]))
