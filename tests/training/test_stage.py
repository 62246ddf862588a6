from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from factories_training import curve, invented, placed, weights

from pyr import content
from pyr.errors import MeasureError, StoreError
from pyr.training import callbacks, checkpoints, order, stage

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """A phase that has not begun."""
    return placed(tmp_path_factory.mktemp("phase"), tiny_checkpoint, {"one": {}})


@pytest.fixture(scope="module")
def whole(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same phase, trained without a break."""
    return trained(copied(fresh, tmp_path_factory.mktemp("whole")))


def copied(phase: Path, to: Path) -> Path:
    return Path(shutil.copytree(phase, to / "one"))


def trained(phase: Path) -> Path:
    stage.run(order.read(phase), phase)
    return phase


def broken_at(monkeypatch: pytest.MonkeyPatch, name: str, *, call: int) -> None:
    """Let a function of `checkpoints` die in its `call`-th call, as by a kill."""
    real: Callable[..., object] = getattr(checkpoints, name)
    calls = 0

    def dying(*arguments: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        return real(*arguments, **more)

    monkeypatch.setattr(checkpoints, name, dying)


def test_a_phase_ends_with_the_model_and_its_tokenizer(whole: Path) -> None:
    names = {file.name for file in (whole / "final").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "complete.json"} <= names
    assert not {"optimizer.pt", "scheduler.pt", "rng_state.pth"} & names
    assert checkpoints.faults(whole / "final") == []


def test_the_log_has_a_line_for_every_step(whole: Path) -> None:
    assert [step for step, *_ in curve(whole)] == list(range(1, 13))
    line = order.read_log(whole / "log.jsonl")[-1]
    assert line["tokens"] == 12 * 128
    assert line["tokens_per_second"] > 0
    assert 0 < line["mfu"] < 1


@pytest.mark.parametrize(
    ("name", "call"), [("_seal", 1), ("_seal", 2), ("fsync", 20), ("prune", 2), ("conclude", 1)]
)
def test_a_phase_broken_off_while_saving_ends_in_the_same_weights(
    fresh: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: int
) -> None:
    phase = copied(fresh, tmp_path)
    broken_at(monkeypatch, name, call=call)
    with pytest.raises(KeyboardInterrupt):
        trained(phase)
    monkeypatch.undo()
    trained(phase)
    assert weights(phase) == weights(whole)
    assert curve(phase) == curve(whole)


def test_a_chat_phase_with_replay_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [
        {"name": "chats", **invented("dialogues", 60), "weight": 0.8},
        {"name": "again", "replay": "one", "weight": 0.2},
    ]
    chat = {"stage": "sft", "start": "scratch", "data": data}
    fresh = placed(
        tmp_path / "fresh",
        content.path("train/tiny/tokenizer"),
        {"one": {}, "two": chat},
        model=str(content.path("train/tiny/model.yaml")),
    )
    whole = trained(Path(shutil.copytree(fresh, tmp_path / "whole")))
    broken_at(monkeypatch, "_seal", call=2)
    with pytest.raises(KeyboardInterrupt):
        trained(fresh)
    monkeypatch.undo()
    assert checkpoints.newest(fresh).step == 4
    trained(fresh)
    assert weights(fresh) == weights(whole)
    assert curve(fresh) == curve(whole)


def test_sigterm_saves_and_the_phase_goes_on_from_there(
    fresh: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phase = copied(fresh, tmp_path)
    real = callbacks.Watch.on_log

    def signalled(self: callbacks.Watch, args: object, state: object, *more: object, **kw: object):
        if state.global_step == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, args, state, *more, **kw)

    monkeypatch.setattr(callbacks.Watch, "on_log", signalled)
    trained(phase)
    monkeypatch.undo()
    assert checkpoints.newest(phase).step == 7
    assert checkpoints.final(phase) is None
    trained(phase)
    assert weights(phase) == weights(whole)
    assert curve(phase) == curve(whole)


def test_a_damaged_checkpoint_is_passed_over(fresh: Path, whole: Path, tmp_path: Path) -> None:
    phase = copied(whole, tmp_path)
    shutil.rmtree(phase / "final")
    file = phase / "checkpoint-12" / "model.safetensors"
    # The file may share its bytes with others: replace it, do not write into it.
    damaged = file.read_bytes()[:-4] + b"\0\0\0\1"
    file.unlink()
    file.write_bytes(damaged)
    assert checkpoints.newest(phase).step == 8
    trained(phase)
    assert weights(phase) == weights(whole)


def test_only_the_newest_checkpoints_are_kept(whole: Path) -> None:
    assert sorted(folder.name for folder in whole.glob("checkpoint-*")) == [
        "checkpoint-12",
        "checkpoint-8",
    ]


def test_old_checkpoints_stay_while_the_new_one_is_damaged(whole: Path, tmp_path: Path) -> None:
    phase = copied(whole, tmp_path)
    (phase / "checkpoint-12" / "config.json").unlink()
    checkpoints.prune(phase, keep=1)
    assert (phase / "checkpoint-8").is_dir()


def test_a_loss_that_is_not_a_number_stops_and_names_the_batch(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    wild = {"learning_rate": 1e18, "max_grad_norm": 0.0, "save_steps": 1, "warmup_steps": 3}
    phase = placed(tmp_path, tiny_checkpoint, {"one": {"trainer": wild, "spike": None}})
    with pytest.raises(MeasureError, match="last good state is .*checkpoint-") as error:
        trained(phase)
    assert "stories document" in error.value.where
    last = checkpoints.newest(phase)
    assert last is not None
    assert checkpoints.faults(last.folder) == []


def test_a_leap_of_the_loss_stops(tmp_path: Path, tiny_checkpoint: Path) -> None:
    log = '{"step": 0, "loss": 1.0}\n' * 20
    phase = placed(tmp_path, tiny_checkpoint, {"one": {}})
    (phase / "log.jsonl").write_text(log)
    with pytest.raises(MeasureError, match="leapt"):
        trained(phase)


def test_a_full_disk_leaves_the_last_checkpoint(
    fresh: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phase = copied(fresh, tmp_path)
    real = checkpoints._seal

    def full(folder: Path, about: dict[str, object]) -> None:
        if folder.name == "checkpoint-8":
            raise OSError(28, "No space left on device")
        real(folder, about)

    monkeypatch.setattr(checkpoints, "_seal", full)
    with pytest.raises(StoreError, match="disk is full.*step 4 is intact"):
        trained(phase)
    monkeypatch.undo()
    assert checkpoints.newest(phase).step == 4
    trained(phase)
    assert weights(phase) == weights(whole)
