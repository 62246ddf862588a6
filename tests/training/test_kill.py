"""Kill -9 and disks that are full, in processes of their own."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from factories_training import curve, placed, stage, weights

from pyr.training import checkpoints

pytestmark = pytest.mark.slow
ZYGOTE = Path(__file__).parent / "zygote.py"
LONG = {
    "tokens": 128 * 60,
    "trainer": {"learning_rate": 1e-3, "save_steps": 5},
    "pulse": "suite.yaml",
    "pulse_share": 0.9,
}


def killed(folder: Path, *, seed: int, kills: int) -> int:
    """How many attempts were killed before the phase was finished."""
    done = subprocess.run(
        [sys.executable, str(ZYGOTE), str(folder), str(seed), str(kills)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return int(done.stdout.split()[-1])


def test_a_phase_killed_at_random_moments_ends_in_the_same_weights(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    """20 kills over a few trainings of the phase: in steps, in saving and in evaluation."""
    fresh = placed(tmp_path, tiny_checkpoint, {"one": LONG})
    whole = Path(shutil.copytree(fresh, tmp_path / "whole"))
    assert killed(whole, seed=0, kills=0) == 0
    seed = total = 0
    while total < 20:
        seed += 1
        phase = Path(shutil.copytree(fresh, tmp_path / f"killed-{seed}"))
        total += killed(phase, seed=seed, kills=20)
        assert weights(phase) == weights(whole)
        assert curve(phase) == curve(whole)


def test_a_file_that_cannot_grow_leaves_the_last_checkpoint(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    """A limit on the size of files stands for a full disk: the optimizer's file is the largest."""
    phase = placed(tmp_path, tiny_checkpoint, {"one": {}})
    limit = 100_000
    done = stage(
        phase, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    assert done.returncode == 2
    assert "the disk is full" in done.stderr
    assert checkpoints.newest(phase) is None
    assert stage(phase).returncode == 0
    assert checkpoints.final(phase) is not None
