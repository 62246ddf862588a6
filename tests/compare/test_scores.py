"""Scores of one run, against bootstraps, scipy and sums made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from factories_stats import records, results
from scipy import stats

from pyr.compare import (
    compare,
    estimate,
    interval,
)
from pyr.errors import MeasureError


def test_a_score_is_the_weighted_mean():
    assert estimate(records([1.0, 4.0], weights=[3, 1])).value == 1.75


def test_unit_weights_give_the_textbook_standard_error():
    values = [0.3, 2.1, 1.7, -0.4, 5.0]
    found = estimate(records(values))
    assert found.se == pytest.approx(np.std(values, ddof=1) / math.sqrt(5), rel=1e-12)
    assert (found.n, found.clusters) == (5, 5)


def test_a_clustered_error_is_the_sum_made_by_hand():
    # mean 2.5; sums of residuals by cluster -2 and 2; sqrt(2 / 1 * (4 + 4)) / 4 = 1
    found = estimate(records([1.0, 2.0, 3.0, 4.0], clusters=["a", "a", "b", "b"]))
    assert (found.value, found.se, found.clusters) == (2.5, pytest.approx(1.0), 2)


def test_records_without_a_cluster_are_each_their_own():
    assert estimate(records([1.0, 2.0, 3.0], clusters=["a", "", ""])).clusters == 3


def test_a_cluster_and_an_item_of_the_same_name_stay_apart():
    found = estimate(records([1.0, 2.0, 3.0], items=[0, 1, 2], clusters=["", "0", "0"]))
    assert found.clusters == 2


def test_a_ratio_error_agrees_with_the_bootstrap():
    rng = np.random.default_rng(1)
    weights = rng.lognormal(4, 1, 400)
    values = 1 + rng.normal(0, 0.3, 400) + 10 / weights
    found = estimate(records(values, weights=weights))
    draws = rng.integers(0, 400, (4000, 400))
    means = (values * weights)[draws].sum(1) / weights[draws].sum(1)
    assert found.se == pytest.approx(means.std(), rel=0.06)


def test_the_error_of_an_accuracy_is_the_binomial_one():
    found = estimate(records([1.0] * 3000 + [0.0] * 7000))
    binomial = math.sqrt(0.3 * 0.7 / 9999)
    assert found.se == pytest.approx(binomial, rel=1e-3)


def test_a_perfect_score_is_not_certain():
    found = estimate(records([1.0] * 30))
    exact = stats.binomtest(30, 30).proportion_ci(0.90).low
    assert interval(found, 0.95, sides=1).low <= exact < 0.91


@pytest.mark.parametrize("frame", [records([0.5]), records([0.5, 1.5], clusters=["a", "a"])])
def test_one_item_or_one_cluster_has_no_known_error(frame):
    found = estimate(frame)
    assert found.se == math.inf
    assert interval(found, 0.95).low == -math.inf


def test_health_checks_are_a_census_without_error():
    assert estimate(records([1.0, 0.0, 1.0, 1.0], unit="check")).se == 0


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_value_that_is_no_number_is_named(wrong):
    with pytest.raises(MeasureError, match=r"arc/acc: 1 of 3 .*item 1"):
        estimate(records([0.5, wrong, 1.0]))


def test_no_records_have_no_mean():
    with pytest.raises(MeasureError, match="no records"):
        estimate(records([]))


def test_weights_that_are_all_zero_are_refused():
    with pytest.raises(MeasureError, match="weights are zero"):
        estimate(records([1.0, 2.0], weights=[0, 0]))


# ------------------------------------------------------------------ groups


def grouped(*tasks, **columns):
    frames = [
        records(values, task=f"mmlu_{i}", group="mmlu", **columns) for i, values in enumerate(tasks)
    ]
    return results(*frames)


def test_a_group_is_the_mean_over_all_its_items_clustered_by_task():
    a, b = grouped([3.0, 5.0], [1.0, 1.0, 2.0]), grouped([2.0, 4.0], [1.0, 1.0, 1.0])
    pooled = compare(a, b)[0]
    assert pooled.measure == "mmlu/acc"
    assert pooled.group == "mmlu"
    assert pooled.candidate.value == pytest.approx(12 / 5)
    assert (pooled.delta.value, pooled.delta.n) == (pytest.approx(3 / 5), 5)
    # Without a task the difference is the other's: 1/3 of 3 items, 1 of 2.
    by_hand = math.sqrt(((1 / 3 - 3 / 5) ** 2 + (1 - 3 / 5) ** 2) / 2)
    assert (pooled.delta.clusters, pooled.delta.se) == (2, pytest.approx(by_hand))


def test_a_group_keeps_the_clusters_that_records_name():
    pooled = compare(grouped([1.0, 2.0], [3.0, 4.0], clusters=["p", "q"]), None)[0]
    assert pooled.candidate.clusters == 2
    mixed = compare(grouped([1.0, 2.0], [3.0, 4.0], clusters=["p", ""]), None)[0]
    assert mixed.candidate.clusters == 3


def test_a_group_of_one_task_is_as_sure_as_the_task():
    group, task = compare(grouped([1.0, 2.0, 4.0]), None)
    assert (group.measure, task.measure) == ("mmlu/acc", "mmlu_0/acc")
    assert group.candidate == task.candidate


def test_a_group_named_like_its_task_has_no_second_row():
    rows = compare(results(records([1.0, 2.0], task="arc", group="arc")), None)
    assert len(rows) == 1
