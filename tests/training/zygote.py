"""Kill -9 a phase at random moments until it is finished: ``zygote.py FOLDER SEED KILLS``.

The libraries are loaded once; every attempt is a fork of this process, which has no threads yet.
Prints how many attempts were killed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
import trl  # noqa: F401

from pyr.training import callbacks, checkpoints, order, packing, stage  # noqa: F401


def step_reached(folder: Path) -> int:
    """The last step in the phase's log."""
    file = folder / "log.jsonl"
    lines = order.read_log(file) if file.is_file() else []
    return lines[-1]["step"] if lines else 0


def attempt(folder: Path, die: random.Random | None) -> bool:
    """Run the stage in a child; with a die, kill it some steps on. True if it was killed."""
    saved = checkpoints.newest(folder)
    start = saved.step if saved else 0
    child = os.fork()
    if child == 0:
        os._exit(stage.main([str(folder)]))
    if die is None:
        _, status = os.waitpid(child, 0)
    else:
        target, delay = start + die.randint(1, 9), die.choice([0, die.uniform(0, 0.3)])
        status = None
        while status is None and not start < target <= step_reached(folder):
            ended, code = os.waitpid(child, os.WNOHANG)
            status = code if ended else None
            time.sleep(0.001)
        if status is None:
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        sys.exit(os.WEXITSTATUS(status))
    return os.WIFSIGNALED(status)


def main(folder: Path, seed: int, kills: int) -> None:
    die = random.Random(seed)
    killed = 0
    while killed < kills and not checkpoints.final(folder):
        if not attempt(folder, die):
            break
        killed += 1
    attempt(folder, None)
    print(killed)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
