"""What a gate can resolve is known before anything is measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
from factories_stats import a_run, records, results

from pyr.compare import interval
from pyr.gate import power
from pyr.gate.spec import Gate, Rule
from pyr.schema import Checkpoint, Estimate, Noise, Suite

TAIL = 0.05


def keeps(measure="arc/acc", margin=0.05):
    return Gate(name="g", keeps=[Rule(measure=measure, not_worse_by=margin)])


def only(gate, known):
    (found,) = power.check(gate, known)
    return found


# ------------------------------------------------------------------ the finest margin


@pytest.mark.parametrize("n", [100, 1000])
def test_an_unchanged_skill_passes_the_finest_margin_four_times_in_five(n):
    rng = np.random.default_rng(n)
    margin = power.finest_margin(power.assumed(n).error, TAIL)
    flips = rng.multinomial(n, [0.05, 0.05, 0.9], size=300)
    passes = 0
    for gained, lost, _ in flips:
        error = power.assumed(n).error
        seen = Estimate(
            (gained - lost) / n, error.se, n, n, shares=type(error.shares)(gained / n, lost / n, n)
        )
        passes += interval(seen, 1 - TAIL, sides=1).low >= -margin
    assert passes / 300 == pytest.approx(0.8, abs=0.08)


def test_for_many_items_it_is_the_textbook_sum_of_two_quantiles():
    error = Estimate(0.0, 0.01, 10_000, 0)
    assert power.finest_margin(error, TAIL) == pytest.approx((1.645 + 0.842) * 0.01, rel=1e-3)


def test_checkpoint_noise_makes_it_coarser():
    plain, noisy = Estimate(0, 0.01, 100, 0), Estimate(0, 0.01, 100, 0, noise=Noise(0.02, 8))
    assert power.finest_margin(noisy, TAIL) > 2 * power.finest_margin(plain, TAIL)


# ------------------------------------------------------------------ rules


def test_a_margin_that_can_be_resolved_is_fine():
    found = only(keeps(margin=0.1), {"arc/acc": power.assumed(100)})
    assert (found.said, found.n, found.n_needed) == ("resolves", 100, None)


def test_of_one_that_cannot_the_items_and_the_margin_that_would_do_are_named():
    found = only(keeps(margin=0.02), {"arc/acc": power.assumed(100)})
    assert found.said == "cannot resolve"
    enough = power.assumed(found.n_needed).error
    assert power.finest_margin(enough, TAIL) <= 0.02
    assert (found.n, found.finest) == (100, pytest.approx(0.097, abs=0.0005))
    assert power.remedy(found) == f"allow 0.098, or measure {found.n_needed:,} items"


def test_no_number_of_items_resolves_what_checkpoints_differ_by():
    error = Estimate(0.0, 0.001, 10_000, 0, noise=Noise(0.02, 8))
    found = only(keeps(margin=0.02), {"arc/acc": power.Resolution(error, "measured")})
    assert found.n_needed is None
    assert "more items would not do" in power.remedy(found)


def test_a_rule_that_nothing_is_known_of_is_unknown():
    assert only(keeps(), {}).said == "unknown"


def test_health_needs_no_resolution():
    gate = Gate(name="g", guards=[Rule(measure="health/*", at_least=1)])
    assert power.check(gate, {}) == []


@pytest.mark.parametrize("word", [{"better_by": 0.001}, {"at_least": 0.2}])
def test_other_words_are_told_their_resolution_(word):
    gate = Gate(name="g", guards=[Rule(measure="arc/acc", **word)])
    found = only(gate, {"arc/acc": power.assumed(100)})
    assert found.said == "resolves"
    assert found.finest > 0


# ------------------------------------------------------------------ where it is known from


def runs_of(frames):
    def at(step):
        return Checkpoint(
            path="", name=f"out-step{step}", digest=str(step), format="safetensors", step=step
        )

    return [results(frame, name=f"step{i}", checkpoint=at(i)) for i, frame in enumerate(frames)]


def test_history_tells_the_median_error_and_the_noise():
    rng = np.random.default_rng(3)
    level = rng.normal(0, 1, 200)
    frames = [records(level + 0.05 * (i % 2) + rng.normal(0, 0.1, 200)) for i in range(6)]
    found = power.from_history(runs_of(frames))["arc/acc"]
    assert found.source == "measured on 5 pairs of stored runs"
    assert found.error.se == pytest.approx(0.1 * math.sqrt(2 / 200), rel=0.15)
    assert found.error.noise.sd > 0.02


def test_history_of_answers_keeps_the_share_that_changes():
    rng = np.random.default_rng(4)
    frames = [records((rng.random(500) < 0.5).astype(float)) for _ in range(3)]
    shares = power.from_history(runs_of(frames))["arc/acc"].error.shares
    assert shares.gained == shares.lost == pytest.approx(0.25, abs=0.03)


def test_one_run_is_no_history():
    assert power.from_history([results(records([1.0, 0.0]), **{"name": a_run().id})]) == {}


def test_a_suites_limits_are_the_items_of_its_accuracies():
    tasks = ["piqa", {"task": "arc", "limit": 100}]
    suite = Suite.model_validate(
        {"name": "s", "probes": [{"probe": "harness", "limit": 50, "tasks": tasks}]}
    )
    gate = Gate(
        name="g",
        keeps=[
            Rule(measure=name, not_worse_by=0.1)
            for name in ("arc/acc_norm", "piqa/acc", "arc/bits_per_byte", "other/acc")
        ],
    )
    found = power.from_limits(suite, gate, {})
    assert {name: each.error.n for name, each in found.items()} == {
        "arc/acc_norm": 100,
        "piqa/acc": 50,
    }


def cloned(size, count):
    """Items of `count` clusters in a fair order, `size` of each."""
    return [f"c{number}" for _ in range(size) for number in range(count)]


def test_known_items_are_counted_with_their_clusters():
    suite = Suite.model_validate(
        {"name": "s", "probes": [{"probe": "harness", "tasks": ["arc", {"task": "quiz"}]}]}
    )
    gate = Gate(
        name="g", keeps=[Rule(measure=f"{task}/acc", not_worse_by=0.1) for task in ("arc", "quiz")]
    )
    found = power.from_limits(suite, gate, {"arc": cloned(8, 20), "quiz": [""] * 50})
    assert (found["arc/acc"].error.n, found["arc/acc"].error.clusters) == (160, 20)
    assert found["arc/acc"].error.shares.n == pytest.approx(160 / (1 + 7 * 0.5))
    assert "in 20 clusters" in found["arc/acc"].source
    assert found["quiz/acc"].error == power.assumed(50).error
    assert "independent items" in found["quiz/acc"].source


def test_more_items_are_named_only_where_they_are_there():
    suite = {"arc/acc": power.assumed(200, cloned(30, 50))}
    found = only(keeps(margin=0.06), suite)
    assert found.said == "cannot resolve"
    # From here on thirty clusters change four times in five, and need no assumption.
    assert 50 * 11 < found.n_needed < 50 * 13
    few = only(keeps(margin=0.06), {"arc/acc": power.assumed(200, cloned(30, 16))})
    assert few.n_needed is None
    assert "all 480 that there are do not" in power.remedy(few)
