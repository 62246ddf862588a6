"""From the command line to exit code, files and words, with a probe that needs no model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pyr.cli import main, main_eval
from pyr.probes import Chunk, Subject
from pyr.schema import Record
from pyr.store import Document, Store

HOSTILE = "<script>alert(1)</script>\x1b[31mred\x1b[0m\u202e"


class Fixed:
    """Scores 400 items: the checkpoint named `copy` knows 100, any other 300."""

    def __init__(self, options: dict[str, Any], *, name: str) -> None:
        self.name = name

    def run(self, subject: Subject) -> Iterator[Chunk]:
        known = 100 if subject.checkpoint.name == "copy" else 300
        records = [
            Record(
                task="quiz",
                metric="acc",
                item=str(number),
                value=float(number < known),
                responses=json.dumps([HOSTILE]),
            )
            for number in range(400)
        ]
        documents = [Document("quiz", str(number), HOSTILE, (), "42") for number in range(400)]
        yield Chunk(records=records, documents=documents)


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    file = tmp_path / "fixed.yaml"
    file.write_text("probes: [{probe: 'test_eval:Fixed', name: fixed}]")
    return file


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    file = tmp_path / "quiz.yaml"
    file.write_text("keeps: [{measure: quiz/acc, not_worse_by: 0.1, why: it knew them once}]")
    return file


@pytest.fixture
def other(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The same model under another name and with other bytes."""
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))
    with (folder / "config.json").open("a") as stream:
        stream.write("\n")
    return folder


def call(suite: Path, *arguments: object) -> int:
    store = suite.parent / "results"
    return main_eval([*map(str, arguments), "--suite", str(suite), "--store", str(store)])


def test_a_sound_checkpoint_without_a_gate_is_0(suite: Path, tiny_checkpoint: Path) -> None:
    assert call(suite, tiny_checkpoint) == 0


def test_a_checkpoint_that_lost_what_the_gate_keeps_is_1(
    suite: Path,
    gate: Path,
    tiny_checkpoint: Path,
    other: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(suite, other, "--baseline", tiny_checkpoint, "--gate", gate) == 1
    out = capsys.readouterr().out
    assert "quiz/acc fell by 0.50" in out
    assert out.splitlines()[-1].startswith("FAIL  ")


def test_the_better_one_passes_with_0(
    suite: Path, gate: Path, tiny_checkpoint: Path, other: Path
) -> None:
    assert call(suite, tiny_checkpoint, "--baseline", other, "--gate", gate) == 0


def test_a_gate_without_its_baseline_is_3(
    suite: Path, gate: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(suite, tiny_checkpoint, "--gate", gate) == 3
    assert "UNCLEAR" in capsys.readouterr().out


def test_weights_that_are_not_finite_are_1_and_name_the_tensor(
    suite: Path, gate: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(other / "model.safetensors")
    tensors["model.norm.weight"][0] = float("inf")
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    assert call(suite, other, "--gate", gate) == 1
    out = capsys.readouterr().out
    assert "model.norm.weight" in out
    assert "quiz  " not in out


def test_a_stored_run_serves_as_baseline(
    suite: Path, gate: Path, tiny_checkpoint: Path, other: Path
) -> None:
    call(suite, tiny_checkpoint)
    assert call(suite, other, "--baseline", "tiny--", "--gate", gate) == 1


def test_two_checkpoints_give_the_worse_code(
    suite: Path, gate: Path, tiny_checkpoint: Path, other: Path
) -> None:
    both = call(suite, tiny_checkpoint, other, "--baseline", tiny_checkpoint, "--gate", gate)
    assert both == 1


def test_json_is_json_and_alone_on_stdout(
    suite: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(suite, tiny_checkpoint, "--json") == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_hostile_text_is_dead_in_every_file_and_on_the_terminal(
    suite: Path,
    gate: Path,
    tiny_checkpoint: Path,
    other: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call(suite, other, "--baseline", tiny_checkpoint, "--gate", gate)
    run = Store(suite.parent / "results").run("copy--")
    folder = suite.parent / "results" / run.id
    html = (folder / "report.html").read_text()
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>alert" not in html
    for text in (html, (folder / "report.md").read_text(), capsys.readouterr().out):
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_verdict_and_junit_lie_beside_the_report(
    suite: Path, gate: Path, tiny_checkpoint: Path, other: Path
) -> None:
    call(suite, other, "--baseline", tiny_checkpoint, "--gate", gate)
    folder = suite.parent / "results" / Store(suite.parent / "results").run("copy--").id
    assert json.loads((folder / "verdict.json").read_text())["state"] == "fail"
    [case] = ElementTree.parse(folder / "junit.xml").getroot().iterfind(".//testcase[failure]")
    assert "quiz/acc" in case.attrib["name"]


def test_asking_again_without_the_gate_leaves_its_verdict_as_it_was(
    suite: Path, gate: Path, tiny_checkpoint: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(suite, other, "--baseline", tiny_checkpoint, "--gate", gate) == 1
    folder = Path(capsys.readouterr().out.split()[-1]).parent
    files = {each: (folder / each).read_text() for each in ("verdict.json", "report.html")}
    assert call(suite, other) == 0
    said = capsys.readouterr()
    assert f"stands: {folder / 'verdict.json'}" in said.err and "FAIL by gate quiz" in said.err
    assert said.out.split()[-1] == str(folder / "health" / "report.html")
    assert {each: (folder / each).read_text() for each in files} == files


def test_comparing_leaves_the_run_its_own_report_and_verdict(
    suite: Path, gate: Path, tiny_checkpoint: Path, other: Path
) -> None:
    store = Store(suite.parent / "results")
    call(suite, tiny_checkpoint)
    call(suite, other)
    first, second = store.run("tiny--"), store.run("copy--")
    own = store.folder(second)
    before = {file.name: file.read_bytes() for file in own.iterdir() if file.is_file()}
    where = ["--store", str(store.root)]
    assert main(["compare", first.id, second.id, "--gate", str(gate), *where]) == 1
    assert {file.name: file.read_bytes() for file in own.iterdir() if file.is_file()} == before
    judged = own / f"against-{first.id}"
    assert json.loads((judged / "verdict.json").read_text())["state"] == "fail"
    assert main(["gate", "verify", str(judged), "--gate", str(gate), *where]) == 0


def test_ls_compare_and_export_find_the_runs(
    suite: Path,
    gate: Path,
    tiny_checkpoint: Path,
    other: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = str(suite.parent / "results")
    call(suite, tiny_checkpoint)
    call(suite, other)
    capsys.readouterr()
    assert main(["ls", "--store", store]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["compare", "tiny--", "copy--", "--gate", str(gate), "--store", store]) == 1
    assert "against-tiny--" in capsys.readouterr().out
    page = suite.parent / "page.html"
    assert main(["report", "tiny--", "copy--", "-o", str(page), "--store", store]) == 0
    assert page.is_file()
    assert main(["report", "tiny--", "copy--", "-o", str(suite.parent), "--store", store]) == 0
    assert (suite.parent / "report.html").is_file()
    folder = suite.parent / "exported"
    assert main(["export", "lm-eval", "copy--", str(folder), "--store", store]) == 0
    assert list(folder.rglob("results_*.json"))
    assert main(["import", str(folder), "--store", str(suite.parent / "again")]) == 0
