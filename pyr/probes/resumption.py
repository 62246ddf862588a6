"""Could training go on from this folder? Optimizer, schedule, random state and place in the data.

The files are those of transformers' Trainer (trainer.py: `_save_optimizer_and_scheduler`,
`_save_rng_state`), also as FSDP and DeepSpeed shard them. They are read by torch's loader that runs
no code.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PARTS = {
    "optimizer": ("optimizer.pt", "optimizer.bin", "optimizer_*", "global_step*"),
    "scheduler": ("scheduler.pt",),
    "random state": ("rng_state.pth", "rng_state_*.pth"),
}
_STATE = "trainer_state.json"
_UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, KeyError, TypeError, struct.error)
"""What torch raises for a file that is cut short or no file of its own."""


@dataclass(frozen=True, slots=True)
class Look:
    """One part of what resuming needs; `fault` is empty where it is sound."""

    part: str
    fault: str


def is_resumable(folder: Path) -> bool:
    """True if any part of a training's state lies there beside the model."""
    return any(next(folder.glob(name), None) for names in _PARTS.values() for name in names)


def looks(folder: Path) -> Iterator[Look]:
    """Every part of a resumable folder, present and loadable or not."""
    checks: dict[str, Callable[[Any], str]] = {
        "optimizer": _optimizer_fault,
        "scheduler": _scheduler_fault,
        "random state": _random_fault,
    }
    for part, names in _PARTS.items():
        found = sorted(file for name in names for file in folder.glob(name))
        if not found:
            yield Look(part, f"missing: {names[0]}")
            continue
        faults = (_file_fault(file, checks[part]) for file in found if file.is_file())
        yield Look(part, next((fault for fault in faults if fault), ""))
    yield Look("place in the data", _place_fault(folder))


def last_loss(folder: Path) -> float | None:
    """The loss of language that the Trainer logged last; None where it logged none.

    A preference loss is no loss of language: it is told by the rewards logged beside it.
    """
    for line in reversed(_state(folder).get("log_history", [])):
        if "loss" in line and not any(str(key).startswith("rewards/") for key in line):
            return float(line["loss"])
    return None


# ------------------------------------------------------------------ one part


def _file_fault(file: Path, fault_of: Callable[[Any], str]) -> str:
    import torch

    serialization: Any = torch.serialization
    try:
        held = _load(file)
    except (*_UNREADABLE, serialization.pickle.UnpicklingError) as error:
        said = str(error).strip().partition("\n")[0][:120] or type(error).__name__
        return f"{file.name} cannot be loaded: {said}"
    fault = fault_of(held)
    return f"{file.name}: {fault}" if fault else ""


def _load(file: Path) -> Any:
    """What a file of torch holds; code in it is refused, numpy's random state is not."""
    import numpy as np
    import torch

    # As transformers' trainer_pt_utils.safe_globals has it.
    core: Any = vars(np)["_core"]
    known = [core.multiarray._reconstruct, np.ndarray, np.dtype, type(np.dtype(np.uint32))]
    with torch.serialization.safe_globals(known):
        return torch.load(file, map_location="cpu", weights_only=True)


def _optimizer_fault(held: Any) -> str:
    import torch

    if not (isinstance(held, dict) and {"state", "param_groups"} <= held.keys()):
        return "it holds no state of an optimizer"
    asked = sum(len(group["params"]) for group in held["param_groups"])
    known = held["state"]
    if len(known) not in (0, asked):
        return f"it holds the state of {len(known)} parameters of {asked}"
    for number, moments in known.items():
        for name, tensor in moments.items():
            floating = isinstance(tensor, torch.Tensor) and tensor.is_floating_point()
            if floating and not bool(torch.isfinite(tensor).all()):
                return f"{name} of parameter {number} is not finite"
    return ""


def _scheduler_fault(held: Any) -> str:
    known = isinstance(held, dict) and "last_epoch" in held
    return "" if known else "it holds no state of a schedule"


def _random_fault(held: Any) -> str:
    known = held if isinstance(held, dict) else {}
    missing = [name for name in ("python", "numpy", "cpu") if name not in known]
    return f"it holds no state of {', '.join(missing)}" if missing else ""


def _place_fault(folder: Path) -> str:
    if not (folder / _STATE).is_file():
        return f"missing: {_STATE}"
    step = _state(folder).get("global_step")
    if not isinstance(step, int) or step < 1:
        return f"{_STATE} names no step"
    named = re.fullmatch(r"checkpoint-(\d+)", folder.resolve().name)
    if named and int(named[1]) != step:
        return f"{_STATE} is of step {step}, the folder of step {named[1]}"
    return ""


def _state(folder: Path) -> dict[str, Any]:
    try:
        read = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def loss_fault(ours: float, logged: float, vocabulary: int) -> str:
    """Whether a loss on a fixed text cannot belong to a training that logged this last.

    ours, logged: nats a token. The texts differ, so that only one thing is sure: a model that a
    training brought well below the loss of guessing is not back at it on every kind of text. Below
    a nat a token its texts are invented or repeated ones, which say nothing of others.
    """
    guess = math.log(vocabulary)
    if not math.isfinite(logged):
        return f"the last loss that was logged is {logged}"
    if not 1 <= logged <= 0.6 * guess or ours < guess:
        return ""
    return (
        f"the easiest of the fixed texts costs {ours:.2f} nats a token, guessing {guess:.2f}; "
        f"the training logged {logged:.2f} last"
    )
