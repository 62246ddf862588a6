"""``pyr noise``, with a probe whose answers depend on the arithmetic a little."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyr.cli import main
from pyr.probes import Chunk, Subject
from pyr.schema import Record


class Shaky:
    """Loses one answer of 200 in bfloat16, and ten for a batch size of 1."""

    def __init__(self, options: dict[str, Any], *, name: str) -> None:
        self.name = name

    def run(self, subject: Subject) -> Iterator[Chunk]:
        lost = 10 * (subject.settings.batch_size == 1) + (subject.settings.dtype == "bfloat16")
        values = [float(number >= lost) for number in range(200)]
        yield Chunk(records=[Record("quiz", "acc", str(n), v) for n, v in enumerate(values)])


@pytest.fixture
def shaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    file = tmp_path / "shaky.yaml"
    file.write_text("probes: [{probe: 'test_noise_verb:Shaky', name: shaky}]")
    return str(file)


def test_the_smallest_difference_is_what_other_arithmetic_makes(
    tiny_checkpoint, tmp_path, shaky, capsys
):
    asked = ["noise", str(tiny_checkpoint), "--suite", shaky, "--set", "device=cpu"]
    assert main([*asked, "--store", str(tmp_path / "store"), "--json"]) == 0
    (found,) = (
        each for each in json.loads(capsys.readouterr().out) if each["measure"] == "quiz/acc"
    )
    expected = {"batch size 1": 0.05, "batch size 16": 0.0, "bfloat16": 0.005}
    assert found["arithmetic"] == pytest.approx(expected)
    assert found["smallest"] == pytest.approx(0.05)


def test_a_batch_size_of_one_has_no_smaller_one(tiny_checkpoint, tmp_path, shaky, capsys):
    asked = ["noise", str(tiny_checkpoint), "--suite", shaky, "--set", "batch_size=1"]
    assert main([*asked, "--store", str(tmp_path)]) == 2
    assert "no smaller one" in capsys.readouterr().err
