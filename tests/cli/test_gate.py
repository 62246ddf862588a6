"""``pyr gate``: a gate held against a suite, a verdict against its records."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from pyr.cli import gate
from pyr.errors import PyrError, UsageError
from pyr.gate import accept, as_json, assess
from pyr.gate.spec import Gate, Rule
from pyr.schema import Checkpoint, Record, Run
from pyr.store import Store

KEEP = Gate(name="quiz", keeps=[Rule(measure="quiz/acc", not_worse_by=0.2)])


def options(**given) -> argparse.Namespace:
    plain = {"suite": None, "history": None, "gate": None, "store": "results", "json": False}
    return argparse.Namespace(**{**plain, **given})


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/quiz.yaml").write_text("task: quiz\ndataset_path: json\n")
    probe = f"{{probe: harness, limit: 100, tasks: [quiz], include_path: [{tmp_path}/tasks]}}"
    (tmp_path / "suite.yaml").write_text(f"probes: [{probe}]")
    (tmp_path / "fine.yaml").write_text("keeps: {measure: quiz/acc, not_worse_by: 0.2}")
    (tmp_path / "fussy.yaml").write_text("keeps: {measure: quiz/acc, not_worse_by: 0.01}")
    (tmp_path / "other.yaml").write_text("keeps: {measure: quiz/bpb, not_worse_by: 0.01}")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("fine", 0, ["resolves", "RESOLVES"]),
        ("fussy", 1, ["cannot resolve", "allow 0.098, or measure", "REFUSED"]),
        ("other", 3, ["never measured", "UNKNOWN"]),
    ],
)
def test_a_gate_is_held_against_what_its_suite_can_resolve(files, capsys, name, code, words):
    asked = options(
        action="check",
        name=str(files / f"{name}.yaml"),
        suite=str(files / "suite.yaml"),
        store=str(files / "results"),
    )
    assert gate.run(asked) == code
    said = capsys.readouterr().out
    assert all(word in said for word in words)


def test_a_gate_is_checked_against_a_suite_or_not_at_all(files):
    with pytest.raises(UsageError, match="against a suite"):
        gate.run(options(action="check", name=str(files / "fine.yaml")))


# ------------------------------------------------------------------ verify


@pytest.fixture
def judged(files: Path) -> Path:
    """The folder of a run with its verdict."""
    store = Store(files / "results")
    for name, right in (("old", 80), ("new", 79)):
        run = Run(
            id=name,
            checkpoint=Checkpoint(path="", name=name, digest=name, format="imported"),
            suite="s",
            suite_digest="s",
            engine="e",
            started=name,
        )
        records = [Record("quiz", "acc", str(i), float(i < right)) for i in range(100)]
        with store.begin(run, on_wait=print) as opened:
            opened.append("harness", records)
            opened.finish(finished="later", skipped=(), notes=(), data={}, environment={})
    new, old = (store.results(store.run(name)) for name in ("new", "old"))
    found = assess(KEEP, new, old, documents=store.documents(new.run)).verdict
    (files / "quiz.yaml").write_text("name: quiz\nkeeps: {measure: quiz/acc, not_worse_by: 0.2}\n")
    folder = store.folder(new.run)
    (folder / "verdict.json").write_text(as_json(found))
    return folder


def verified(folder: Path, gate_name: str = "quiz", **given) -> int:
    root = folder.parent
    named = str(root.parent / f"{gate_name}.yaml")
    return gate.run(
        options(action="verify", name=str(folder), gate=named, store=str(root), **given)
    )


def test_a_verdict_is_recomputed_from_its_records(judged, capsys):
    assert verified(judged) == 0
    assert capsys.readouterr().out.startswith("VERIFIED  PASS of new")


def test_a_verdict_under_another_gate_differs(judged, capsys):
    assert verified(judged, "fussy") == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("gate: sha256")
    assert said[-1].startswith("DIFFERS")


def test_differences_are_printed_as_json_too(judged, capsys):
    assert verified(judged, json=True) == 0
    assert json.loads(capsys.readouterr().out)["differences"] == []


def test_an_overruled_verdict_says_so(judged, capsys):
    gate_file = judged.parent.parent / "strict.yaml"
    gate_file.write_text("name: quiz\nfloors: {measure: quiz/acc, at_least: 0.95}\n")
    strict = Gate(name="quiz", floors=[Rule(measure="quiz/acc", at_least=0.95)])
    store = Store(judged.parent)
    new, old = (store.results(store.run(name)) for name in ("new", "old"))
    found = assess(strict, new, old, documents=store.documents(new.run)).verdict
    overruled = accept(found, "a smaller vocabulary", "2026-01-01T00:00:00Z")
    (judged / "verdict.json").write_text(as_json(overruled))
    assert verified(judged, "strict") == 0
    assert "FAIL of new; accepted: a smaller vocabulary" in capsys.readouterr().out


def test_a_folder_without_a_verdict_is_an_error(tmp_path):
    with pytest.raises(PyrError, match="cannot be read"):
        gate.run(options(action="verify", name=str(tmp_path)))


# ------------------------------------------------------------------ accept


@pytest.fixture
def failed(judged: Path) -> Path:
    """The same folder, its verdict a fail by the gate strict.yaml."""
    strict = "name: strict\nfloors: {measure: quiz/acc, at_least: 0.95}\n"
    (judged.parent.parent / "strict.yaml").write_text(strict)
    gate_read = Gate(name="strict", floors=[Rule(measure="quiz/acc", at_least=0.95)])
    store = Store(judged.parent)
    new, old = (store.results(store.run(name)) for name in ("new", "old"))
    found = assess(gate_read, new, old, documents=store.documents(new.run)).verdict
    (judged / "verdict.json").write_text(as_json(found))
    return judged


def overruled(folder: Path, reason: str, gate_name: str = "strict") -> int:
    root = folder.parent
    named = str(root.parent / f"{gate_name}.yaml")
    return gate.run(
        options(action="accept", name=str(folder), reason=reason, gate=named, store=str(root))
    )


def test_an_accepted_verdict_opens_the_gate_and_says_why(failed, capsys):
    assert overruled(failed, "the vocabulary changed") == 0
    verdict = json.loads((failed / "verdict.json").read_text())
    assert verdict["state"] == "fail"
    assert verdict["accepted"]["reason"] == "the vocabulary changed"
    assert verdict["accepted"]["when"].endswith("Z")
    assert "training may go on: the vocabulary changed" in (failed / "report.md").read_text()
    assert capsys.readouterr().out.splitlines()[-1].startswith("ACCEPTED (was FAIL): the")


def test_a_verdict_is_not_accepted_without_a_reason(failed):
    with pytest.raises(UsageError, match="for a reason"):
        overruled(failed, "  ")


def test_a_verdict_that_its_records_no_longer_bear_is_not_accepted(failed):
    before = (failed / "verdict.json").read_text()
    with pytest.raises(PyrError, match="no longer say"):
        overruled(failed, "why not", gate_name="fussy")
    assert (failed / "verdict.json").read_text() == before
