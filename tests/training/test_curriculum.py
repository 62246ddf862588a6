from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pyr.cli import main
from pyr.errors import MeasureError
from pyr.store import Store
from pyr.training import curriculum, order
from pyr.training.curriculum import RunOutcome

pytestmark = pytest.mark.filterwarnings("ignore")

Train = Callable[..., RunOutcome]


def test_phases_hand_over_and_are_not_trained_twice(train: Train, tmp_path: Path) -> None:
    outcome = train()
    assert (outcome.state, [each.phase for each in outcome.passages]) == ("pass", ["one", "two"])
    assert order.read(tmp_path / "out/two").start == (tmp_path / "out/one/final").resolve()
    assert order.read(tmp_path / "out/two").tokens_before == 1536
    assert train().passages == outcome.passages
    assert train.trained == ["one", "two"]


def test_a_pulse_asks_every_phases_held_out_documents(train: Train, tmp_path: Path) -> None:
    train("one.pulse=suite.yaml", "one.pulse_share=0.9", until="one")
    asked = order.read(tmp_path / "out/one").pulse
    assert asked is not None
    assert asked.probes[-1].options["tasks"] == ["held_out_one", "held_out_two"]
    store = Store(tmp_path / "results")
    pulses = [run for run in store.runs() if run.checkpoint.name.startswith("toy-one-")]
    assert pulses
    tasks = set(store.results(pulses[0]).records["task"])
    assert {"held_out_one", "held_out_two"} <= tasks


def test_a_closed_gate_stops_and_a_mended_recipe_goes_on(train: Train, tmp_path: Path) -> None:
    stopped = train("two.gate=shut.yaml", "two.trainer.learning_rate=0.002")
    assert stopped.state == "fail"
    assert "held_out_one" in stopped.passages[-1].sentences[0]
    assert (tmp_path / "out/two/verdict.json").is_file()
    mended = train()
    assert mended.state == "pass"
    assert train.trained == ["one", "two", "two"]
    assert len(list((tmp_path / "out").glob("two--*"))) == 1


def test_a_verdict_overruled_in_the_phases_folder_opens_the_gate(
    train: Train, tmp_path: Path
) -> None:
    closed = train("one.gate=shut.yaml", until="one")
    assert not closed.passages[-1].opens
    found, where = str(tmp_path / "out/one"), str(train.rehearsal.store.root)
    assert main(["gate", "accept", found, "it is enough", "--store", where]) == 0
    opened = train("one.gate=shut.yaml", until="one")
    assert opened.passages[-1].opens and opened.passages[-1].state == closed.passages[-1].state
    assert train.trained == ["one"]


def test_another_gate_judges_anew_without_training(train: Train) -> None:
    assert train("one.gate=shut.yaml", until="one").state != "pass"
    assert train(until="one").state == "pass"
    assert train.trained == ["one"]


def test_what_a_stage_says_when_it_stops_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stopped.json").write_text('{"what": "w", "where": "x", "remedy": "y"}')
    monkeypatch.setattr(curriculum, "stage_command", lambda folder, read: ["false"])
    with pytest.raises(MeasureError) as error:
        curriculum._train(tmp_path, None)
    assert error.value.text() == "w\n  x\n  y"
