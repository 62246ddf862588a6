"""Which measures a rule finds, what must never pass, and what a verdict holds."""

from __future__ import annotations

import dataclasses
import math
import sys
import types

import pytest
from factories_gate import KEEP, a_gate, asked, finding, mean, sure, verdict
from factories_stats import records, results

from pyr.compare import compare
from pyr.errors import ContentError
from pyr.gate import judge, verdict_state
from pyr.gate.spec import Finding, Rule
from pyr.schema import Skipped


def three_tasks():
    frames = [
        records([0.4, 0.5, 0.6], task=task, metric=metric, group=group)
        for task, metric, group in [
            ("arc", "acc", ""),
            ("arc", "acc_norm", ""),
            ("blimp_a", "acc", "blimp"),
            ("blimp_b", "acc", "blimp"),
        ]
    ]
    return results(*frames)


@pytest.mark.parametrize(
    ("pattern", "measures"),
    [
        ("arc/acc", ["arc/acc"]),
        ("arc/*", ["arc/acc", "arc/acc_norm"]),
        ("blimp/acc", ["blimp/acc"]),
        ("blimp/*", ["blimp/acc"]),
        ("blimp_*/acc", ["blimp_a/acc", "blimp_b/acc"]),
        ("*/acc", ["arc/acc", "blimp/acc", "blimp_a/acc", "blimp_b/acc"]),
    ],
)
def test_a_rule_finds_its_measures(pattern, measures):
    found = verdict({"measure": pattern, "at_least": 0.1}, three_tasks()).findings
    assert [each.measure for each in found] == measures


def test_a_rule_that_matches_nothing_is_unclear_and_says_what_is_near():
    found = finding({"measure": "arc/ac", "at_least": 0.1}, three_tasks())
    assert found.state == "unclear"
    assert found.sentence.startswith("arc/ac cannot be judged: neither run has a measure of that")
    assert "did you mean: arc/acc" in found.sentence


def checks(*metrics):
    return results(*[records([1.0], task="health", metric=m, unit="check") for m in metrics])


def test_a_pattern_of_checks_asks_those_that_the_candidate_has():
    guard = {"measure": "health/*", "at_least": 1}
    found = verdict(guard, checks("finite"), checks("finite", "loss"))
    assert [(each.measure, each.state) for each in found.findings] == [("health/finite", "pass")]


def test_a_check_that_is_named_must_be_there():
    found = verdict(
        {"measure": "health/loss", "at_least": 1}, checks("finite"), checks("finite", "loss")
    )
    assert found.state == "unclear"
    assert "not measured for the candidate" in found.findings[0].sentence


def test_a_candidate_without_any_check_is_unclear():
    assert (
        verdict({"measure": "health/*", "at_least": 1}, sure(), checks("loss")).state == "unclear"
    )


# ------------------------------------------------------------------ never by accident


def first(candidate, n):
    return dataclasses.replace(candidate, records=candidate.records.iloc[:n])


def test_the_run_of_the_table_below_passes_when_nothing_is_wrong():
    assert verdict(KEEP, sure("a"), sure("b")).state == "pass"


SKIP = (Skipped("arc", "the data set is not here"),)
OBSTACLES = {
    "no baseline": (sure(), None, "no baseline"),
    "no candidate": (results(), sure(), "not measured for the candidate"),
    "not in baseline": (sure(), results(), "not measured for the baseline"),
    "fewer items": (first(sure(), 49), sure(), "only 49 of the baseline's 60"),
    "more items": (sure(), first(sure(), 49), "paired on the 49 items"),
    "one item": (first(sure(), 1), first(sure(), 1), "a single item"),
    "unfinished": (sure("new", finished=""), sure(), "run new is not finished"),
    "unfinished baseline": (sure(), sure("old", finished=""), "baseline old is not finished"),
    "skipped": (sure(skipped=SKIP), sure(), "arc was skipped: the data set is not here"),
    "not a number": (asked(sure(), value=math.nan), sure(), "not finite numbers"),
    "not a number before": (sure(), asked(sure(), value=math.nan), "baseline: 60 of 60 values"),
    "other documents": (asked(sure(), doc_hash="e"), sure(), "the documents differ for 60"),
    "other prompts": (asked(sure(), prompt_hash="q", value=9.0), sure(), "the prompts differ"),
    "other suite": (
        asked(sure(suite_digest="new"), prompt_hash="q", value=9.0),
        sure(),
        "the prompts differ for 60 of 60 items; unpaired, and so do the suites",
    ),
    "one cluster": (asked(sure(), cluster="c"), sure(), "its standard error is unknown"),
    "no error": (mean(0.9, None), mean(0.1, 0.01), "its standard error is unknown"),
}


