"""What a script may rely on: the exit code says the verdict, and nothing else has its code."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from factories_stats import a_run

from pyr.cli import main, runs
from pyr.engines import EngineSettings
from pyr.errors import UsageError
from pyr.schema import Aggregate
from pyr.store import Store

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two runs with a published score each; the second is worse."""
    store = Store(tmp_path / "results")
    for name, value in (("before", 0.5), ("after", 0.3)):
        run = a_run(name)
        run = replace(run, checkpoint=replace(run.checkpoint, format="imported"))
        with store.begin(run, on_wait=print) as opened:
            opened.put_aggregates([Aggregate("arc", "acc", value, 0.01, n=500)])
            opened.finish(finished="x", skipped=(), notes=(), data={}, environment={})
    return store.root


def gate(store: Path, name: str, margin: float) -> Path:
    file = store.parent / f"{name}.yaml"
    file.write_text(f"keeps: [{{measure: arc/acc, not_worse_by: {margin}}}]")
    return file


def compare(store: Path, *words: object) -> int:
    return main(["compare", "before", "after", "--store", str(store), *map(str, words)])


def piped(store: Path, gate_file: Path, *words: str, reader: str) -> int:
    """The exit code of a comparison whose reader ends before it has read all."""
    command = f"{sys.executable} -m pyr.cli compare before after --store {store} --gate {gate_file}"
    shell = f"{command} {' '.join(words)} | {reader}; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", shell], env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr
    return done.returncode


@pytest.mark.parametrize("words", [(), ("--json",)])
@pytest.mark.parametrize(("margin", "code"), [(0.01, 1), (0.19, 3), (0.5, 0)])
def test_a_closed_pipe_leaves_the_verdicts_code(
    store: Path, margin: float, code: int, words: tuple[str, ...]
) -> None:
    assert piped(store, gate(store, "keep", margin), *words, reader="true") == code


def test_a_closed_stdout_leaves_the_verdicts_code(store: Path) -> None:
    command = f"{sys.executable} -m pyr.cli compare before after --store {store}"
    shell = f"{command} --gate {gate(store, 'keep', 0.01)} >&-"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(["bash", "-c", shell], env=environment).returncode == 1


def test_an_error_that_nobody_foresaw_has_a_code_of_its_own_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(options: object) -> int:
        raise KeyError("nobody foresaw this")

    monkeypatch.setattr(runs, "ls", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["ls"]) == 70
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "KeyError: 'nobody foresaw this'" in said
    [kept] = tmp_path.glob("pyr-traceback-*.txt")
    assert str(kept) in said and "in broken" in kept.read_text()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EFBIG, errno.EROFS])
def test_what_the_system_refuses_is_said_without_a_traceback(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(options: object) -> int:
        raise OSError(number, os.strerror(number), "some/file")

    monkeypatch.setattr(runs, "ls", refused)
    assert main(["ls"]) == 2
    said = capsys.readouterr().err
    assert os.strerror(number) in said and "some/file" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"device": "gpu0"}, "cpu"),
        ({"device": "meta"}, "there is no device"),
        ({"device": "cuda:99"}, "there is no device"),
        ({"dtype": "flaot32"}, "did you mean: float32"),
        ({"dtype": "int8"}, "unknown dtype"),
        ({"batch_size": 0}, "use 1 or more"),
        ({"batch_size": -3}, "use 1 or more"),
        ({"engine": "fsat"}, "did you mean: fast?"),
    ],
)
def test_a_mistyped_setting_is_refused_before_anything_is_opened(
    wrong: dict[str, object], named: str
) -> None:
    with pytest.raises(UsageError) as error:
        EngineSettings(**wrong).resolved()
    assert named in error.value.text()


def test_every_gate_keeps_its_verdict(store: Path) -> None:
    assert compare(store, "--gate", gate(store, "strict", 0.01)) == 1
    assert compare(store, "--gate", gate(store, "loose", 0.5)) == 0
    assert compare(store, "--gate", gate(store, "strict", 0.02)) == 1
    assert compare(store, "--gate", gate(store, "strict", 0.02)) == 1
    assert compare(store) == 0
    kept = [file.parent.name for file in store.rglob("verdict.json")]
    assert len(kept) == 3 and {"against-before", "loose"} < set(kept)
    assert len(list(store.rglob("report.html"))) == 4


