"""What this machine can do at best: multiply matrices, and move memory. Measured, not looked up.

A rate beside the machine's own peak means something on another machine; a peak from a data sheet is
that of another clock, another dtype, or twice sparse.
"""

from __future__ import annotations

import ctypes
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_TRIALS = 7
_SIZE = {"cpu": 1024}
_SIZE_ON_DEVICE = 8192
_BUFFER_BYTES = {"cpu": 1 << 28}
_BUFFER_BYTES_ON_DEVICE = 1 << 31
"""Larger than any cache, or the caches would be measured."""


def matrix_peak(device: Any, dtype: Any) -> float:
    """Return the best rate of a square matrix product in this dtype, in FLOP/s: 2 n^3 a product.

    Model FLOP utilisation in training and the throughput probe's shares are both of this peak.
    """
    import torch

    size = _SIZE.get(device.type, _SIZE_ON_DEVICE)
    # Random numbers, since a GPU multiplies constant ones with less power and so at a higher clock;
    # of a generator of its own, since no measurement may move the seeds of what comes after it.
    generator = torch.Generator(device).manual_seed(0)
    left_NN = torch.randn(size, size, device=device, dtype=dtype, generator=generator)
    right_NN = torch.randn(size, size, device=device, dtype=dtype, generator=generator)
    out_NN = torch.empty_like(left_NN)
    seconds = _best(lambda: torch.matmul(left_NN, right_NN, out=out_NN), device)
    return float(2 * size**3 / seconds)


def memory_bandwidth(device: Any) -> float:
    """Return the best rate of a copy, bytes read and written: STREAM's Copy (McCalpin 1995)."""
    import torch

    num_bytes = _BUFFER_BYTES.get(device.type, _BUFFER_BYTES_ON_DEVICE)
    source = torch.zeros(num_bytes // 4, device=device, dtype=torch.float32)
    target = torch.zeros_like(source)
    return 2 * num_bytes / _best(lambda: target.copy_(source), device)


def processor() -> str:
    """Return the model of the processor, as the system names it; empty where it does not."""
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor()


def synchronise(device: Any) -> None:
    """Wait until the device has done what it was asked; a CPU always has."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _best(act: Callable[[], object], device: Any) -> float:
    """Return the shortest of several times, in seconds, after one that does not count."""
    shortest = float("inf")
    for trial in range(_TRIALS + 1):
        synchronise(device)
        began = time.perf_counter()
        act()
        synchronise(device)
        if trial:
            shortest = min(shortest, time.perf_counter() - began)
    return shortest


# ------------------------------------------------------------------
# The C library's allocator, told to keep the memory that a model's layers free.
#
# On a CPU every layer allocates the same few megabytes again. glibc returns blocks of that size to
# the system when they are freed and gets them back zeroed, a page fault for each 4 KiB: a tenth of
# the time of a forward pass (docs/engine.md).


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
