"""What this machine can do at best: multiply matrices, and move memory. Measured, not looked up.

A rate beside the machine's own peak means something on another machine; a peak from a data sheet is
that of another clock, another dtype, or twice sparse.
"""

from __future__ import annotations

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
    """The best rate of a square matrix product in this dtype, in FLOP/s: 2 n^3 a product."""
    import torch

    size = _SIZE.get(device.type, _SIZE_ON_DEVICE)
    left_NN = torch.ones(size, size, device=device, dtype=dtype)
    right_NN = torch.ones(size, size, device=device, dtype=dtype)
    out_NN = torch.empty_like(left_NN)
    seconds = _best(lambda: torch.matmul(left_NN, right_NN, out=out_NN), device)
    return float(2 * size**3 / seconds)


def memory_bandwidth(device: Any) -> float:
    """The best rate of a copy, in bytes/s read and written: STREAM's Copy (McCalpin 1995)."""
    import torch

    num_bytes = _BUFFER_BYTES.get(device.type, _BUFFER_BYTES_ON_DEVICE)
    source = torch.zeros(num_bytes // 4, device=device, dtype=torch.float32)
    target = torch.zeros_like(source)
    return 2 * num_bytes / _best(lambda: target.copy_(source), device)


def processor() -> str:
    """The model of the processor, as the system names it; empty where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def synchronise(device: Any) -> None:
    """Wait until the device has done what it was asked; a CPU always has."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _best(act: Callable[[], object], device: Any) -> float:
    """The shortest of several times, in seconds, after one that does not count."""
    shortest = float("inf")
    for trial in range(_TRIALS + 1):
        synchronise(device)
        began = time.perf_counter()
        act()
        synchronise(device)
        if trial:
            shortest = min(shortest, time.perf_counter() - began)
    return shortest
