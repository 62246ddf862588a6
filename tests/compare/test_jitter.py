"""What changes where nothing should."""

from __future__ import annotations

import numpy as np
import pytest
from factories_stats import records, results

from pyr.compare import compare
from pyr.compare.jitter import jitter

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
