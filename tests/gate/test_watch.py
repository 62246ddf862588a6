"""Tasks that decide nothing: a gate does not pass on them, unless it only watches them."""

from __future__ import annotations

import dataclasses

import numpy as np
from factories_gate import KEEP, a_gate, sure
from factories_stats import records, results

from pyr.compare import Reliability, compare
from pyr.gate import assess, judge
from pyr.gate.spec import Rule

NOISE = {"arc/acc": Reliability(9, None, 0.1, 2.0, 5.2)}
SOUND = {"arc/acc": Reliability(9, None, 0.9, 40.0, 5.2)}


def judged(rule: dict[str, object], reliable=None, **changes):
    runs = sure("new", **changes), sure("old")
    return judge(a_gate(rule), *runs, compare(*runs), reliable=reliable)


def test_a_rule_does_not_pass_on_a_measure_that_is_only_noise():
    assert judged(KEEP, SOUND).state == "pass"
    verdict = judged(KEEP, NOISE)
    assert verdict.state == "unclear"
    assert "it decides nothing (no trend, noise)" in verdict.findings[0].sentence


def test_a_rule_that_watches_closes_no_gate_and_says_what_it_saw():
    verdict = judged({**KEEP, "watch": True}, NOISE)
    assert verdict.state == "pass"
    assert "only watched" in verdict.findings[0].sentence
    assert "it would be unclear" in verdict.findings[0].sentence


def test_a_watched_loss_is_told_and_not_counted():
    worse = results(records(np.linspace(0, 2, 60) - 1, doc_hash="d", prompt_hash="p"), name="new")
    rows = compare(worse, sure("old"))
    [finding] = judge(a_gate({**KEEP, "watch": True}), worse, sure("old"), rows).findings
    assert finding.state == "pass"
    assert "fell by 1" in finding.sentence
    assert "(it would fail)" in finding.sentence
    assert finding.p_fail is None


def test_broken_health_cannot_be_watched_away():
    broken = results(records([0.0, 1.0], task="health", metric="finite", unit="check"))
    rule = {"measure": "health/*", "at_least": 1, "watch": True}
    assert judge(a_gate(rule), broken, None, compare(broken, None)).state == "fail"


def test_a_rule_in_words_does_not_say_that_it_watches():
    assert str(Rule(**KEEP, watch=True)) == "not_worse_by 0.02"


def test_the_history_of_a_training_marks_its_measures():
    """Nine checkpoints that only jitter: the gate says so by itself."""
    draw = np.random.default_rng(1)
    base = np.linspace(0, 2, 50)

    def run(step: int):
        values = base + draw.normal(0, 0.02) + draw.normal(0, 0.001, 50)
        made = results(records(values, doc_hash="d", prompt_hash="p"), name=f"a-step{step}")
        checkpoint = dataclasses.replace(made.run.checkpoint, name=f"a-step{step}", step=step)
        return dataclasses.replace(made, run=dataclasses.replace(made.run, checkpoint=checkpoint))

    ways = [run(step) for step in range(1, 10)]
    rule = {"measure": "arc/acc", "not_worse_by": 0.9}
    verdict = assess(a_gate(rule), ways[-1], ways[0], history=ways).verdict
    assert verdict is not None
    assert any("decides nothing" in each.sentence for each in verdict.findings)
