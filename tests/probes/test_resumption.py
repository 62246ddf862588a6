"""A folder from which training could go on, and what is wrong with one that lost a part."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pyr.probes import resumption
from pyr.probes.resumption import Look


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """checkpoint-7 with the state of a real AdamW after one step, as the Trainer writes it."""
    place = tmp_path / "checkpoint-7"
    place.mkdir()
    weight = torch.nn.Parameter(torch.ones(3, 2))
    optimizer = torch.optim.AdamW([weight])
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    weight.sum().backward()
    optimizer.step()
    schedule.step()
    torch.save(optimizer.state_dict(), place / "optimizer.pt")
    torch.save(schedule.state_dict(), place / "scheduler.pt")
    states = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "cpu": torch.get_rng_state(),
    }
    torch.save(states, place / "rng_state.pth")
    log = [{"loss": 2.9, "step": 5}, {"loss": 2.5, "step": 7}, {"eval_loss": 2.7}]
    (place / "trainer_state.json").write_text(json.dumps({"global_step": 7, "log_history": log}))
    return place


def faults(folder: Path) -> dict[str, str]:
    return {look.part: look.fault for look in resumption.looks(folder) if look.fault}


def test_a_whole_folder_has_no_fault(folder: Path) -> None:
    assert resumption.is_resumable(folder)
    parts = ("optimizer", "scheduler", "random state", "place in the data")
    assert list(resumption.looks(folder)) == [Look(part, "") for part in parts]


def nan_into_moments(file: Path) -> None:
    held = torch.load(file, weights_only=True)
    held["state"][0]["exp_avg"][1, 1] = float("nan")
    torch.save(held, file)


def drop_a_parameter(file: Path) -> None:
    held = torch.load(file, weights_only=True)
    held["state"] = {}
    held["param_groups"][0]["params"] = [0, 1]
    held["state"][0] = {"exp_avg": torch.zeros(1)}
    torch.save(held, file)


@pytest.mark.parametrize(
    ("name", "harm", "part", "said"),
    [
        ("optimizer.pt", Path.unlink, "optimizer", "missing: optimizer.pt"),
        ("scheduler.pt", Path.unlink, "scheduler", "missing: scheduler.pt"),
        ("rng_state.pth", Path.unlink, "random state", "missing: rng_state.pth"),
        ("trainer_state.json", Path.unlink, "place in the data", "missing: trainer_state.json"),
        ("optimizer.pt", lambda f: f.write_bytes(f.read_bytes()[:200]), "optimizer", "loaded"),
        ("scheduler.pt", lambda f: f.write_bytes(b""), "scheduler", "cannot be loaded"),
        ("rng_state.pth", lambda f: torch.save({"cpu": 1}, f), "random state", "python, numpy"),
        ("scheduler.pt", lambda f: torch.save([1], f), "scheduler", "no state of a schedule"),
        ("optimizer.pt", lambda f: torch.save([1], f), "optimizer", "no state of an optimizer"),
        ("optimizer.pt", nan_into_moments, "optimizer", "exp_avg of parameter 0 is not finite"),
        ("optimizer.pt", drop_a_parameter, "optimizer", "1 parameters of 2"),
        ("optimizer.pt", lambda f: torch.save(Path(), f), "optimizer", "cannot be loaded"),
        ("trainer_state.json", lambda f: f.write_text("{"), "place in the data", "names no step"),
        (
            "trainer_state.json",
            lambda f: f.write_text('{"global_step": 8}'),
            "place in the data",
            "of step 8, the folder of step 7",
        ),
    ],
)
def test_a_part_that_is_lost_or_broken_is_named(
    folder: Path, name: str, harm: Callable[[Path], object], part: str, said: str
) -> None:
    harm(folder / name)
    found = faults(folder)
    assert list(found) == [part]
    assert said in found[part]


def test_a_plain_model_folder_is_not_resumable(folder: Path, tmp_path: Path) -> None:
    plain = tmp_path / "final"
    plain.mkdir()
    (plain / "trainer_state.json").write_text((folder / "trainer_state.json").read_text())
    assert not resumption.is_resumable(plain)
    assert resumption.last_loss(plain) == 2.5


def test_a_preference_loss_is_no_loss_of_language(tmp_path: Path) -> None:
    log = [{"loss": 0.69, "rewards/chosen": 0.1}]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    assert resumption.last_loss(tmp_path) is None
    assert resumption.last_loss(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("ours", "logged", "is_fault"),
    [
        (3.1, 2.5, False),
        (11.2, 2.5, True),
        (9.8, 2.5, True),
        (11.2, 8.9, False),
        (13.5, 0.6, False),
        (3.1, float("nan"), True),
    ],
)
def test_a_loss_is_out_of_reason_when_training_left_guessing_far_behind(
    ours: float, logged: float, is_fault: bool
) -> None:
    """Of 16,384 tokens guessing costs 9.70 nats; measured: SmolLM2 3.1, random weights 10.9."""
    assert bool(resumption.loss_fault(ours, logged, 16_384)) == is_fault
