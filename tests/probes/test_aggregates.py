"""Aggregates that are no mean of items, held against lm-eval's own and against a bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from pyr.compare import compare, estimate
from pyr.probes.aggregates import groups_of, influences
from pyr.schema import Record
from pyr.store.tables import records_frame, to_table

RNG = np.random.default_rng(7)


def mcc(raws) -> float:
    gold, chosen = zip(*raws, strict=True)
    return float(matthews_corrcoef(gold, chosen))


def ratio(raws) -> float:
    """An aggregate of which the delta method gives the error."""
    right, long = zip(*raws, strict=True)
    return sum(right) / sum(long)


def answers(gold, share: float):
    """Chosen answers that are right this often."""
    right = RNG.random(len(gold)) < share
    return [(int(g), int(g if ok else 1 - g)) for g, ok in zip(gold, right, strict=True)]


def frame(aggregate, raws, clusters=None):
    items = [str(number) for number in range(len(raws))]
    clusters = clusters or dict.fromkeys(items, "")
    found = influences(aggregate, dict(zip(items, raws, strict=True)), groups_of(items, clusters))
    rows = [
        Record("t", "m", item, each.value, each.weight, f"t {each.group}", kind="aggregate")
        for item, each in found.items()
    ]
    return records_frame([("harness", to_table(Record, rows, where="test"))])


def bootstrap(aggregate, *samples, clusters=None, draws: int = 2000) -> float:
    """The standard error of the aggregate, or of the difference of two over the same items."""
    count = len(samples[0])
    units = [[i] for i in range(count)] if clusters is None else clusters
    values = []
    for _ in range(draws):
        chosen = [i for unit in RNG.integers(0, len(units), len(units)) for i in units[unit]]
        one, *other = [aggregate([sample[i] for i in chosen]) for sample in samples]
        values.append(one - other[0] if other else one)
    return float(np.std(values))


@pytest.mark.parametrize("count", [60, 2000])
def test_the_value_is_the_aggregates_and_its_error_a_bootstraps(count: int) -> None:
    raws = answers(RNG.integers(0, 2, count), 0.75)
    found = estimate(frame(mcc, raws))
    assert found.value == pytest.approx(mcc(raws), abs=1e-12)
    assert found.se == pytest.approx(bootstrap(mcc, raws, draws=600), rel=0.2)
    assert found.n == count
    assert found.clusters == min(count, 100)


def test_a_ratio_has_the_error_of_the_delta_method() -> None:
    raws = [(float(x), float(x + y)) for x, y in RNG.gamma(2.0, size=(100, 2))]
    found = estimate(frame(ratio, raws))
    right, long = map(np.array, zip(*raws, strict=True))
    residuals = (right - found.value * long) / long.sum()
    assert found.se == pytest.approx(np.sqrt(np.sum(residuals**2) * 100 / 99), rel=0.02)


def test_the_difference_of_two_runs_has_the_error_of_a_paired_bootstrap() -> None:
    gold = RNG.integers(0, 2, 1000)
    first = answers(gold, 0.7)
    # The second run changes every tenth answer of the first: paired, the error is small.
    second = [(g, 1 - c if RNG.random() < 0.1 else c) for g, c in first]
    rows = [frame(mcc, raws) for raws in (first, second)]
    from factories_stats import results

    [row] = compare(results(rows[0]), results(rows[1]))
    assert row.paired
    assert row.delta.value == pytest.approx(mcc(first) - mcc(second), abs=1e-12)
    assert row.delta.se == pytest.approx(bootstrap(mcc, first, second, draws=600), rel=0.2)
    assert row.delta.se < 0.7 * row.candidate.se


def test_a_cluster_is_left_out_whole() -> None:
    units = [list(range(5 * i, 5 * i + 5)) for i in range(80)]
    gold = [g for _ in units for g in [int(RNG.integers(0, 2))] * 5]
    raws = [each for i in range(80) for each in [answers(gold[5 * i : 5 * i + 1], 0.7)[0]] * 5]
    clusters = {str(i): f"c{i // 5}" for i in range(400)}
    found = estimate(frame(mcc, raws, clusters))
    assert found.clusters == 80
    assert found.se == pytest.approx(bootstrap(mcc, raws, clusters=units, draws=600), rel=0.25)


def test_the_groups_are_the_same_for_every_checkpoint_and_of_like_size() -> None:
    order = [str(number) for number in range(1050)]
    groups = groups_of(order, dict.fromkeys(order, ""))
    assert groups == groups_of(order, dict.fromkeys(order, ""))
    sizes = np.bincount(list(groups.values()))
    assert len(sizes) == 100
    assert set(sizes) == {10, 11}


@pytest.mark.parametrize(
    "aggregate",
    [lambda raws: float("nan") if len(raws) < 9 else 0.5, lambda raws: 0.5 if raws[8] else 0],
)
def test_an_aggregate_that_fails_on_fewer_items_has_no_known_error(aggregate) -> None:
    found = estimate(frame(aggregate, [1.0] * 9))
    assert (found.value, found.se) == (0.5, np.inf)


def test_an_aggregate_that_would_take_too_long_has_no_known_error(monkeypatch) -> None:
    monkeypatch.setattr("pyr.probes.aggregates._MOST_SECONDS", 0.0)
    assert estimate(frame(mcc, answers([0, 1] * 30, 0.7))).se == np.inf


def test_an_aggregate_that_is_no_number_gives_nothing() -> None:
    assert influences(lambda raws: {"a": 1}, {"0": 1, "1": 2}, {"0": 0, "1": 1}) is None


@pytest.mark.parametrize("name", ["bleu", "chrf", "chrfpp", "ter"])
def test_scores_of_translations_from_sums_over_sentences_are_lm_evals(monkeypatch, name) -> None:
    from lm_eval.api import metrics

    words = "the river rose over the field and nobody saw the old stone house".split()
    raws = [(" ".join(RNG.choice(words, 9)), " ".join(RNG.choice(words, 9))) for _ in range(30)]
    aggregate = getattr(metrics, name)
    fast = frame(aggregate, raws)
    monkeypatch.setattr("pyr.probes.aggregates._from_sentences", lambda *_: None)
    slow = frame(aggregate, raws)
    assert fast["value"].to_numpy() == pytest.approx(slow["value"].to_numpy(), abs=1e-9)


@pytest.mark.parametrize("value", [0.0, 1.0, 100.0])
def test_an_aggregate_that_no_group_changes_is_not_taken_for_right_and_wrong(value: float) -> None:
    from factories_stats import results

    few, many = (frame(lambda raws: value, [1] * count) for count in (40, 400))
    assert estimate(few).se == np.inf
    assert estimate(few).shares is estimate(many).shares is None
    [row] = compare(results(few), results(few))
    assert row.delta.shares is None
    assert row.delta.se == np.inf
