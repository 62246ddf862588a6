"""The mean of the last checkpoints as one candidate."""

from __future__ import annotations

import math

import pytest
from factories_stats import published, records, results

from pyr.compare import average, average_of, averaged, compare
from pyr.errors import MeasureError
from pyr.schema import Aggregate, Skipped


def test_a_mean_is_item_by_item_and_weighted():
    a = results(records([1.0, 0.0], weights=[1, 2]), name="a")
    b = results(records([0.0, 4.0], weights=[3, 2]), name="b")
    found = average([a, b]).records
    assert found["value"].tolist() == [0.25, 2.0]
    assert found["weight"].tolist() == [2.0, 2.0]


def test_a_mean_says_what_it_is_made_of():
    found = average([results(records([1.0]), name=name) for name in "abc"]).run
    assert found.id == "c--mean-of-3"
    assert average_of(found) == ("a", "b", "c")
    assert averaged(found) == 3
    assert found.checkpoint.name == "c (mean of 3)"


def test_one_checkpoint_twice_is_no_mean_of_two():
    with pytest.raises(MeasureError, match="one of them twice"):
        average([results(records([1.0])), results(records([0.0]))])


def test_one_checkpoint_is_its_own_mean():
    only = results(records([1.0]))
    assert average([only]) is only
    assert averaged(only.run) == 1


def test_of_a_health_check_the_worst_counts_with_its_reason():
    def health(value, said, name):
        return results(records([value], unit="check", responses=said), name=name)

    found = average([health(0.0, "3 NaN", "a"), health(1.0, "", "b")]).records
    assert (found["value"][0], found["responses"][0]) == (0.0, "3 NaN")


def test_what_was_skipped_or_unfinished_once_is_so_for_the_mean():
    a = results(name="a", skipped=(Skipped("arc", "no data"),))
    b = results(name="b", finished="")
    found = average([a, b, results(name="c")]).run
    assert found.finished == ""
    assert [skip.what for skip in found.skipped] == ["arc"]


def test_published_means_are_averaged_with_the_error_of_one():
    runs = [
        published(Aggregate("arc", "acc", value, 0.02), name=f"at {value}") for value in (0.2, 0.4)
    ]
    found = average(runs).aggregates.iloc[0]
    assert (found["value"], found["se"]) == (pytest.approx(0.3), pytest.approx(0.02))


@pytest.mark.parametrize(
    "other",
    [
        results(records([1.0])),
        results(records([1.0, 2.0], prompt_hash="q")),
        results(records([1.0, 2.0]), suite_digest="another"),
    ],
    ids=["fewer items", "another prompt", "another suite"],
)
def test_runs_that_were_asked_differently_have_no_mean(other):
    with pytest.raises(MeasureError):
        average([other, results(records([1.0, 2.0], prompt_hash="p"))])


def test_nothing_has_no_mean():
    with pytest.raises(MeasureError, match="nothing"):
        average([])


def test_a_mean_of_right_and_wrong_answers_is_still_graded():
    runs = [results(records([1.0] * 60 + [0.0] * 40, items=range(100)), name=n) for n in "abc"]
    (row,) = compare(average(runs), runs[0])
    assert row.delta.shares is not None
    assert math.isfinite(row.delta.se) and row.delta.se > 0
