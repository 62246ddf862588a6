"""Limits, their error rates, and corrections for many tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pyr.compare import (
    benjamini_hochberg,
    holm,
    interval,
)
from pyr.compare.statistics import graded_pairs_se
from pyr.schema import Estimate


def test_few_clusters_use_t_and_unknown_ones_the_normal():
    assert interval(Estimate(0, 1, 9, 5), 0.95).high == pytest.approx(stats.t.ppf(0.975, 4))
    assert interval(Estimate(0, 1, 0, 0), 0.95).high == pytest.approx(stats.norm.ppf(0.975))


def test_one_sided_limits_spend_the_whole_error_on_one_side():
    found = Estimate(0, 1, 0, 0)
    assert interval(found, 0.95, sides=1).low == pytest.approx(interval(found, 0.90).low)


@pytest.mark.parametrize("n", [30, 100, 1000])
@pytest.mark.parametrize(
    ("gains", "losses"), [(0, 0.02), (0.02, 0.04), (0, 0.05), (0.05, 0.1), (0.1, 0.12)]
)
def test_a_true_drop_at_the_margin_passes_at_most_one_time_in_twenty(n, gains, losses):
    rng = np.random.default_rng([n, int(1000 * gains), int(1000 * losses)])
    draws = 600
    flips = rng.multinomial(n, [gains, losses, 1 - gains - losses], size=draws)
    passes = covers = 0
    for gained, lost, _ in flips:
        changes = np.repeat([1.0, -1.0, 0.0], [gained, lost, n - gained - lost])
        linear = changes.std(ddof=1) / math.sqrt(n)
        se = max(linear, graded_pairs_se(changes, np.ones(n)))
        found = Estimate((gained - lost) / n, se, n, n)
        passes += interval(found, 0.95, sides=1).low >= gains - losses
        limits = interval(found, 0.95)
        covers += limits.low <= gains - losses <= limits.high
    noise = math.sqrt(0.05 * 0.95 / draws)
    assert passes / draws <= 0.05 + 3 * noise
    assert covers / draws >= 0.95 - 3 * noise


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