@pytest.mark.parametrize("case", OBSTACLES)
def test_what_stands_in_the_way_is_unclear_and_said(case):
    candidate, baseline, reason = OBSTACLES[case]
    found = verdict(KEEP, candidate, baseline)
    assert found.state == "unclear"
    assert reason in found.findings[0].sentence


def left_out(*items, of=1000, **changes):
    return {"skipped": (Skipped("arc", "too long", False, items=items, of=of, **changes),)}


def test_a_task_that_leaves_out_over_one_item_in_a_hundred_is_unclear_in_every_rule():
    rules = (
        KEEP,
        {"measure": "arc/acc", "at_least": -9.0},
        {"measure": "arc/acc", "at_most": -9.0},
    )
    for rule in rules:
        found = verdict(rule, sure(**left_out("61", of=61)), sure(**left_out("61", of=61)))
        assert found.state == "unclear", rule
        assert "too long" in found.findings[0].sentence


def test_a_baseline_that_leaves_out_too_many_is_unclear_too():
    found = verdict(KEEP, sure("new"), sure("old", **left_out("61", of=61)))
    assert found.state == "unclear"
    assert "arc of old: too long" in found.findings[0].sentence


def test_two_runs_pass_only_if_they_left_out_the_same_few():
    same = left_out("61")
    assert verdict(KEEP, sure("new", **same), sure("old", **same)).state == "pass"
    for other in (left_out("62"), left_out("61", "62"), {}):
        found = verdict(KEEP, sure("new", **other), sure("old", **same))
        assert found.state == "unclear"
        assert "the two runs left out other items" in found.findings[0].sentence


def test_items_of_another_task_that_were_left_out_do_not_matter():
    other = {"skipped": (Skipped("boolq", "too long", False, items=("1",), of=2),)}
    assert verdict(KEEP, sure("new", **other), sure("old")).state == "pass"


def test_other_suites_do_not_pass_even_where_the_prompts_are_the_same():
    found = verdict(KEEP, sure("new", suite_digest="new"), sure("old"))
    assert found.state == "unclear"
    assert "but cannot pass as the suites differ" in found.findings[0].sentence


def test_runs_under_libraries_that_change_scores_do_not_pass():
    new, old = ({"environment": {"versions": {"lm_eval": each}}} for each in ("0.4.14", "0.4.13"))
    found = verdict(KEEP, sure("new", **new), sure("old", **old))
    assert found.state == "unclear"
    assert (
        "the baseline was measured under lm_eval 0.4.13 (now 0.4.14)" in found.findings[0].sentence
    )


def test_four_items_that_did_not_change_do_not_pass():
    few, same = (results(records([1.5] * 4), name=name) for name in ("a", "b"))
    found = finding(KEEP, few, same)
    assert found.state == "unclear"
    assert "no item changed, but 4 are too few" in found.sentence


def guess(right, name):
    return results(records([1.0] * right + [0.0] * (400 - right)), name=name)


def test_what_the_baseline_only_guesses_cannot_be_kept():
    runs = guess(102, "new"), guess(102, "old")
    gate, rows = a_gate({"measure": "arc/acc", "not_worse_by": 0.05}), compare(*runs)
    found = judge(gate, *runs, rows, chances={"arc/acc": 0.25}).findings[0]
    assert found.state == "unclear"
    assert "cannot pass as the baseline's 0.255 is not surely above the 0.25" in found.sentence
    assert judge(gate, *runs, rows, chances={"arc/acc": 0.1}).state == "pass"


def test_a_clear_loss_from_chance_still_fails():
    runs = guess(20, "new"), guess(102, "old")
    gate = a_gate({"measure": "arc/acc", "not_worse_by": 0.05})
    assert judge(gate, *runs, compare(*runs), chances={"arc/acc": 0.25}).state == "fail"


def test_a_clear_loss_fails_even_under_other_prompts():
    worse = asked(sure(), prompt_hash="q", value=-9.0)
    assert verdict(KEEP, worse, sure()).state == "fail"


def test_a_skipped_task_that_neither_run_holds_is_unclear_for_a_glob_too():
    skip = (Skipped("hellaswag", "no data"), Skipped("chat", "no template", missing=False))
    found = verdict({"measure": "*/acc", "not_worse_by": 0.02}, sure(skipped=skip), sure())
    assert [each.state for each in found.findings] == ["pass", "unclear"]
    assert "hellaswag was skipped: no data" in found.findings[1].sentence


