"""Earlier checkpoints of a training: which belong together, their order and their scores."""

from __future__ import annotations

import dataclasses

import pytest
from factories_stats import a_run, published, records, results

import pyr.compare.scores as scores_module
from pyr.compare import compare, interval, phase_history, phase_of, score_history, training_of
from pyr.gate import assess
from pyr.schema import Aggregate, Checkpoint, Estimate


def mean_at(step, value, se=0.0001):
    checkpoint = Checkpoint(
        path="", name=f"out-step{step}", digest=str(step), format="imported", step=step
    )
    return published(
        Aggregate("arc", "acc", value, se, n=1000), name=f"step{step}", checkpoint=checkpoint
    )


def placed(name, tokens, started="2026-01-01", values=(1.0, 0.0), step=None):
    checkpoint = Checkpoint(
        path="", name=name, digest=name, format="safetensors", tokens=tokens, step=step
    )
    return results(records(values), name=name, checkpoint=checkpoint, started=started)


@pytest.mark.parametrize(
    ("name", "stem"),
    [("out-checkpoint-200", "out"), ("pythia-160m-step1000", "pythia-160m"), ("final", "final")],
)
def test_checkpoints_of_one_training_share_their_name_up_to_the_step(name, stem):
    found = Checkpoint(path="", name=name, digest="", format="safetensors", phase="base")
    assert phase_of(found) == ("base", stem)


@pytest.mark.parametrize("name", ["tiny-base-1-50", "tiny-base-1", "tiny-base-1-50 (mean of 3)"])
def test_a_pulse_and_its_phases_result_are_of_one_phase_and_one_training(name):
    found = Checkpoint(path="", name=name, digest="", format="safetensors", phase="base-1", step=50)
    assert phase_of(found) == ("base-1", "tiny-base-1")
    assert training_of(found) == "tiny"


def test_a_checkpoint_without_a_phase_is_of_a_training_of_one_phase():
    plain = Checkpoint(path="", name="a-step1", digest="", format="safetensors")
    assert training_of(plain) == phase_of(plain) == ("", "a")


def test_only_the_candidates_own_training_up_to_itself_counts():
    mine = [mean_at(i, 0.1) for i in range(4)]
    later = mean_at(9, 0.9)
    other = dataclasses.replace(mine[0], run=a_run("other"))
    unfinished = dataclasses.replace(
        mine[1], run=dataclasses.replace(mine[1].run, id="x", finished="")
    )
    elsewhere = dataclasses.replace(
        mine[1], run=dataclasses.replace(mine[1].run, id="y", suite_digest="another")
    )
    found = phase_history(mine[3], [mine[2], later, other, unfinished, elsewhere, mine[0], mine[1]])
    assert [each.run.id for each in found] == ["step0", "step1", "step2", "step3"]


def test_a_checkpoint_that_was_evaluated_twice_is_one():
    runs = [mean_at(i, 0.1 * (i % 2)) for i in range(4)]
    again = dataclasses.replace(runs[1], run=dataclasses.replace(runs[1].run, id="again"))
    assert len(phase_history(runs[-1], [*runs, again])) == 4


def test_a_candidate_without_a_position_has_no_phase_history():
    assert phase_history(results(), [mean_at(1, 0.1)]) == []


def test_a_phase_that_counts_no_tokens_comes_behind_the_one_it_started_from() -> None:
    names = {"b-one": (1, "01"), "c-two": (2, "02"), "a-dpo": (2, "03")}
    runs = [placed(name, step, f"2026-01-{day}") for name, (step, day) in names.items()]
    found = score_history(list(reversed(runs)))
    [way] = found.points.values()
    assert [point.checkpoint for point in way] == list(names)


def test_one_run_that_knows_only_its_step_makes_steps_the_axis():
    runs = [placed("a", 100, step=1), placed("b", None, step=2), placed("c", 300, step=3)]
    assert score_history(runs).axis == "step"
    assert score_history([*runs[::2], placed("lost", None)]).axis == "tokens"
    assert score_history([*runs, placed("lost", None)]).left_out == ("lost",)


def test_the_band_of_a_chart_is_the_interval_of_the_table():
    """At 8 documents the t interval is 2.36 standard errors, not the normal law's 1.96."""
    values = [1.0, 1.4, 0.7, 1.1, 0.9, 1.3, 0.8, 1.2]
    run = placed("a", 100, values=values)
    [row] = compare(run, None)
    assert isinstance(row.candidate, Estimate)
    [[point]] = score_history([run]).points.values()
    table = interval(row.candidate, 0.95)
    assert (point.low, point.high) == (table.low, table.high)
    assert point.high - point.value > 2.3 * row.candidate.se


def test_twenty_checkpoints_are_scored_twenty_times(monkeypatch):
    """Comparison, noise, signal and history of one verdict: each run once."""
    runs = [placed(f"out-step{n}", n, values=[0.0, 1.0] * 20, step=n) for n in range(1, 21)]
    scored = []
    whole = scores_module._score_run
    monkeypatch.setattr(
        scores_module,
        "_score_run",
        lambda run, asked: scored.append(run.run.id) or whole(run, asked),
    )
    assessed = assess(None, runs[-1], runs[-2], history=runs)
    assert len(assessed.history.phase) == 20
    assert sorted(scored) == sorted(run.run.id for run in runs)
