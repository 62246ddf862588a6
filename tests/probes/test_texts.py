"""The texts probe: bits per byte of any texts, against lm-eval's own task over the same ones."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
from factories_probes import records, run, score

from pyr.errors import ContentError, UsageError
from pyr.evaluate import suite_digest
from pyr.probes import Subject
from pyr.probes.texts import Texts
from pyr.schema import ProbeSpec, Suite


def measured(options: dict[str, object], subject: Subject):
    return [r for chunk in Texts(options, name="texts").run(subject) for r in chunk.records]


def test_it_says_what_the_rolling_task_of_lm_eval_says(subject: Subject) -> None:
    options = {"texts": {"prose": "evals/tasks/pyr_bpb_prose/items.jsonl"}}
    ours = measured(options, subject)
    theirs = records(run({"tasks": ["pyr_bpb_prose"]}, subject))
    want = score(theirs, "pyr_bpb_prose", "bits_per_byte")
    assert score(ours, "text_prose", "bits_per_byte") == pytest.approx(want, rel=1e-6)
    assert sum(r.weight for r in ours) == sum(r.weight for r in theirs)


def test_files_and_folders_are_read_and_a_killed_run_goes_on(
    subject: Subject, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "one.txt").write_text("The first text of all.")
    (folder / "two.jsonl").write_text("\n".join(json.dumps({"text": f"Text {n}."}) for n in "abc"))
    options = {"texts": {"mine": str(folder), "one": str(folder / "one.txt")}}
    whole = measured(options, subject)
    assert [r.task for r in whole] == ["text_mine"] * 4 + ["text_one"]
    half = pd.DataFrame([asdict(r) for r in whole[:2]])
    rest = measured(options, replace(subject, earlier=half))
    assert [(r.task, r.item) for r in rest] == [(r.task, r.item) for r in whole[2:]]


def test_a_limit_takes_the_beginning_of_one_random_order(subject: Subject) -> None:
    options = {"texts": {"prose": "evals/tasks/pyr_bpb_prose/items.jsonl"}, "limit": 5}
    few = [r.item for r in measured(options, subject)]
    more = [r.item for r in measured({**options, "limit": 8}, subject)]
    assert few == more[:5]
    assert few != sorted(few, key=int)


def test_texts_that_are_not_there_or_empty_are_refused(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(ContentError, match="are empty"):
        measured({"texts": {"none": str(tmp_path / "empty.txt")}}, subject)
    with pytest.raises((ContentError, UsageError)):
        measured({"texts": {"none": str(tmp_path / "nowhere.txt")}}, subject)


def test_other_texts_under_the_same_name_are_another_suite(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    suite = Suite(
        name="own", probes=[ProbeSpec(probe="texts", options={"texts": {"mine": str(file)}})]
    )
    file.write_text("one")
    first = suite_digest(suite)
    file.write_text("two")
    assert suite_digest(suite) != first
