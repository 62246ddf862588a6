"""What changes where nothing should."""

from __future__ import annotations

import numpy as np
import pytest
from factories_stats import records, results

from pyr.compare import compare
from pyr.compare.noise import jitter
from pyr.schema import Checkpoint

VALUES = np.linspace(0, 2, 50)


def run_of(values):
    return results(records(values))


def test_arithmetic_and_neighbours_add_up_to_the_smallest_difference():
    neighbour = run_of(VALUES + np.resize([0.1, -0.1], 50))
    variants = {"batch size 1": run_of(VALUES + 0.01), "bfloat16": run_of(VALUES - 0.02)}
    (found,) = jitter(run_of(VALUES), variants, [neighbour, run_of(VALUES)])
    assert found.arithmetic == pytest.approx({"batch size 1": 0.01, "bfloat16": 0.02})
    (row,) = compare(run_of(VALUES), neighbour)
    assert found.neighbours == pytest.approx((row.high - row.low) / 2)
    assert found.smallest == pytest.approx(0.02 + found.neighbours)


def test_without_neighbours_only_the_arithmetic_is_known():
    (found,) = jitter(run_of(VALUES), {"bfloat16": run_of(VALUES)})
    assert (found.neighbours, found.smallest) == (None, 0.0)


def at_step(step, frame):
    checkpoint = Checkpoint(
        path="", name=f"out-step{step}", digest=str(step), format="safetensors", step=step
    )
    return results(frame, name=f"step{step}", checkpoint=checkpoint)


def test_five_neighbours_tell_the_noise_of_checkpoints_too():
    rng = np.random.default_rng(2)
    runs = [
        at_step(step, records(VALUES + 0.05 * (step % 2) + rng.normal(0, 0.01, 50)))
        for step in range(1, 7)
    ]
    (few,), (enough,) = jitter(runs[-1], {}, runs[-4:]), jitter(runs[-1], {}, runs)
    assert (few.checkpoints, enough.checkpoints) == (0, 6)
    assert enough.neighbours > 5 * few.neighbours


def test_what_is_counted_has_no_noise():
    checks = run_of(np.ones(50))
    checks.records["exact"] = True
    assert jitter(checks, {"bfloat16": checks}, [checks, checks]) == []
