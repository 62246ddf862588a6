"""Differences of two runs, against bootstraps, scipy and sums made by hand."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from factories_stats import published, records, results
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pyr.compare import (
    compare,
    interval,
)
from pyr.errors import MeasureError
from pyr.schema import Aggregate, Estimate, NoteCode


def one(candidate, baseline):
    """The only comparison of two runs of one measure."""
    (row,) = compare(candidate, baseline)
    return row


def two_runs(values, others, **columns):
    return results(records(values, **columns)), results(records(others, **columns))


# ------------------------------------------------------------------ pairs


def test_a_paired_difference_is_the_one_made_by_hand():
    # changes 2, 0, 1: mean 1, standard deviation 1
    row = one(*two_runs([3.0, 2.0, 5.0], [1.0, 2.0, 4.0]))
    assert row.paired
    assert row.delta.value == pytest.approx(1)
    assert row.delta.se == pytest.approx(1 / math.sqrt(3))
    assert row.p == pytest.approx(stats.ttest_1samp([2, 0, 1], 0).pvalue)
    assert row.high == pytest.approx(1 + stats.t.ppf(0.975, 2) / math.sqrt(3))


def test_items_are_paired_by_name_not_by_place():
    candidate = results(records([3.0, 2.0, 1.0], items=["c", "b", "a"]))
    baseline = results(records([1.0, 2.0, 3.0], items=["a", "b", "c"]))
    row = one(candidate, baseline)
    assert (row.delta.value, row.p) == (0, 1)


def test_a_paired_error_agrees_with_the_clustered_bootstrap_where_weights_differ():
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(120), 4)
    topic, size = rng.normal(0, 0.4, 120)[clusters], rng.lognormal(3, 0.7, 480)
    v_b, w_b = 2 + topic + rng.normal(0, 0.2, 480), size
    v_c = v_b + 0.1 * topic + rng.normal(0, 0.1, 480)
    w_c = size * rng.uniform(0.8, 1.2, 480)
    row = one(
        results(records(v_c, weights=w_c, clusters=clusters)),
        results(records(v_b, weights=w_b, clusters=clusters)),
    )
    parts = [np.bincount(clusters, part) for part in (v_c * w_c, w_c, v_b * w_b, w_b)]
    draws = rng.integers(0, 120, (4000, 120))
    a, b, c, d = (part[draws].sum(1) for part in parts)
    assert row.delta.clusters == 120
    assert row.delta.se == pytest.approx((a / b - c / d).std(), rel=0.06)


@pytest.mark.parametrize(("gained", "lost"), [(3, 12), (0, 1), (7, 7), (0, 0), (9, 1)])
def test_few_changed_answers_get_the_exact_mcnemar_p(gained, lost):
    candidate = [1.0] * gained + [0.0] * lost + [1.0] * 40
    baseline = [0.0] * gained + [1.0] * lost + [1.0] * 40
    exact = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert one(*two_runs(candidate, baseline)).p == pytest.approx(exact)


def test_clustered_answers_do_not_get_the_mcnemar_p():
    # One passage flips as a whole: two independent changes, not eight.
    candidate = [0.0] * 8 + [1.0] * 32
    passages = [i // 4 for i in range(40)]
    assert one(*two_runs(candidate, [1.0] * 40, clusters=passages)).p > 0.1


def test_thirty_unchanged_answers_do_not_prove_a_margin_of_two_points():
    row = one(*two_runs([1.0] * 20 + [0.0] * 10, [1.0] * 20 + [0.0] * 10))
    bound = interval(row.delta, 0.95, sides=1).low
    # With no loss in 30, a true loss of 1 - 0.05^(1/30) is still seen in one case of twenty.
    assert bound <= -(1 - 0.05 ** (1 / 30)) < -0.02


def test_graded_answers_that_did_not_change_are_not_certain_either():
    values = [0.0, 1 / 3, 0.5, 1.0] * 10
    assert one(*two_runs(values, values, weights=[1, 3, 2, 1] * 10)).delta.se > 0.04


def test_the_same_bits_per_byte_on_few_documents_leave_open_what_others_would_lose():
    row = one(*two_runs([1.234, 0.987, 1.5], [1.234, 0.987, 1.5]))
    assert (row.delta.value, row.delta.se, row.p) == (0, math.inf, 1)
    assert "no item changed, but 3 are too few" in row.note.text


def test_the_same_on_fifty_nine_documents_are_no_difference():
    values = list(np.random.default_rng(1).normal(1, 0.1, 59))
    row = one(*two_runs(values, values))
    assert (row.delta.value, row.delta.se, row.p) == (0, 0, 1)


def test_texts_without_weight_say_nothing():
    # One text of sixteen has a style: its distance is known, and how others would differ is not.
    weights = [1.0] + [0.0] * 15
    candidate = results(records([0.31] + [0.0] * 15, weights=weights))
    row = one(candidate, results(records([0.2] * 16)))
    assert row.candidate.se == math.inf
    assert row.delta.se == math.inf


def test_grades_of_which_some_weigh_nothing_are_counted_where_both_weigh():
    candidate = results(records([1.0] * 16, weights=[1.0] * 15 + [0.0]))
    row = one(candidate, results(records([1.0] * 16)))
    assert row.delta.shares.n == pytest.approx(15)
    assert interval(row.delta, 0.95, sides=1).low <= -(1 - 0.05 ** (1 / 15))


@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_heavy_documents_do_not_hide_their_own_error(spread):
    """One-sided 95% limits of a mean by bytes, whose weights are log-normal, miss about 5%."""
    rng = np.random.default_rng(3)
    ours, theirs = [], []
    for draw in range(400):
        weights = np.exp(rng.normal(0, spread, 10))
        values = rng.normal(0, 1, 10)
        # Every draw is a task, so that one call compares them all.
        ours.append(records(values, task=str(draw), weights=weights))
        theirs.append(records([0.0] * 10, task=str(draw), weights=weights))
    rows = compare(results(*ours), results(*theirs))
    assert len(rows) == 400
    missed = sum(interval(row.delta, 0.95, sides=1).low > 0 for row in rows)
    assert missed / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


@given(
    st.lists(
        st.tuples(st.floats(-10, 10), st.floats(-10, 10), st.floats(0.1, 100), st.integers(0, 5)),
        min_size=2,
        max_size=30,
    ),
    st.floats(1e-3, 1e3),
)
@settings(max_examples=20, deadline=None)
def test_comparing_is_antisymmetric_and_blind_to_the_scale_of_weights(rows, scale):
    ours, theirs, weights, clusters = (np.array(column) for column in zip(*rows, strict=True))
    a, b = two_runs(ours, theirs, weights=weights, clusters=clusters)
    c, d = two_runs(ours, theirs, weights=weights * scale, clusters=clusters)
    there, back, scaled = one(a, b), one(b, a), one(c, d)
    assert there.delta.value == pytest.approx(-back.delta.value, abs=1e-9)
    assert there.delta.se == pytest.approx(back.delta.se, abs=1e-9)
    assert there.delta.value == pytest.approx(scaled.delta.value, abs=1e-9)
    assert there.delta.se == pytest.approx(scaled.delta.se, abs=1e-9)


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=40), st.randoms())
@settings(max_examples=20, deadline=None)
def test_gaining_is_losing_seen_from_the_other_side(values, random):
    others = random.sample(values, len(values))
    there, back = one(*two_runs(values, others)), one(*two_runs(others, values))
    assert there.low == pytest.approx(-back.high)
    assert there.p == pytest.approx(back.p)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20))
@settings(max_examples=20, deadline=None)
def test_a_run_does_not_differ_from_itself(values):
    row = one(*two_runs(values, values))
    assert row.delta.value == 0
    assert row.p == 1


# ------------------------------------------------------------------ what cannot be paired


def test_runs_that_share_some_items_are_paired_on_those():
    candidate = results(records([1.0, 2.0, 9.0], items=[0, 1, 2]))
    baseline = results(records([2.0, 4.0, 7.0], items=[0, 1, 3]))
    row = one(candidate, baseline)
    assert row.paired
    assert (row.delta.value, row.delta.n, row.candidate.n) == (-1.5, 2, 3)
    assert "paired on the 2 items" in row.note.text


@pytest.mark.parametrize(
    ("column", "code"),
    [("prompt_hash", NoteCode.OTHER_PROMPTS), ("doc_hash", NoteCode.OTHER_DOCUMENTS)],
)
def test_items_that_were_asked_differently_are_no_pairs(column, code):
    candidate = results(records([1.0, 2.0, 3.0], **{column: ["x", "y", "z"]}))
    baseline = results(records([1.0, 2.0, 3.0], **{column: ["x", "y", "other"]}))
    row = one(candidate, baseline)
    assert not row.paired
    assert row.note.code is code
    assert "1 of 3" in row.note.text
    assert row.delta.se == pytest.approx(math.sqrt(2 / 3))


def test_a_hash_that_one_run_lacks_does_not_part_a_pair():
    candidate = results(records([1.0, 2.0], prompt_hash="x"))
    assert one(candidate, results(records([1.0, 2.0]))).paired


def test_runs_without_a_common_item_asked_other_documents():
    a, b = results(records([1.0, 2.0])), results(records([1.0, 2.0], items=[7, 8]))
    assert one(a, b).note.code is NoteCode.OTHER_DOCUMENTS


def test_published_means_are_compared_as_independent():
    a = published(Aggregate("arc", "acc", 0.50, 0.03, n=300))
    b = published(Aggregate("arc", "acc", 0.40, 0.04))
    row = one(a, b)
    assert not row.paired
    assert row.delta == Estimate(pytest.approx(0.1), pytest.approx(0.05), 0, 0)
    assert row.p == pytest.approx(2 * stats.norm.sf(2))


@pytest.mark.parametrize("se", [None, 0.0])
def test_a_published_mean_without_an_error_has_a_difference_but_no_interval(se):
    a, b = published(Aggregate("arc", "acc", 1.0, se)), published(Aggregate("arc", "acc", 0.4, 0.1))
    row = one(a, b)
    assert row.delta.value == pytest.approx(0.6)
    assert (row.low, row.high, row.p) == (None, None, None)


def test_records_against_a_published_mean_are_unpaired():
    row = one(results(records([1.0, 2.0, 3.0])), published(Aggregate("arc", "acc", 1.2, 0.2)))
    assert not row.paired
    assert row.delta.se == pytest.approx(math.hypot(1 / math.sqrt(3), 0.2))


@pytest.mark.parametrize(("ours", "theirs"), [(25.0, 0.3), (0.3, 25.0), (1.0, 88.0)])
def test_a_share_and_a_percentage_are_not_compared(ours, theirs):
    sides = [published(Aggregate("arc", "acc", value, 0.01, n=500)) for value in (ours, theirs)]
    row = one(*sides)
    assert row.delta is None and "the scales differ" in str(row.note)


def test_a_score_that_may_be_over_one_is_compared():
    sides = [published(Aggregate("arc", "bleu", value, 0.01, n=500)) for value in (0.7, 1.4)]
    assert one(*sides).delta.value == pytest.approx(-0.7)


def test_unpaired_degrees_of_freedom_are_those_of_welch():
    ours, theirs = [1.0, 2.0, 4.0, 8.0], [1.0, 1.5, 2.5]
    row = one(results(records(ours)), results(records(theirs, items=[10, 11, 12])))
    welch = stats.ttest_ind(ours, theirs, equal_var=False)
    assert row.delta.clusters - 1 == math.floor(welch.df)
    assert row.p == pytest.approx(2 * stats.t.sf(abs(welch.statistic), math.floor(welch.df)))


def test_a_run_alone_has_scores_and_no_notes():
    row = one(results(records([1.0, 2.0])), None)
    assert (row.candidate.value, row.delta, row.note) == (1.5, None, None)


def test_what_only_one_run_measured_is_said():
    a, b = results(records([1.0, 2.0], task="a")), results(records([1.0, 2.0], task="b"))
    first, second = compare(a, b)
    assert (first.task, str(first.note)) == ("a", "not measured for the baseline")
    assert (second.task, str(second.note)) == ("b", "not measured for the candidate")


def test_a_value_that_is_no_number_spoils_its_own_measure_only():
    bad, good = records([1.0, math.nan], task="a"), records([1.0, 2.0], task="b")
    first, second = compare(results(bad, good), None)
    assert first.candidate is None
    assert "1 of 2 values are not finite" in first.note.text
    assert second.candidate.value == 1.5


def test_an_item_recorded_twice_is_refused():
    with pytest.raises(MeasureError, match="item 3 is recorded twice"):
        compare(results(records([1.0, 2.0, 2.0], items=[1, 3, 3])), None)


# ------------------------------------------------------------------ speed


def test_a_hundred_thousand_records_over_sixty_tasks_take_no_second():
    rng = np.random.default_rng(4)
    hashes = [f"{i:064x}" for i in range(1700)]

    def run():
        frames = [
            records(rng.integers(0, 2, 1700), task=f"t{i}", group="all", doc_hash=hashes)
            for i in range(60)
        ]
        return results(*frames)

    a, b = run(), run()
    # Processor time, as other work may share the machine.
    start = time.process_time()
    assert len(compare(a, b)) == 61
    assert time.process_time() - start < 1


LIKELY = [f"[[-1.{number}, false], [-2.{number}, true]]" for number in range(200)]


def test_the_same_log_likelihoods_to_the_last_digit_are_no_sample():
    values = [1.0, 0.0] * 100
    one, other = (
        results(records(values, clusters=[n % 6 for n in range(200)], responses=LIKELY))
        for _ in range(2)
    )
    (row,) = compare(one, other)
    assert (row.delta.value, row.delta.se, row.delta.shares) == (0.0, 0.0, None)
    assert (row.low, row.high) == (0.0, 0.0)


def test_what_is_the_same_in_one_task_is_a_sample_where_another_task_changed():
    values = [1.0, 0.0] * 100
    shifted = [*LIKELY[:-1], "[[-7.0, false], [-8.0, true]]"]
    one, other = (
        results(
            records(values, task="words", responses=LIKELY),
            records(values, task="sums", responses=said),
        )
        for said in (LIKELY, shifted)
    )
    assert [row.delta.se > 0 for row in compare(one, other)] == [True, True]


def test_written_answers_of_a_model_that_is_the_same_are_no_sample():
    one, other = (
        results(
            records([1.0, 0.0] * 100, task="words", responses=LIKELY),
            records([0.7, 0.1], task="says", responses='["five"]'),
        )
        for _ in range(2)
    )
    assert [row.delta.se for row in compare(one, other)] == [0, 0]


def test_the_same_choices_by_other_log_likelihoods_are_a_sample():
    values = [1.0, 0.0] * 100
    shifted = [text.replace("-1.", "-3.") for text in LIKELY]
    one, other = (results(records(values, responses=responses)) for responses in (LIKELY, shifted))
    (row,) = compare(one, other)
    assert row.delta.se > 0


def test_the_same_written_answers_are_a_sample():
    one, other = (results(records([1.0, 0.0] * 20, responses='["five"]')) for _ in range(2))
    (row,) = compare(one, other)
    assert row.delta.se > 0