def test_a_group_that_lacks_a_task_is_unclear():
    run = three_tasks()
    skipped = (Skipped("blimp_c", "no data", group="blimp"),)
    partial = dataclasses.replace(run, run=dataclasses.replace(run.run, skipped=skipped))
    found = finding({"measure": "blimp/acc", "at_least": 0.01}, partial)
    assert found.state == "unclear"
    assert "blimp_c of blimp was skipped" in found.sentence


# ------------------------------------------------------------------ health


def health(*values, **run):
    broken = "5 of 64 values are not finite"
    return results(
        records(
            values,
            task="health",
            metric="finite",
            items=[f"layer.{i}.weight" for i in range(len(values))],
            unit="check",
            responses=["" if value else broken for value in values],
        ),
        **run,
    )


SOUND = {"measure": "health/*", "at_least": 1}


def test_all_checks_passed_is_certain():
    found = finding(SOUND, health(1, 1, 1))
    assert found.state == "pass"
    assert found.sentence == "health/finite is 1 (all 3 checks): at least the 1 asked."


def test_a_single_check_is_enough():
    assert finding(SOUND, health(1)).state == "pass"


def test_another_number_of_tensors_is_no_obstacle():
    assert finding(SOUND, health(1), health(1, 1)).state == "pass"


def test_a_broken_tensor_fails_by_name_though_the_run_was_broken_off():
    found = finding(SOUND, health(1, 0, 1, finished=""))
    assert found.state == "fail"
    assert found.sentence == (
        "health/finite is broken, 1 of 3 checks failed: "
        "layer.1.weight: 5 of 64 values are not finite."
    )


def test_many_broken_tensors_are_counted():
    assert finding(SOUND, health(*[0] * 9)).sentence.endswith("; and 6 more.")


def test_checks_of_an_unfinished_run_do_not_pass():
    assert finding(SOUND, health(1, finished="")).state == "unclear"


# ------------------------------------------------------------------ call


@pytest.fixture
def rules_module(monkeypatch):
    module = types.ModuleType("my_rules")
    monkeypatch.setitem(sys.modules, "my_rules", module)
    return module


CALL = {"measure": "arc/acc", "call": "my_rules:steady"}


def test_a_function_of_ones_own_may_judge(rules_module):
    def steady(row):
        return Finding(
            row.measure, Rule(**CALL), "fail", row.delta, None, None, "It is not steady."
        )

    rules_module.steady = steady
    found = finding(CALL, sure("a"), sure("b"))
    assert (found.state, found.sentence) == ("fail", "It is not steady.")


def test_a_function_is_not_asked_about_what_was_not_measured(rules_module):
    assert finding(CALL, results(), sure()).state == "unclear"


@pytest.mark.parametrize(
    "call", ["no_such_module:f", "my_rules:absent", "my_rules", "my_rules:raises", "my_rules:none"]
)
def test_a_call_that_cannot_be_used_is_an_error_of_the_gate_file(rules_module, call):
    rules_module.raises = lambda row: 1 / 0
    rules_module.none = lambda row: None
    with pytest.raises(ContentError, match=f"call '{call}'"):
        finding({**CALL, "call": call}, sure())


# ------------------------------------------------------------------ the verdict


@pytest.mark.parametrize(
    ("states", "policy", "state"),
    [
        (["pass", "pass"], "block", "pass"),
        (["pass", "unclear", "fail"], "allow", "fail"),
        (["pass", "unclear"], "block", "unclear"),
        (["pass", "unclear"], "allow", "pass"),
    ],
)
def test_one_state_for_many_findings(states, policy, state):
    assert verdict_state(states, unclear=policy) == state


def test_a_verdict_names_its_runs_and_digests_what_it_rests_on():
    found = verdict(KEEP, sure("new"), sure("old"))
    assert (found.gate, found.run, found.baseline) == ("gate", "new", "old")
    assert found.digests["candidate_checkpoint"] == "digest of new"
    assert set(found.digests) == {
        "gate",
        *(f"{who}_{part}" for who in ("candidate", "baseline") for part in PARTS),
    }


PARTS = ("checkpoint", "suite", "records")


def test_another_value_or_margin_is_another_digest():
    plain = verdict(KEEP, sure(), sure()).digests
    other = verdict({**KEEP, "not_worse_by": 0.03}, asked(sure(), value=1.0), sure()).digests
    changed = {part for part in plain if plain[part] != other[part]}
    assert changed == {"gate", "candidate_records"}