def test_a_gates_name_leads_nowhere_out_of_the_runs_folder(store: Path) -> None:
    compare(store, "--gate", gate(store, "strict", 0.01))
    odd = gate(store, "odd", 0.5)
    odd.write_text("name: ../../../out\n" + odd.read_text())
    assert compare(store, "--gate", odd) == 0
    kept = list(store.parent.rglob("verdict.json"))
    assert len(kept) == 2 and all(each.is_relative_to(store / "after") for each in kept)


def test_a_report_at_a_place_of_ones_own_replaces_no_other_verdict(store: Path) -> None:
    page = store.parent / "page.html"
    words = ["report", "before", "after", "-o", str(page), "--store", str(store)]
    codes = []
    for name, margin in (("strict", 0.01), ("loose", 0.5), ("loose", 0.5)):
        codes.append(main([*words, "--gate", str(gate(store, name, margin))]))
    assert codes == [1, 0, 0]
    kept = [file.read_text() for file in store.parent.rglob("verdict.json")]
    assert len(kept) == 2
    assert '"gate": "loose"' in (page.parent / "verdict.json").read_text()


def test_a_gate_asked_for_by_name_takes_the_place_of_the_default_one(store: Path) -> None:
    compare(store, "--gate", "health")
    compare(store, "--gate", gate(store, "strict", 0.01))
    judged = store / "after" / "against-before"
    assert '"gate": "strict"' in (judged / "verdict.json").read_text()
    assert '"gate": "health"' in (judged / "health" / "verdict.json").read_text()


def test_a_verdict_is_accepted_and_verified_by_the_gate_that_it_holds(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = gate(store, "mine", 0.01)
    assert compare(store, "--gate", file) == 1
    file.unlink()
    judged = str(store / "after" / "against-before")
    where = ["--store", str(store)]
    assert main(["gate", "verify", judged, *where]) == 0
    assert main(["gate", "accept", judged, "a new vocabulary", *where]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ACCEPTED (was FAIL): a new vocabulary"


def test_a_report_takes_the_history_that_a_comparison_takes(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = gate(store, "keep", 0.19)
    codes = [compare(store, "--gate", file)]
    page = str(tmp_path / "page.html")
    words = ["report", "before", "after", "--gate", str(file), "-o", page, "--store", str(store)]
    codes.append(main(words))
    assert codes == [3, 3]


def test_a_name_that_is_one_checkpoints_wins_over_those_that_begin_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("tiny--s--1", "tiny-2--s--1"):
        with store.begin(a_run(name), on_wait=print) as opened:
            opened.finish(finished="x", skipped=(), notes=(), data={}, environment={})
    assert store.run("tiny").id == "tiny--s--1"
    assert store.run("tiny-2").id == store.run("tiny-2-").id == "tiny-2--s--1"


def test_runs_are_removed_with_their_reports(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(store)
    capsys.readouterr()
    assert main(["rm", "after", "--store", str(store)]) == 0
    assert capsys.readouterr().out.split() == [str(store / "after")]
    assert [each.name for each in store.iterdir()] == ["before"]


def test_no_run_is_removed_where_one_name_is_wrong(store: Path) -> None:
    assert main(["rm", "after", "nobody", "--store", str(store)]) == 2
    assert (store / "after").is_dir()


def test_what_a_killed_removal_left_is_no_run_and_goes_with_the_next(store: Path) -> None:
    (store / "after").rename(store / ".removed-after")
    assert [run.id for run in Store(store).runs()] == ["before"]
    (store / "before").rename(store / "after")
    assert main(["rm", "after", "--store", str(store)]) == 0
    assert not list(store.iterdir())


def test_a_run_that_is_being_written_is_not_removed(store: Path) -> None:
    with Store(store).begin(a_run("under-way"), on_wait=print):
        assert main(["rm", "under-way", "--store", str(store)]) == 2
    assert (store / "under-way").is_dir()
