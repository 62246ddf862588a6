"""A run in stages asks less and says the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from factories_gate import a_gate, replay_in_stages
from factories_stats import records, results

from pyr.compare import compare
from pyr.gate import judge
from pyr.gate.sequential import Budget, asked_of

KEEP = a_gate({"measure": "*/acc", "not_worse_by": 0.05})


def drawn(share, n, seed, task="arc", **columns):
    values = (np.random.default_rng(seed).random(n) < share).astype(float)
    return records(values, task=task, **columns)


def judged_against(baseline, gate=KEEP):
    return lambda found: judge(gate, found, baseline, compare(found, baseline))


def in_stages(candidate, baseline, gate=KEEP):
    tasks = candidate.records["task"].unique()
    orders = {
        task: list(candidate.records.loc[candidate.records["task"] == task, "item"])
        for task in tasks
    }
    found = replay_in_stages(judged_against(baseline, gate), candidate, orders)
    return found.run.asked, judged_against(baseline, gate)(found)


def test_a_great_loss_fails_in_the_first_stage():
    good, bad = results(drawn(0.9, 2000, 1)), results(drawn(0.2, 2000, 2), name="bad")
    asked, verdict = in_stages(bad, good)
    assert (asked, verdict.state) == ({"arc": (32, 2000)}, "fail")


def test_no_change_passes_early():
    same = results(drawn(0.5, 2000, 1))
    asked, verdict = in_stages(dataclasses.replace(same), same)
    assert verdict.state == "pass"
    assert asked["arc"][0] <= 256


def test_a_close_call_takes_all_items():
    asked, verdict = in_stages(results(drawn(0.5, 300, 1)), results(drawn(0.5, 300, 2)))
    assert asked == {"arc": (300, 300)}
    assert verdict.state == "unclear"


def test_only_what_is_undecided_is_asked_more():
    clear = [drawn(0.5, 1000, 1, task="clear")] * 2
    close = [drawn(0.5, 1000, seed, task="close") for seed in (1, 2)]
    runs = [results(one, other) for one, other in zip(clear, close, strict=True)]
    asked, _ = in_stages(*runs)
    assert asked["clear"][0] < asked["close"][0] == 1000


def test_of_an_undecided_group_every_task_is_asked_more():
    parts = [
        drawn(0.5, 200, seed, task=f"blimp_{seed}", group="blimp", clusters=range(200))
        for seed in (1, 2)
    ]
    others = [
        drawn(0.5, 200, seed + 7, task=f"blimp_{seed}", group="blimp", clusters=range(200))
        for seed in (1, 2)
    ]
    gate = a_gate({"measure": "blimp/acc", "not_worse_by": 0.05})
    asked, _ = in_stages(results(*parts), results(*others), gate)
    assert asked == {"blimp_1": (200, 200), "blimp_2": (200, 200)}


def test_what_was_spent_stands_beside_the_rule():
    same = results(drawn(0.5, 2000, 1))
    _, verdict = in_stages(same, same)
    assert "of 2000, paired" in verdict.findings[0].sentence


def test_an_unclear_rule_stays_unclear_when_the_time_is_up():
    one, other = results(drawn(0.5, 300, 1)), results(drawn(0.5, 300, 2))
    seconds = iter([1.0, 0.0])
    budget = Budget(judged_against(other), "1 s", left=lambda: next(seconds))
    part = dataclasses.replace(
        one,
        run=dataclasses.replace(one.run, asked={"arc": (64, 300)}),
        records=one.records.head(64),
    )
    assert budget.more(part)
    assert budget.wanted("arc") == 0
    assert budget.ended == ""


@pytest.mark.parametrize(("left", "ended"), [(-40.0, "the time was up, 40 s"), (5.0, "")])
def test_a_run_says_that_its_time_was_up_where_it_was_not_done(left, ended):
    one, other = results(drawn(0.5, 300, 1)), results(drawn(0.5, 300, 2))
    part = dataclasses.replace(one, run=dataclasses.replace(one.run, asked={"arc": (300, 600)}))
    budget = Budget(judged_against(other), "1 s", left=lambda: left)
    assert budget.more(part) == (not ended)
    assert budget.ended.startswith(ended)
    assert bool(budget.ended) == bool(ended)


def test_a_verdict_that_is_known_needs_no_more_time():
    same = results(drawn(0.5, 300, 1))
    part = dataclasses.replace(same, run=dataclasses.replace(same.run, asked={"arc": (300, 600)}))
    budget = Budget(
        lambda _: dataclasses.replace(judged_against(same)(same), findings=[]),
        "1 s",
        left=lambda: -1,
    )
    assert not budget.more(part)
    assert budget.ended == ""


def test_a_whole_run_is_never_in_stages():
    whole = results(drawn(0.5, 100, 1))
    assert asked_of(whole) == {}
    assert "of 100" not in judged_against(whole)(whole).findings[0].sentence


def test_a_group_has_been_asked_what_its_tasks_were():
    frames = [drawn(0.5, 10, 1, task=task, group="g") for task in ("a", "b")]
    run = results(*frames, asked={"a": [10, 40], "b": [10, 30]})
    assert asked_of(run) == {"a": (10, 40), "b": (10, 30), "g": (20, 70)}


@pytest.mark.parametrize("seed", range(3))
def test_stages_and_the_whole_say_the_same_of_clear_cases(seed):
    good, bad = results(drawn(0.8, 800, seed)), results(drawn(0.5, 800, seed + 50), name="bad")
    for candidate in (good, bad):
        whole = judged_against(good)(candidate).state
        assert in_stages(candidate, good)[1].state == whole


def test_a_group_is_judged_as_all_its_items_would_be():
    """One task of 1,500 items loses 0.12, thirty of 100 none: 0.04 of all, whatever was asked."""
    sizes = {"big": 1500, **{f"small{i}": 100 for i in range(30)}}

    def run(loss, name, seed):
        rng = np.random.default_rng(seed)
        parts = [
            records(
                (rng.random(n) < (0.7 - (loss if task == "big" else 0))).astype(float),
                task=task,
                group="all",
            )
            for task, n in sizes.items()
        ]
        return results(*parts, name=name)

    whole, base = run(0.12, "new", 5), run(0.0, "old", 5)
    first = whole.records[whole.records["item"].astype(int) < 32]
    asked = {task: (32, n) for task, n in sizes.items()}
    early = dataclasses.replace(
        whole, records=first, run=dataclasses.replace(whole.run, asked=asked)
    )
    seen = next(row for row in compare(early, base) if row.task == "all").delta.value
    true = next(row for row in compare(whole, base) if row.task == "all").delta.value
    big = next(row for row in compare(early, base) if row.task == "big").delta.value
    small = [row.delta.value for row in compare(early, base) if row.task.startswith("small")]
    assert seen == pytest.approx((1500 * big + 100 * sum(small)) / 4500)
    assert abs(seen - true) < 0.05


def test_in_stages_too_every_item_that_was_asked_must_be_there():
    whole, base = results(drawn(0.9, 300, 1), name="new"), results(drawn(0.9, 300, 2))
    run = dataclasses.replace(whole.run, asked={"arc": (300, 300)})
    half = dataclasses.replace(whole, records=whole.records[:150], run=run)
    finding = judge(KEEP, half, base, compare(half, base)).findings[0]
    assert finding.state == "unclear"
    assert "only 150 of the 300 items were measured" in finding.sentence
