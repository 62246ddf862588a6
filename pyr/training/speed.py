"""How fast a phase trains: tokens a second, and the share of what the device can compute."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Speed:
    """What a token costs, and what the devices could do."""

    parameters: int
    """That a token is multiplied by: all but the input embedding."""
    peak: float
    """FLOP a second of one device, measured; 0 if it was not."""
    devices: int

    def of(self, tokens: int, seconds: float) -> dict[str, float]:
        """Tokens a second over all devices, and model FLOP utilisation.

        6 FLOP per parameter and token, forward and backward (Kaplan et al. 2020, 2.1); attention
        itself is left out, so that this is a lower bound. Rows have no padding: every token counts.
        """
        rate = tokens / max(seconds, 1e-9)
        found = {"tokens_per_second": round(rate, 1)}
        if self.peak:
            found["mfu"] = round(6 * self.parameters * rate / (self.peak * self.devices), 4)
        return found


def measured_peak(device: Any, *, dtype: Any) -> float:
    """FLOP a second of a square matrix product on the device: the best of some repetitions."""
    import torch

    size, repetitions = (8192, 20) if device.type == "cuda" else (1024, 12)
    left = torch.randn(size, size, device=device, dtype=dtype)
    right = torch.randn(size, size, device=device, dtype=dtype)
    best = 0.0
    for _ in range(repetitions):
        _wait(device)
        before = time.perf_counter()
        torch.mm(left, right)
        _wait(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - before))
    return best


def _wait(device: Any) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
