from __future__ import annotations

from pathlib import Path

import pytest

from pyr.cli import main


def test_export_gguf_asks_for_the_converter(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "gguf", str(tiny_checkpoint), str(tmp_path / "m.gguf")]) == 2
    assert "--llama-cpp DIR" in capsys.readouterr().err


def test_export_hf_says_that_no_score_is_stored(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ["--store", str(tmp_path / "results")]
    assert main(["export", "hf", str(tiny_checkpoint), str(tmp_path / "out"), *store]) == 0
    assert "scores: none" in capsys.readouterr().out
    assert (tmp_path / "out/README.md").is_file()
