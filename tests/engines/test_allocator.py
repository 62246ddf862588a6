"""Freed memory is kept: seen by the page faults of a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from pyr import engines
from pyr.checkpoint import identify
from pyr.engines import EngineSettings, open_model

FAULTS = """
import resource
import torch
from pyr.hardware import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def layers():
    # Together more than glibc keeps, freed all at once as at the end of a layer.
    blocks = [torch.ones(20 * 2**20) for _ in range(4)]

{before}
# Freed blocks find their places in a few rounds: what else lies on the heap moves them.
for _ in range(6):
    layers()
start = faults()
for _ in range(5):
    layers()
print(faults() - start)
"""


def faults(before: str) -> int:
    command = [sys.executable, "-c", FAULTS.format(before=before)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_not_given_back_and_fetched_anew() -> None:
    # 5 x 4 x 80 MB are 409,600 pages of 4 KiB; large pages make them fewer, never none.
    returned, kept = faults(""), faults("keep_freed_memory()")
    assert kept < returned / 10


def test_a_model_on_the_cpu_is_opened_with_memory_kept(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[bool] = []
    monkeypatch.setattr(engines, "keep_freed_memory", lambda: called.append(True))
    open_model(
        identify(tiny_checkpoint), EngineSettings(engine="reference", device="cpu").resolved()
    )
    assert called
