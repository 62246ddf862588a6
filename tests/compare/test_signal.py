"""Marks from a history: at chance, no trend, noise; against histories made to have them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pyr.compare import Point, Reliability, reliability
from pyr.schema import Estimate


def way(values) -> list[Point]:
    return [Point(x, float(value), f"c{x}", "") for x, value in enumerate(values)]


def newest(value: float, se: float = 0.01) -> Estimate:
    return Estimate(value, se, 500, 500)


def test_three_standard_errors_above_guessing_are_asked() -> None:
    nothing = way([])
    just = reliability(newest(0.281), nothing, direction="higher", chance=0.25)
    assert just.above_chance == pytest.approx(3.1)
    assert just.marks == ()
    below = reliability(newest(0.279), nothing, direction="higher", chance=0.25)
    assert below.marks == ("at chance",)
    assert below.fails
    assert reliability(newest(0.1), nothing, direction="higher").marks == ()
    certain = reliability(newest(0.25, 0.0), nothing, direction="higher", chance=0.25)
    assert certain.above_chance == math.inf


def test_the_trend_is_spearmans_and_falls_count_as_much_as_rises() -> None:
    values = [0.3, 0.35, 0.33, 0.4, 0.42, 0.41]
    found = reliability(newest(0.41), way(values), direction="higher")
    assert found.trend == pytest.approx(stats.spearmanr(range(6), values).statistic)
    lower = reliability(newest(0.41), way(values), direction="lower")
    assert lower.trend == pytest.approx(-found.trend)
    assert found.marks == lower.marks
    assert not found.fails
    assert not lower.fails


def test_the_signal_is_the_range_over_the_noise_about_a_line() -> None:
    """By hand: 0 1 0 1 0 about its line 0.4, residuals -.4 .6 -.4 .6 -.4, sum of squares 1.2."""
    found = reliability(newest(0.0), way([0, 1, 0, 1, 0]), direction="higher")
    assert found.signal_to_noise == pytest.approx(1 / math.sqrt(1.2 / 3))
    assert found.trend == pytest.approx(0)
    assert found.marks == ("no trend", "noise")
    assert found.fails


def test_what_was_learnt_and_is_now_flat_is_reliable() -> None:
    draw = np.random.default_rng(0)
    values = [0.25, 0.3, 0.4, *(0.5 + draw.normal(0, 0.003, 12))]
    found = reliability(newest(values[-1]), way(values), direction="higher", chance=0.25)
    assert found.signal_to_noise > found.noise_gives
    assert not found.fails


def test_few_checkpoints_say_nothing() -> None:
    found = reliability(newest(0.5), way([0.1, 0.9, 0.1, 0.9]), direction="higher")
    assert found == Reliability(4, None, None, None, None)
    assert not found.fails


def test_a_score_that_never_moves_is_no_signal() -> None:
    found = reliability(newest(0.5), way([0.5] * 6), direction="higher")
    assert found.signal_to_noise == 0
    assert found.fails


def test_pure_noise_is_marked_and_a_rise_is_not_most_of_the_time() -> None:
    draw = np.random.default_rng(7)
    flat = [
        reliability(newest(0.0), way(draw.normal(size=9)), direction="higher") for _ in range(400)
    ]
    rise = [
        reliability(newest(0.0), way(np.arange(9) + draw.normal(size=9)), direction="higher")
        for _ in range(400)
    ]
    assert np.mean([each.fails for each in rise]) < 0.01
    assert np.mean(["noise" in each.marks for each in flat]) > 0.85
    assert np.mean([each.fails for each in flat]) > 0.7


def test_a_collapse_at_the_last_checkpoint_is_a_fall_and_no_noise() -> None:
    found = reliability(newest(0.1), way([0.31, 0.36, 0.4, 0.44, 0.51, 0.1]), direction="higher")
    assert found.fell
    assert found.marks == ()
    lower = reliability(newest(2.0), way([1.3, 1.2, 1.25, 1.1, 1.05, 2.0]), direction="lower")
    assert (lower.fell, lower.marks) == (True, ())


def test_a_leap_upwards_at_the_last_checkpoint_is_trusted_no_more_than_before() -> None:
    found = reliability(
        newest(0.9), way([0.3, 0.34, 0.29, 0.35, 0.31, 0.28, 0.9]), direction="higher"
    )
    assert not found.fell
    assert found.marks == ("no trend", "noise")


def test_a_climb_that_slows_down_has_not_fallen() -> None:
    found = reliability(newest(0.5), way([0.1, 0.2, 0.3, 0.4, 0.5, 0.5]), direction="higher")
    assert not found.fell
