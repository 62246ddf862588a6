"""What a user can get wrong: exit code 2, at most three lines on stderr, never a traceback."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pyr.cli import main, main_eval

FEW = """
probes:
  - {probe: harness, tasks: [pyr_facts], limit: 4}
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    file = tmp_path / "few.yaml"
    file.write_text(FEW)
    return file


def said(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> list[str]:
    """What `pyr-eval` writes on stderr before it refuses, without lines of progress."""
    try:
        code = main_eval(arguments)
    except SystemExit as exit_:
        code = exit_.code
    err = capsys.readouterr().err
    assert code == 2
    assert "Traceback" not in err
    lines = err[err.index("pyr-eval:") :].splitlines()
    assert len(lines) <= 3
    return lines


def test_a_missing_path(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "does not exist" in said(capsys, [str(tmp_path / "no")])[0]


def test_a_folder_that_is_no_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "holds no config.json" in said(capsys, [str(tmp_path)])[0]


def test_a_file_that_is_no_model(capsys: pytest.CaptureFixture[str], suite: Path) -> None:
    assert "is no model" in said(capsys, [str(suite)])[0]


def test_no_checkpoint_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert "required: checkpoint" in said(capsys, [])[0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--suite", "smoek"], "did you mean: smoke"),
        (["--suite", "no/such.yaml"], "not found"),
        (["--gate", "bse"], "did you mean: base"),
        (["--sute", "smoke"], "did you mean: --suite"),
        (["--set", "divice=cpu"], "did you mean: device"),
        (["--set", "device"], "no value"),
        (["--set", "batch_size=many"], "not of type int"),
        (["--set", "dtype=float99"], "unknown dtype"),
        (["--set", "harness.limet=4"], "did you mean: limit"),
        (["--set", "seed=often"], "'seed'"),
        (["--engine", "warp"], "unknown engine"),
        (["--engine", "no.such:engine"], "cannot be imported"),
        (["--datasets", "no/such/mirror"], "no mirror"),
        (["--baseline", "no-such-run"], "no-such-run"),
    ],
)
def test_a_wrong_word_is_answered(
    capsys: pytest.CaptureFixture[str],
    tiny_checkpoint: Path,
    suite: Path,
    tmp_path: Path,
    arguments: list[str],
    expected: str,
) -> None:
    common = [str(tiny_checkpoint), "--suite", str(suite), "--store", str(tmp_path / "results")]
    assert expected in "\n".join(said(capsys, [*common, *arguments]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("probes: [{probe: harnes, tasks: [a]}]", "did you mean: harness"),
        ("probes: [{probe: harness, task: [a]}]", "did you mean: tasks"),
        ("probes: [{probe: harness, tasks: [pyr_fakts]}]", "did you mean: pyr_facts"),
        ("probes: [{probe: harness, tasks: [hellaswog]}]", "did you mean: hellaswag"),
        (
            "probes: [{probe: harness, tasks: [{task: pyr_facts, num_fewshot: five}]}]",
            "the suite sets: {'num_fewshot': 'five'}",
        ),
        ("probs: []", "did you mean: probes"),
        ("probes: [{probe: harness, tasks: [pyr_facts], limit: 0}]", "limit"),
        ("probes: [", "not valid YAML"),
    ],
)
def test_a_wrong_suite_is_answered(
    capsys: pytest.CaptureFixture[str],
    tiny_checkpoint: Path,
    tmp_path: Path,
    text: str,
    expected: str,
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    arguments = [str(tiny_checkpoint), "--suite", str(file), "--store", str(tmp_path / "results")]
    assert expected in "\n".join(said(capsys, arguments))


def test_a_results_folder_that_is_a_file(
    capsys: pytest.CaptureFixture[str], tiny_checkpoint: Path, suite: Path
) -> None:
    arguments = [str(tiny_checkpoint), "--suite", str(suite), "--store", str(suite)]
    assert str(suite) in "\n".join(said(capsys, arguments))


def test_pickled_weights(
    capsys: pytest.CaptureFixture[str], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "pickled"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "allow_pickle=true" in "\n".join(said(capsys, [str(folder)]))


def test_a_run_that_is_not_stored(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["compare", "a", "b", "--store", str(tmp_path)]) == 2
    assert "pyr: " in capsys.readouterr().err


def test_a_report_is_asked_for_in_a_file_that_is_no_page(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["report", "a", "-o", str(tmp_path / "report.md"), "--store", str(tmp_path)]) == 2
    assert "one HTML file" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["bisect", "noise"])
def test_every_verb_looks_for_the_mirror_first(
    capsys: pytest.CaptureFixture[str], tiny_checkpoint: Path, tmp_path: Path, verb: str
) -> None:
    folders = []
    for step in (1, 2):
        folders.append(str(shutil.copytree(tiny_checkpoint, tmp_path / f"checkpoint-{step}")))
    rule = ["--rule", "a/b at_least 1"] if verb == "bisect" else []
    common = ["--datasets", str(tmp_path / "no"), "--store", str(tmp_path / "results")]
    assert main([verb, *folders, *rule, *common]) == 2
    assert "no mirror of data sets" in capsys.readouterr().err


def test_a_chat_template_that_cannot_be_rendered(
    capsys: pytest.CaptureFixture[str], checkpoint_copy: Path, tmp_path: Path
) -> None:
    (checkpoint_copy / "chat_template.jinja").write_text("{% for %}")
    file = tmp_path / "chat.yaml"
    options = "tasks: [pyr_facts], apply_chat_template: true, limit: 2"
    file.write_text(f"probes: [{{probe: harness, {options}}}]")
    arguments = [str(checkpoint_copy), "--suite", str(file), "--store", str(tmp_path / "results")]
    assert "cannot be rendered" in "\n".join(said(capsys, arguments))


def test_a_tokenizer_that_is_json_and_no_tokenizer(
    capsys: pytest.CaptureFixture[str], checkpoint_copy: Path, suite: Path, tmp_path: Path
) -> None:
    (checkpoint_copy / "tokenizer.json").write_text('{"model": {"vocab": {}}}')
    arguments = [str(checkpoint_copy), "--suite", str(suite), "--store", str(tmp_path / "results")]
    assert "cannot load the model" in "\n".join(said(capsys, arguments))
