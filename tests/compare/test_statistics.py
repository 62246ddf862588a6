"""Limits, their error rates, and corrections for many tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pyr.compare import benjamini_hochberg, holm, interval
from pyr.compare.limits import one_sided_p, p_value
from pyr.compare.statistics import expected_effect, ratio, shares, spread
from pyr.schema import Estimate, Noise, Shares


def test_few_clusters_use_t_and_unknown_ones_the_normal():
    assert interval(Estimate(0, 1, 9, 5), 0.95).high == pytest.approx(stats.t.ppf(0.975, 4))
    assert interval(Estimate(0, 1, 0, 0), 0.95).high == pytest.approx(stats.norm.ppf(0.975))


def test_one_sided_limits_spend_the_whole_error_on_one_side():
    found = Estimate(0, 1, 0, 0)
    assert interval(found, 0.95, sides=1).low == pytest.approx(interval(found, 0.90).low)


# ------------------------------------------------------------------ shares, by enumeration


def every_outcome(n, gains, losses):
    """All counts of gained and lost answers that may well happen, with their probabilities."""
    counts = np.arange(n + 1)
    gained, lost = (grid.ravel() for grid in np.meshgrid(counts, counts))
    possible = gained + lost <= n
    gained, lost = gained[possible], lost[possible]
    columns = np.stack([gained, lost, n - gained - lost], axis=1)
    p = stats.multinomial.pmf(columns, n, [gains, losses, 1 - gains - losses])
    likely = p > 1e-6
    return zip(gained[likely], lost[likely], p[likely], strict=True)


def changed(gained, lost, n):
    found = Shares(gained / n, lost / n, n)
    return Estimate((gained - lost) / n, 0.01, n, n, shares=found)


RATES = [(0, 0.02), (0.02, 0.04), (0, 0.05), (0.05, 0.1), (0.1, 0.12)]


@pytest.mark.parametrize("n", [30, 100])
@pytest.mark.parametrize(("gains", "losses"), RATES)
def test_a_true_drop_at_the_margin_passes_at_most_one_time_in_twenty(n, gains, losses):
    margin = gains - losses
    passes = sum(
        p
        for gained, lost, p in every_outcome(n, gains, losses)
        if interval(changed(gained, lost, n), 0.95, sides=1).low >= margin
    )
    assert passes <= 0.05


@pytest.mark.parametrize(("gains", "losses"), [(0.05, 0.05), (0.05, 0.1), (0.1, 0.12)])
def test_the_interval_to_read_holds_the_truth_95_times_in_100(gains, losses):
    covered = 0.0
    for gained, lost, p in every_outcome(100, gains, losses):
        limits = interval(changed(gained, lost, 100), 0.95)
        covered += p * (limits.low <= gains - losses <= limits.high)
    assert 0.94 <= covered <= 0.96


def test_no_change_at_all_is_the_rule_of_three():
    limits = interval(changed(0, 0, 1000), 0.95, sides=1)
    one_side = stats.binomtest(0, 1000).proportion_ci(0.90).high
    assert limits.high == pytest.approx(one_side, rel=1e-2)
    assert limits.low == -limits.high


def test_a_single_share_has_the_limits_of_clopper_and_pearson():
    found = Estimate(0.03, 0.01, 100, 0, shares=Shares(0.03, None, 100))
    limits, exact = interval(found, 0.95, sides=1), stats.binomtest(3, 100).proportion_ci(0.90)
    assert (limits.low, limits.high) == pytest.approx((exact.low, exact.high))


def share_of(changes, clusters):
    """The shares of unweighted changes."""
    ones = np.ones(len(changes))
    error = spread(clusters, ratio(changes, ones))
    return shares(changes, ones, clusters, error, paired=True)


def test_clusters_that_change_as_a_whole_count_once():
    passages = np.repeat(np.arange(200), 5)
    flips = np.random.default_rng(1).choice([0.0, 1.0, -1.0], 200, p=[0.6, 0.2, 0.2])
    found = share_of(np.repeat(flips, 5), passages)
    assert found.n == pytest.approx(200, rel=0.01)


def test_few_changes_in_clusters_are_taken_for_half_alike():
    changes = np.zeros(1000)
    changes[0] = -1
    found = share_of(changes, np.repeat(np.arange(200), 5))
    assert found.n == pytest.approx(1000 / (1 + 4 * 0.5))


def test_few_clusters_that_change_as_a_whole_count_once_too():
    changes = np.zeros(1000)
    changes[:25] = -1
    found = share_of(changes, np.repeat(np.arange(200), 5))
    assert found.n == pytest.approx(200, rel=0.05)


@pytest.mark.parametrize(("size", "effect"), [(1, 1.0), (8, 1 + 7 * 0.5), (25, 1.0)])
def test_the_expected_effect_is_that_of_shares_at_random_changes(size, effect):
    rng = np.random.default_rng(size)
    clusters = np.repeat(np.arange(41), size)
    assert expected_effect(clusters, 0.1) == pytest.approx(effect)
    n = [
        share_of(rng.choice([0.0, 1.0, -1.0], 41 * size, p=[0.9, 0.05, 0.05]), clusters).n
        for _ in range(200)
    ]
    assert 41 * size / float(np.median(n)) == pytest.approx(effect, rel=0.15)


def test_items_pooled_by_task_are_independent_while_few_change():
    tasks = -1 - np.repeat(np.arange(10), 100)
    assert share_of(np.zeros(1000), tasks).n == 1000


def test_a_mean_of_checkpoints_changes_in_smaller_steps_and_is_surer():
    rng = np.random.default_rng(2)
    thirds = rng.choice([0, 1 / 3, -1 / 3], 3000, p=[0.8, 0.1, 0.1])
    found = share_of(thirds, np.arange(3000))
    assert found.n == pytest.approx(9000, rel=0.15)


# ------------------------------------------------------------------ skewness and noise


def test_a_skewed_mean_reaches_farther_on_its_long_side_and_no_less_on_the_other():
    plain, skewed = (interval(Estimate(0, 1, 50, 50, skew=s), 0.95) for s in (0, -0.5))
    assert skewed.low < plain.low
    assert skewed.high == pytest.approx(plain.high)


def test_skewness_is_that_of_the_clusters_sums():
    values = np.random.default_rng(3).exponential(size=60)
    found = spread(np.arange(60), ratio(values, np.ones(60)))
    assert found.skew == pytest.approx(stats.skew(values) / math.sqrt(60))


def test_residuals_of_rounding_have_no_skewness():
    values = np.full(30, 0.1) + 1e-17 * np.arange(30)
    assert spread(np.arange(30), ratio(values, np.ones(30))).skew == 0


def test_checkpoint_noise_joins_with_its_own_degrees_of_freedom():
    both = interval(Estimate(0, 0.3, 0, 0, noise=Noise(0.4, 7)), 0.95)
    items, drift = 0.3 * stats.norm.ppf(0.975), 0.4 * stats.t.ppf(0.975, 5)
    assert both.high == pytest.approx(math.hypot(items, drift))


def test_a_p_value_is_where_the_limit_meets_the_bound():
    found = Estimate(0.03, 0.01, 40, 40, skew=0.2, noise=Noise(0.01, 6))
    p = one_sided_p(found, 0.0, "below")
    assert interval(found, 1 - p, sides=1).low == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("skew", [0.0, 0.3, -0.3])
def test_a_plain_p_value_is_there_too(skew):
    found = Estimate(0.03, 0.015, 40, 40, skew=skew)
    p = one_sided_p(found, 0.0, "below")
    assert interval(found, 1 - p, sides=1).low == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("value", [-1e-9, 0, 1e-9])
def test_no_difference_has_a_p_of_one(value):
    assert p_value(Estimate(value, 0.01, 40, 40)) == pytest.approx(1, abs=1e-6)


# ------------------------------------------------------------------ many tests


def test_benjamini_hochberg_agrees_with_scipy():
    p = list(np.random.default_rng(3).beta(0.3, 2, 50))
    adjusted = stats.false_discovery_control(p)
    assert benjamini_hochberg(p, 0.1) == [bool(value <= 0.1) for value in adjusted]


def test_holm_rejects_until_the_first_that_it_keeps():
    # Thresholds 0.05/4, 0.05/3, 0.05/2, 0.05/1.
    assert holm([0.04, 0.01, 0.03, 0.012], 0.05) == [False, True, False, True]
    assert holm([0.001, 0.02, 0.01], 0.05) == [True, True, True]


def test_a_missing_p_is_no_discovery_and_does_not_count():
    assert benjamini_hochberg([0.04, None], 0.05) == [True, False]
    assert holm([0.04, None], 0.05) == [True, False]
    assert benjamini_hochberg([], 0.05) == holm([None], 0.05)[1:] == []
