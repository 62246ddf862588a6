"""Several ranks on this machine, joined by gloo: what one learns, suffers or finds, all do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from factories_training import curve, placed, stage, write_recipe

from pyr.training import checkpoints
from pyr.training.order import read_log

pytestmark = pytest.mark.slow
TWO_RANKS = {"processes": 2}
LONG = {"tokens": 128 * 60, "trainer": {"learning_rate": 1e-3, "save_steps": 5}}


def test_two_ranks_learn_what_one_does(tmp_path: Path, tiny_checkpoint: Path) -> None:
    one = placed(tmp_path / "one", tiny_checkpoint, {"one": {}})
    two = placed(tmp_path / "two", tiny_checkpoint, {"one": {}})
    assert stage(one).returncode == 0
    done = stage(two, ranks=2)
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [[line[2] for line in curve(folder)] for folder in (one, two)]
    assert losses[1] == pytest.approx(losses[0], abs=2e-5)


def conductor(recipe: Path, output: Path) -> subprocess.Popen[str]:
    """``pyr train`` in a process of its own, its ranks with one thread each."""
    return subprocess.Popen(
        [sys.executable, "-m", "pyr.cli", "train", str(recipe), "-o", str(output)]
        + ["--store", str(output / "results")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )


def until(claim: Callable[[], bool], *, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def ranks_of(process: subprocess.Popen[str]) -> dict[int, psutil.Process]:
    """The training processes below the conductor, by rank."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        if "pyr.training.stage" in child.cmdline() and "RANK" in child.environ():
            found[int(child.environ()["RANK"])] = child
    return found


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_the_job_with_a_message_and_it_resumes(
    tmp_path: Path, tiny_checkpoint: Path, rank: int
) -> None:
    recipe = write_recipe(tmp_path / "recipe", tiny_checkpoint, {"one": LONG}, **TWO_RANKS)
    phase = tmp_path / "out" / "one"
    process = conductor(recipe, tmp_path / "out")
    until(lambda: (phase / "checkpoint-10").is_dir())
    ranks_of(process)[rank].send_signal(signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2, said[-3000:]
    assert "one: a training process was killed, or ended by itself" in said
    assert "the same command goes on from its last complete checkpoint" in said
    assert checkpoints.final(phase) is None
    process = conductor(recipe, tmp_path / "out")
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said[-3000:]
    assert "one: from step " in said
    assert "one: from step 0 " not in said
    assert [line["step"] for line in read_log(phase / "log.jsonl")] == list(range(1, 61))


def test_every_rank_obeys_a_pulse_that_found_the_checkpoint_broken(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    """Only rank 0 evaluates: the other must learn of it, not wait for the next step for ever."""
    pulsed = {"pulse": "suite.yaml", "pulse_share": 0.9}
    phase = placed(tmp_path, tiny_checkpoint, {"one": LONG | pulsed})
    order = json.loads((phase / "order.json").read_text())
    broken = tmp_path / "tokenizer"
    broken.mkdir()
    for file in tiny_checkpoint.glob("*token*"):
        (broken / file.name).write_bytes(file.read_bytes())
    tokenizer = json.loads((broken / "tokenizer.json").read_text())
    tokenizer["decoder"] = None
    (broken / "tokenizer.json").write_text(json.dumps(tokenizer))
    (phase / "order.json").write_text(json.dumps(order | {"tokenizer": str(broken)}))
    done = stage(phase, ranks=2, timeout=300)
    assert done.returncode != 0
    assert "step 5: the pulse found a broken checkpoint" in done.stderr
    assert "tokenizer_round_trip" in json.loads((phase / "stopped.json").read_text())["what"]
