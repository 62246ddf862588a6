"""The C library's allocator, told to keep the memory that a model's layers free.

On a CPU every layer allocates the same few megabytes again. glibc returns blocks of that size to
the system when they are freed and gets them back zeroed, a page fault for each 4 KiB: a tenth of
the time of a forward pass (docs/engine.md).
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3), glibc's malloc.h."""

_LARGEST = 2**31 - 1
_LARGEST_DOCUMENTED = 32 * 2**20
"""What mallopt(3) promises to accept as the size from which a block is mapped by itself."""


def keep_freed_memory() -> None:
    """Reuse freed blocks of up to 2 GB instead of returning them to the system.

    For the whole process and from now on: its resident memory stays at its peak. Does nothing
    where the C library is not glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    if not mallopt(_M_MMAP_THRESHOLD, _LARGEST):
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_DOCUMENTED)
    mallopt(_M_TRIM_THRESHOLD, _LARGEST)
