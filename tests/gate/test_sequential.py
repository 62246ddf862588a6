"""Looking early is paid for, once and little."""

from __future__ import annotations

import math

import numpy as np
import pytest
from factories_stats import records, results

from pyr.compare import compare, interval
from pyr.gate.rules import Demand
from pyr.gate.sequential import SPENT_EARLY, early_interval, limits, p_fail
from pyr.schema import Estimate, Noise


@pytest.mark.parametrize("t", [32, 300, 5000])
def test_early_bounds_are_wider_than_fixed_ones_but_not_hopelessly(t):
    found = Estimate(0.0, 1.0, t, t)
    fixed, early = interval(found, 0.99, sides=1).high, early_interval(found, 0.01).high
    assert 1.4 < early / fixed < 1.8


def test_a_mean_of_nothing_hardly_ever_leaves_its_sequence():
    rng = np.random.default_rng(5)
    runs, length, tail = 400, 2000, 0.05
    sums = rng.normal(0, 1, (runs, length)).cumsum(axis=1)
    times = np.arange(20, length, 20)
    highs = [early_interval(Estimate(0.0, 1 / math.sqrt(t), t, t), tail).high for t in times]
    out = (sums[:, times - 1] / times > np.array(highs)).any(axis=1).mean()
    assert out <= tail + 3 * math.sqrt(tail * (1 - tail) / runs)


@pytest.mark.parametrize(
    "unsure",
    [
        Estimate(0.0, math.inf, 40, 1),
        Estimate(0.0, 0.1, 100, 0),
        Estimate(0.0, 0.0, 4, 4),
        Estimate(0.0, 0.1, 2048, 7),
        Estimate(0.0, 0.1, 2048, 31, effective=7.9),
    ],
    ids=["one cluster", "published", "four alike", "seven tasks", "one task is most of it"],
)
def test_what_says_nothing_decides_nothing_early(unsure):
    assert early_interval(unsure, 0.01).low == -math.inf


def first_items(tasks, k, name):
    return results(*(records(values[:k], task=task) for task, values in tasks.items()), name=name)


def test_a_loss_that_is_rare_and_large_is_seen_before_a_pass():
    """3% of the items lose a bit: in 32 of them it is often not met, and all others are alike."""
    rng = np.random.default_rng(7)
    before, after = {}, {}
    for draw in range(300):
        values = rng.normal(5, 0.8, 1000)
        lost = rng.normal(0, 0.02, 1000) + (rng.random(1000) < 0.03)
        before[str(draw)], after[str(draw)] = values, values + lost
    passed = set()
    for k in (32, 64, 128, 256, 512):
        # Every draw is a task, so that one call compares them all.
        for row in compare(first_items(after, k, "after"), first_items(before, k, "before")):
            if early_interval(row.delta, SPENT_EARLY * 0.05).high <= 0.02:
                passed.add(row.task)
    assert len(passed) / 300 <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 300)


def test_checkpoint_noise_counts_early_too():
    quiet = Estimate(0.0, 0.1, 100, 100)
    noisy = Estimate(0.0, 0.1, 100, 100, noise=Noise(0.3, 8))
    assert early_interval(noisy, 0.01).high > 2 * early_interval(quiet, 0.01).high


def test_the_last_look_has_four_fifths_of_the_error():
    found = Estimate(0.0, 1.0, 100, 100)
    assert limits(found, 0.05, "last") == interval(found, 0.96, sides=1)
    assert limits(found, 0.05, "once") == interval(found, 0.95, sides=1)


@pytest.mark.parametrize("when", ["once", "early", "last"])
def test_a_rule_fails_by_its_p_value_exactly_where_it_fails_by_its_limits(when):
    found = Estimate(-0.5, 0.1, 400, 400)
    tail = 0.03
    bound = limits(found, tail, when).high
    above, below = (
        p_fail(Demand(bound + shift, "above", True), found, when) for shift in (1e-4, -1e-4)
    )
    assert above < tail < below


def test_early_error_and_late_error_add_up_to_the_whole():
    assert 0 < SPENT_EARLY < 1
    found = Estimate(0.3, 0.1, 100, 100)
    p = p_fail(Demand(0.6, "above", True), found, "once")
    assert p_fail(Demand(0.6, "above", True), found, "last") == pytest.approx(p / (1 - SPENT_EARLY))
