"""What the machine can do is measured once, for training and for the throughput probe."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch

from pyr import hardware
from pyr.checkpoint import identify
from pyr.engines import EngineSettings, open_model
from pyr.probes.throughput import Bench
from pyr.training import stage


def test_utilisation_in_training_and_the_probes_shares_are_of_one_peak(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = EngineSettings(engine="reference", device="cpu").resolved()
    lm = open_model(identify(tiny_checkpoint), settings)
    asked = []

    def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
        asked.append((device.type, dtype))
        return 1e12

    monkeypatch.setattr(hardware, "matrix_peak", matrix_peak)
    bench = Bench(lm, 24)
    options = SimpleNamespace(device=torch.device("cpu"), bf16=False)
    watched = stage._watched(MagicMock(), Path(), lm.model, options)(str, "plan")
    assert bench.matrix_peak == watched.speed.peak == 1e12
    assert asked == [("cpu", torch.float32)] * 2


def test_measuring_the_peak_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    assert hardware.matrix_peak(torch.device("cpu"), torch.float32) > 1e6
    assert torch.equal(torch.rand(3), expected)
