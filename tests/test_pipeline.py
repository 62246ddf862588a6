"""The end of the line: stored checkpoints show how noisy a training is, and means stand for it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pyr.compare import same_question
from pyr.gate.spec import Gate, Rule
from pyr.pipeline import assess_and_report
from pyr.schema import Checkpoint, Record, Run
from pyr.store import Store

GATE = Gate(name="keep", keeps=[Rule(measure="quiz/bits", not_worse_by=5.0)])


@pytest.fixture
def store(tmp_path):
    """Seven checkpoints of one training, their level shaking by more than their items tell."""
    found = Store(tmp_path)
    rng = np.random.default_rng(1)
    for step in range(100, 800, 100):
        checkpoint = Checkpoint(
            path="", name=f"m-step{step}", digest=str(step), format="imported", step=step
        )
        run = Run(f"m-step{step}", checkpoint, "s", "s", "e", started=f"{step:04}")
        level = rng.normal(0, 0.5)
        values = level + rng.normal(0, 0.1, 100)
        records = [
            Record("quiz", "bits", str(n), float(v), direction="lower")
            for n, v in enumerate(values)
        ]
        with found.begin(run, on_wait=print) as opened:
            opened.append("harness", records)
            opened.finish(finished="x", skipped=(), notes=(), data={}, environment={})
    return found


def concluded(store, last="m-step700", **given):
    run = store.run(last)
    base = store.run("m-step100")
    return assess_and_report(store, run, base, GATE, **given)


def test_the_history_in_the_store_shows_the_noise_of_checkpoints(store):
    sentence = concluded(store).verdict.findings[0].sentence
    assert "noise of items and of 7 checkpoints" in sentence


def test_runs_named_beside_the_store_count_as_those_in_it_do(store, tmp_path):
    runs = {run.id: run for run in store.runs()}
    few = Store(tmp_path / "few")
    for name in ("m-step100", "m-step700"):
        few.run(str(store.folder(runs[name])))
    last, first = runs["m-step700"], runs["m-step100"]
    alone = assess_and_report(few, last, first, GATE, output=tmp_path / "a/report.html")
    assert "item noise" in alone.verdict.findings[0].sentence
    others = [few.run(str(store.folder(run))) for run in runs.values()]
    page = tmp_path / "b/report.html"
    all_of_them = assess_and_report(few, last, first, GATE, others=others, output=page)
    assert "noise of items and of 7" in all_of_them.verdict.findings[0].sentence


def test_another_model_in_the_store_is_no_part_of_the_history(store):
    other = Checkpoint(path="", name="x-step450", digest="x", format="imported", step=450)
    with store.begin(Run("x-step450", other, "s", "s", "e", started="0"), on_wait=print) as opened:
        opened.append("harness", [Record("quiz", "bits", "0", 9.0, direction="lower")])
        opened.finish(finished="x", skipped=(), notes=(), data={}, environment={})
    assert {run.checkpoint.name for run in same_question(store.run("m-step700"), store.runs())} == {
        f"m-step{step}" for step in range(100, 800, 100)
    }


def test_the_mean_of_checkpoints_is_one_candidate_with_less_noise(store):
    one = concluded(store).report.measures
    parts = [store.run(f"m-step{step}") for step in (500, 600)]
    mean = concluded(store, mean_with=parts)
    assert mean.html.parent.name == "mean-of-3"
    written = json.loads((mean.html.parent / "verdict.json").read_text())
    assert written["means"]["m-step700--mean-of-3"] == ["m-step500", "m-step600", "m-step700"]
    widths = [row.high - row.low for row in (one[0], mean.report.measures[0])]
    assert widths[1] < widths[0]


def test_the_page_of_a_github_job_shows_the_report(store, tmp_path, monkeypatch):
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    html = concluded(store).html
    assert summary.read_text() == "before\n" + html.with_name("report.md").read_text()


def test_a_summary_that_cannot_be_written_changes_no_verdict(store, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert concluded(store).html.with_name("verdict.json").is_file()
    assert "summary cannot be written" in caplog.text
