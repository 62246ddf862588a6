"""`pyr doctor`: one line a thing that is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyr.cli import main

SUITE = """
name: two
probes:
  - probe: harness
    name: chat
    apply_chat_template: true
    tasks: [pyr_facts]
"""
PUBLIC = """
name: public
probes:
  - {probe: harness, families: [hellaswag], tasks: [hellaswag]}
"""


@pytest.fixture
def suite(tmp_path: Path) -> str:
    (tmp_path / "two.yaml").write_text(SUITE)
    return str(tmp_path / "two.yaml")


def test_a_suite_that_is_all_here_exits_with_0(
    suite: str, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(tiny_checkpoint), "--suite", suite]) == 0
    assert capsys.readouterr().out == "nothing is missing for suite two\n"


def test_missing_data_exits_with_2_and_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "public.yaml").write_text(PUBLIC)
    (tmp_path / "hub").mkdir()
    asked = ["doctor", "--suite", str(tmp_path / "public.yaml"), "--datasets"]
    assert main([*asked, str(tmp_path / "hub")]) == 2
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("MISSING  the data of task 'hellaswag'")
    assert "hf download --repo-type dataset Rowan/hellaswag" in line


def test_a_missing_template_is_a_note(
    suite: str, checkpoint_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in checkpoint_copy.glob("chat_template*"):
        file.unlink()
    settings = checkpoint_copy / "tokenizer_config.json"
    kept = json.loads(settings.read_text())
    kept.pop("chat_template", None)
    settings.write_text(json.dumps(kept))
    assert main(["doctor", str(checkpoint_copy), "--suite", suite, "--json"]) == 0
    [need] = json.loads(capsys.readouterr().out)
    assert "no chat template" in need["what"]


def test_too_little_room_is_missing(
    suite: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pyr.cli.doctor._ROOM_BYTES", 1e18)
    assert main(["doctor", "--suite", suite]) == 2
    assert "GB free at" in capsys.readouterr().out
