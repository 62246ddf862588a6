"""What differs from one checkpoint to the next for no lasting reason."""

from __future__ import annotations

import math

import numpy as np
import pytest
from factories_stats import published, records, results
from scipy import stats

from pyr.compare import average, compare, interval, with_noise
from pyr.compare.noise import fallen
from pyr.schema import Aggregate, Checkpoint, Estimate


def at(step, *frames, **run):
    """Results of one training at a step."""
    checkpoint = Checkpoint(
        path="", name=f"out-checkpoint-{step}", digest=str(step), format="safetensors", step=step
    )
    return results(*frames, name=f"step{step}", checkpoint=checkpoint, **run)


def mean_at(step, value, se=0.0001):
    checkpoint = Checkpoint(
        path="", name=f"out-step{step}", digest=str(step), format="imported", step=step
    )
    return published(
        Aggregate("arc", "acc", value, se, n=1000), name=f"step{step}", checkpoint=checkpoint
    )


def noise_of(runs):
    (row,) = with_noise(compare(runs[-1], runs[-2]), runs[-1], runs[-2], runs)
    return row.delta.noise


def test_the_noise_is_that_about_a_straight_line():
    rng = np.random.default_rng(1)
    scores = 0.3 + 0.01 * np.arange(7) + rng.normal(0, 0.02, 7)
    found = noise_of([mean_at(100 * i, score) for i, score in enumerate(scores)])
    line = stats.linregress(np.arange(7), scores)
    rest = scores - line.intercept - line.slope * np.arange(7)
    # sd of one checkpoint, less nearly nothing; the difference of two holds it twice.
    assert found.sd == pytest.approx(math.sqrt(2 * np.sum(rest**2) / 5), rel=1e-3)
    assert found.checkpoints == 7


def test_a_steady_climb_is_no_noise():
    assert noise_of([mean_at(i, 0.1 * i) for i in range(6)]).sd == pytest.approx(0, abs=1e-9)


def test_the_share_of_the_items_is_taken_off():
    # The items' own error explains all that differs.
    assert noise_of([mean_at(i, 0.3 + 0.01 * (i % 2), se=0.05) for i in range(6)]).sd == 0


def test_four_checkpoints_are_too_few_and_nine_the_most():
    assert noise_of([mean_at(i, 0.1 * (i % 2)) for i in range(4)]) is None
    assert noise_of([mean_at(i, 0.1 * (i % 2)) for i in range(12)]).checkpoints == 9


def test_the_noise_of_a_mean_is_that_of_its_training():
    runs = [mean_at(i, 0.3 + 0.02 * (-1) ** i) for i in range(8)]
    three = average(runs[-3:])
    (row,) = with_noise(compare(three, runs[0]), three, runs[0], runs)
    (last,) = with_noise(compare(runs[-1], runs[0]), runs[-1], runs[0], runs)
    assert row.candidate.noise.sd == pytest.approx(last.candidate.noise.sd / math.sqrt(3))


def test_noise_widens_the_interval_and_the_p_value():
    runs = [mean_at(i, 0.3 + 0.02 * (-1) ** i) for i in range(8)]
    (plain,) = compare(runs[-1], runs[-2])
    (joined,) = with_noise([plain], runs[-1], runs[-2], runs)
    assert plain.p < 0.001 < 0.05 < joined.p
    assert joined.low < plain.low < plain.high < joined.high


def test_a_measure_that_one_checkpoint_lacks_has_no_known_noise():
    frames = [records(np.arange(9.0) + i % 2) for i in range(6)]
    runs = [at(i, frame) for i, frame in enumerate(frames)]
    gap = [*runs[:3], at(3, records([1.0], task="other")), *runs[4:]]
    (row,) = with_noise(compare(runs[5], runs[4]), runs[5], runs[4], gap)
    assert row.delta.noise is None
    (row,) = with_noise(compare(runs[5], runs[4]), runs[5], runs[4], runs)
    assert row.delta.noise is not None


def test_an_interval_without_history_says_nothing_of_checkpoints():
    assert interval(Estimate(0, 1, 0, 0), 0.95).high == pytest.approx(1.96, abs=0.001)


def test_a_fall_is_what_lies_below_the_prediction_limit_of_a_line():
    """Oracle: scipy's line and the textbook's limit for one more observation."""
    x, y = np.arange(6), np.array([0.30, 0.33, 0.29, 0.34, 0.31, 0.33])
    line = stats.linregress(x, y)
    rest = y - line.intercept - line.slope * x
    error = math.sqrt(np.sum(rest**2) / 4 * (1 + 1 / 6 + (6 - 2.5) ** 2 / 17.5))
    limit = min(line.intercept + 6 * line.slope, y[-1]) - stats.t.ppf(0.99, 4) * error
    assert fallen(range(7), [*y, limit - 0.001])
    assert not fallen(range(7), [*y, limit + 0.001])


def test_noise_alone_is_seldom_called_a_fall():
    draw = np.random.default_rng(3)
    found = [fallen(range(9), draw.normal(size=9)) for _ in range(2000)]
    assert 0 < np.mean(found) < 0.01


def test_a_collapse_does_not_widen_its_own_interval():
    scores = [0.50, 0.52, 0.51, 0.54, 0.55, 0.56]
    before = [mean_at(i, score) for i, score in enumerate(scores)]
    fell = [*before, mean_at(6, 0.2)]
    (row,) = with_noise(compare(fell[-1], before[-1]), fell[-1], before[-1], fell)
    assert row.delta.noise == noise_of(before)
    assert row.p < 0.001


def test_what_fell_after_four_checkpoints_has_no_known_noise():
    fell = [*(mean_at(i, 0.5 + 0.01 * (i % 2)) for i in range(4)), mean_at(4, 0.1)]
    assert noise_of(fell) is None
