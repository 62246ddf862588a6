"""Many rules: a false fail may not grow with their number."""

from __future__ import annotations

import numpy as np
import pytest
from factories_gate import a_gate, mean, verdict
from factories_stats import published, records, results

from pyr.compare import compare
from pyr.gate import judge
from pyr.schema import Aggregate

KEEP_ALL = {"measure": "*/acc", "not_worse_by": 0.0}


def many(*values, se=0.01):
    rows = [Aggregate(f"task{i:02}", "acc", v, se, n=500) for i, v in enumerate(values)]
    return published(*rows)


def test_a_fail_that_is_one_of_many_is_unclear_and_says_what_would_settle_it():
    base = [0.5] * 20
    # 2.1 standard errors: enough alone, not as the worst of twenty.
    found = verdict(KEEP_ALL, many(0.47, *base), many(0.5, *base)).findings[0]
    assert found.state == "unclear"
    assert "if this were the only rule; as one of 21 that may fail" in found.sentence
    assert found.n_needed == pytest.approx(500 * (2.82 / 2.12) ** 2, rel=0.02)
    assert verdict(KEEP_ALL, many(0.47), many(0.5)).state == "fail"


def test_where_the_unclear_may_pass_a_fail_of_many_still_closes_the_gate():
    base = [0.5] * 20
    found = verdict(KEEP_ALL, many(0.47, *base), many(0.5, *base), unclear="allow")
    assert (found.state, found.findings[0].state) == ("fail", "fail")


def test_a_clear_fail_stays_one_among_many():
    base = [0.5] * 20
    assert verdict(KEEP_ALL, many(0.4, *base), many(0.5, *base)).state == "fail"


def test_a_broken_check_fails_beside_any_number_of_rules():
    broken = results(
        records([0.0], task="health", metric="finite", unit="check"),
        *[records(np.linspace(0, 1, 40), task=f"t{i}") for i in range(20)],
    )
    gate = a_gate({"measure": "health/*", "at_least": 1}, {"measure": "t*/acc", "at_least": 0.1})
    assert judge(gate, broken, None, compare(broken, None)).state == "fail"


def test_no_sound_measure_of_thirty_fails_more_than_one_time_in_twenty():
    rng = np.random.default_rng(11)
    draws, rules = 60, 30
    alarms = 0
    for _ in range(draws):
        before, after = 0.5 + rng.normal(0, 0.01, (2, rules))
        found = verdict(KEEP_ALL, many(*after), many(*before))
        alarms += found.state == "fail"
    assert alarms / draws <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


def test_a_finding_tells_its_p_value_and_part():
    found = verdict({"measure": "arc/acc", "at_least": 0.5}, mean(0.48, 0.01)).findings[0]
    assert found.p_fail == pytest.approx(0.0228, rel=0.01)
    assert found.part == "guards"
