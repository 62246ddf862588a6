"""What a rule allows, and how it says so."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from factories_gate import KEEP, a_gate, asked, finding, mean, sure, verdict
from factories_stats import records, results
from scipy import stats

from pyr.compare import Interval, compare
from pyr.gate import judge
from pyr.gate.rules import Demand, decide, more_needed, n_needed
from pyr.schema import Estimate, Noise

Z = stats.norm.ppf(0.95)


@pytest.mark.parametrize(
    ("rule", "direction", "delta", "state"),
    [
        ({"not_worse_by": 0.02}, "higher", 0.00, "pass"),
        ({"not_worse_by": 0.02}, "higher", -0.02, "unclear"),
        ({"not_worse_by": 0.02}, "higher", -0.04, "fail"),
        ({"not_worse_by": 0.02}, "lower", 0.00, "pass"),
        ({"not_worse_by": 0.02}, "lower", 0.02, "unclear"),
        ({"not_worse_by": 0.02}, "lower", 0.04, "fail"),
        ({"not_worse_by": 0.02}, "lower", -0.04, "pass"),
        ({"better_by": 0.02}, "higher", 0.04, "pass"),
        ({"better_by": 0.02}, "higher", 0.02, "unclear"),
        ({"better_by": 0.02}, "higher", 0.00, "fail"),
        ({"better_by": 0.02}, "lower", -0.04, "pass"),
        ({"better_by": 0.02}, "lower", -0.02, "unclear"),
        ({"better_by": 0.02}, "lower", 0.04, "fail"),
        ({"at_least": 0.5}, "higher", 0.02, "pass"),
        ({"at_least": 0.5}, "higher", 0.00, "unclear"),
        ({"at_least": 0.5}, "higher", -0.02, "fail"),
        ({"at_most": 0.5}, "lower", -0.02, "pass"),
        ({"at_most": 0.5}, "lower", 0.00, "unclear"),
        ({"at_most": 0.5}, "lower", 0.02, "fail"),
    ],
)
def test_a_rule_passes_fails_or_is_unclear(rule, direction, delta, state):
    se = 0.018 / Z / math.sqrt(2)
    candidate = mean(0.5 + delta, se, direction=direction)
    baseline = mean(0.5, se, direction=direction)
    assert finding({"measure": "arc/acc", **rule}, candidate, baseline).state == state


@pytest.mark.parametrize(
    ("asked", "limits", "state"),
    [
        (Demand(1, "above", inclusive=True), Interval(1, 1), "pass"),
        (Demand(1, "above", inclusive=False), Interval(1, 1), "fail"),
        (Demand(1, "below", inclusive=True), Interval(1, 1), "pass"),
        (Demand(1, "below", inclusive=False), Interval(1, 1), "fail"),
        (Demand(1, "above", inclusive=True), Interval(0.5, 1), "unclear"),
        (Demand(1, "above", inclusive=False), Interval(1, 2), "unclear"),
        (Demand(1, "below", inclusive=True), Interval(1, 2), "unclear"),
        (Demand(1, "above", inclusive=True), Interval(-math.inf, math.inf), "unclear"),
        (Demand(1, "below", inclusive=True), Interval(math.nan, math.nan), "unclear"),
    ],
)
def test_the_bound_itself_belongs_to_one_side(asked, limits, state):
    assert decide(asked, limits) == state


def test_a_bound_is_one_sided_at_the_confidence_of_the_gate():
    found = finding(KEEP, mean(0.5, 0.003), mean(0.5, 0.004), confidence=0.99)
    assert found.bound == pytest.approx(-stats.norm.ppf(0.99) * 0.005)


def test_a_true_drop_at_the_margin_passes_one_time_in_twenty():
    rng = np.random.default_rng(5)
    draws = 400
    before = rng.lognormal(0, 0.5, (draws, 100))
    after = before + rng.normal(-0.1, 0.4, (draws, 100))
    candidate, baseline = (
        results(*(records(values, task=f"task{i}") for i, values in enumerate(run)))
        for run in (after, before)
    )
    found = verdict({"measure": "*/acc", "not_worse_by": 0.1}, candidate, baseline).findings
    passes = sum(each.state == "pass" for each in found)
    assert len(found) == draws
    assert 0 < passes / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


# ------------------------------------------------------------------ sentences


@pytest.mark.parametrize(
    ("rule", "candidate", "baseline", "sentence"),
    [
        (
            {"not_worse_by": 0.02},
            mean(0.4, 0.004, n=1000),
            mean(0.5, 0.003, n=1000),
            "arc/acc fell by 0.1000 (95% bounds -0.1082 to -0.0918, n=1000, unpaired, item noise): "
            "worse by more than the 0.02 allowed.",
        ),
        (
            {"not_worse_by": 0.02},
            mean(0.51, 0.04, n=1000),
            mean(0.5, 0.03, n=1000),
            "arc/acc rose by 0.010 (95% bounds -0.072 to +0.092, n=1000, unpaired, item noise): "
            "cannot tell whether the true change is within the 0.02 allowed; "
            "about 18,000 items would decide it.",
        ),
        (
            {"better_by": 0.02},
            mean(0.6, 0.004),
            mean(0.5, 0.003),
            "arc/acc rose by 0.1000 (95% bounds +0.0918 to +0.1082, n unknown, unpaired, "
            "item noise): a gain of more than the 0.02 asked.",
        ),
        (
            {"better_by": 0.02},
            mean(0.4, 0.03),
            mean(0.5, 0.04),
            "arc/acc fell by 0.100 (95% bounds -0.182 to -0.018, n unknown, unpaired, item noise): "
            "not a gain of more than the 0.02 asked.",
        ),
        (
            {"at_least": 0.25},
            mean(44.9, 1.7, n=5153),
            None,
            "arc/acc is 44.9 (95% bounds 42.1 to 47.7, n=5153, item noise): "
            "at least the 0.25 asked.",
        ),
        (
            {"at_most": 30},
            mean(44.9, 1.7, n=5153),
            None,
            "arc/acc is 44.9 (95% bounds 42.1 to 47.7, n=5153, item noise): "
            "more than the 30 allowed.",
        ),
        (
            {"not_worse_by": 0.02},
            mean(0.51, 0.000004, n=1000),
            mean(0.5, 0.000003, n=1000),
            "arc/acc rose by 0.0100 (95% bounds +0.0100 to +0.0100, n=1000, unpaired, item noise): "
            "better, where worse by 0.02 was allowed.",
        ),
        (
            {"not_worse_by": 0.02},
            mean(0.6, 0.004, n=1000, direction="lower", unit="bits/byte"),
            mean(0.5, 0.003, n=1000, direction="lower", unit="bits/byte"),
            "arc/acc rose by 0.1000 bits/byte (95% bounds +0.0918 to +0.1082, n=1000, unpaired, "
            "item noise): worse by more than the 0.02 allowed.",
        ),
    ],
)
def test_a_finding_is_a_full_sentence(rule, candidate, baseline, sentence):
    assert finding({"measure": "arc/acc", **rule}, candidate, baseline).sentence == sentence


def test_items_that_stand_together_are_counted_as_such():
    candidate = asked(sure(), cluster=[str(n // 2) for n in range(60)])
    assert (
        "n=60 in 30 clusters" in finding({"measure": "arc/acc", "at_least": 2}, candidate).sentence
    )


def test_a_paired_finding_says_so():
    assert (
        ", n=60, paired, item noise): better"
        in finding(KEEP, sure("a"), asked(sure(), value=0.0)).sentence
    )


def test_a_finding_carries_its_rule_and_reason():
    found = finding({**KEEP, "why": "grammar"}, sure("a"), sure("b"))
    assert (str(found.rule), found.why) == ("not_worse_by 0.02", "grammar")


def test_the_items_needed_decide_it_four_times_in_five():
    asked_for = Demand(-0.02, "above", inclusive=True)
    needed = n_needed(asked_for, Estimate(-0.01, 0.05, 400, 0), 0.05)
    assert needed == pytest.approx(400 * ((Z + 0.8416) * 0.05 / 0.01) ** 2, rel=1e-4)
    seen = np.random.default_rng(1).normal(-0.01, 0.05 * math.sqrt(400 / needed), 4000)
    passed = np.mean(seen - Z * 0.05 * math.sqrt(400 / needed) >= -0.02)
    assert passed == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("observed", "said"),
    [
        (Estimate(-0.01, 0.05, 0, 0), "1.5e+02 times its items would decide it"),
        (Estimate(-0.02, 0.05, 400, 0), "what was observed is the bound itself"),
        (Estimate(-0.01, math.inf, 400, 1), "its standard error is unknown"),
        (Estimate(-0.01, 0.05, 400, 0, noise=Noise(0.02, 8)), "means of 17 checkpoints might"),
        (Estimate(-0.01, 0.05, 400, 0, noise=Noise(0.001, 8)), ""),
    ],
)
def test_where_items_cannot_be_counted_what_would_decide_is_said(observed, said):
    assert said in more_needed(Demand(-0.02, "above", inclusive=True), observed, 0.05)


def test_checkpoint_noise_makes_more_items_needed():
    asked_for = Demand(-0.02, "above", inclusive=True)
    plain, noisy = (
        n_needed(asked_for, Estimate(-0.01, 0.05, 400, 0, noise=noise), 0.05)
        for noise in (None, Noise(0.004, 8))
    )
    drift = 0.004 * stats.t.ppf(0.95, 6)
    assert noisy == pytest.approx(plain * 0.01**2 / (0.01**2 - drift**2), rel=0.01)


def test_bounds_say_which_noise_they_hold():
    runs = mean(0.5, 0.01), mean(0.5, 0.01)
    (row,) = compare(*runs)
    noisy = dataclasses.replace(row.delta, noise=Noise(0.01, 7))
    (found,) = judge(a_gate(KEEP), *runs, [dataclasses.replace(row, delta=noisy)]).findings
    assert "unpaired, noise of items and of 7 checkpoints)" in found.sentence


@pytest.mark.parametrize(
    "observed",
    [Estimate(-0.02, 0.05, 400, 0), Estimate(0, 0.05, 0, 0), Estimate(0, math.inf, 400, 0)],
)
def test_items_needed_are_unknown_on_the_bound_or_without_n_or_error(observed):
    assert n_needed(Demand(-0.02, "above", inclusive=True), observed, 0.05) is None
