"""``pyr bisect`` over stored runs, and over the folders of a training."""

from __future__ import annotations

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pyr.cli import bisect, main
from pyr.errors import UsageError
from pyr.probes import Chunk, Subject
from pyr.schema import Aggregate, Checkpoint, Record, Run
from pyr.store import Store

SCORES = {1000: 0.40, 2000: 0.41, 3000: 0.40, 4000: 0.30, 5000: 0.29, 6000: 0.28}


@pytest.fixture
def store(tmp_path):
    found = Store(tmp_path)
    for step, score in SCORES.items():
        name = f"m-step{step}"
        checkpoint = Checkpoint(
            path="", name=name, digest=name, format="imported", step=step, tokens=step * 10
        )
        run = Run(name, checkpoint, "s", "s", "e", started=name)
        with found.begin(run, on_wait=print) as opened:
            opened.put_aggregates([Aggregate("arc", "acc", score, 0.005, n=5000)])
            opened.finish(finished="x", skipped=(), notes=(), data={}, environment={})
    return found


def asked(store, good, bad, **given):
    plain = {"rule": "arc/acc not_worse_by 0.02", "store": str(store.root), "json": False}
    return bisect.run(argparse.Namespace(good=good, bad=bad, **{**plain, **given}))


def test_the_first_bad_checkpoint_is_named_with_its_tokens(store, capsys):
    assert asked(store, "m-step1000", "m-step6000") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("last that passes:  m-step3000")
    assert said[1].startswith("first that fails:  m-step4000")
    assert "arc/acc fell by 0.100" in said[2]
    assert said[-1].startswith("FOUND  m-step4000")


def test_the_answer_is_json_too(store, capsys):
    asked(store, "m-step1000", "m-step6000", json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["last_good"], found["first_bad"], found["between"]) == (
        "m-step3000",
        "m-step4000",
        0,
    )


def test_good_comes_before_bad(store):
    with pytest.raises(UsageError, match="does not come after"):
        asked(store, "m-step6000", "m-step1000")


def test_a_way_without_a_fall_has_no_first_bad_checkpoint(store):
    with pytest.raises(UsageError, match="nothing to find"):
        asked(store, "m-step1000", "m-step3000")


# ------------------------------------------------------------------ several phases


def test_stored_runs_of_several_phases_lie_by_their_tokens(store, capsys):
    for place, score in enumerate([0.4, 0.41, 0.3, 0.29]):
        phase, step = f"base-{place // 2 + 1}", 10 * (place % 2 + 1)
        name = f"tiny-{phase}-{step}"
        checkpoint = Checkpoint("", name, name, "imported", {}, phase, step, 100 * (place + 1))
        with store.begin(Run(name, checkpoint, "s", "s", "e", started=name), on_wait=print) as run:
            run.put_aggregates([Aggregate("arc", "acc", score, 0.005, n=5000)])
            run.finish(finished="x", skipped=(), notes=(), data={}, environment={})
    asked(store, "tiny-base-1-10", "tiny-base-2-20")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("last that passes:  tiny-base-1-20, 200 tokens")
    assert said[1].startswith("first that fails:  tiny-base-2-10, 300 tokens")


class Falling:
    """Loses its answers after 250 tokens, and counts how often it is asked."""

    asked: ClassVar[Counter[str]] = Counter()

    def __init__(self, options: dict[str, Any], *, name: str) -> None:
        self.name = name

    def run(self, subject: Subject) -> Iterator[Chunk]:
        self.asked[self.name] += 1
        right = 190 if (subject.checkpoint.tokens or 0) <= 250 else 100
        items = range(200)
        yield Chunk(records=[Record(self.name, "acc", str(n), float(n < right)) for n in items])


@pytest.fixture
def trained(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a training in two phases, with an attempt that was laid aside."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    other = f"{{probe: '{__name__}:Falling', name: other}}"
    (tmp_path / "falling.yaml").write_text(
        f"probes: [{{probe: '{__name__}:Falling', name: quiz}}, {other}]"
    )
    Falling.asked.clear()
    places = [
        ("base-1/checkpoint-10", "base-1", 100),
        ("base-1/checkpoint-20", "base-1", 200),
        ("base-1/final", "base-1", 200),
        ("base-1--0a1b/checkpoint-30", "base-1", 300),
        ("base-2/checkpoint-10", "base-2", 300),
        ("base-2/checkpoint-20", "base-2", 400),
        ("base-2/final", "base-2", 400),
    ]
    for place, phase, tokens in places:
        folder = tmp_path / "out" / place
        shutil.copytree(tiny_checkpoint, folder)
        (folder / "generation_config.json").write_text(json.dumps({"max_length": tokens}))
        step = (tokens - 1) % 200 // 100 * 10 + 10
        mark = {"recipe": "tiny", "phase": phase, "step": step, "tokens": tokens}
        (folder / "complete.json").write_text(json.dumps(mark))
    return tmp_path / "out"


def folders(trained: Path, good: str, bad: str) -> int:
    suite = trained.parent / "falling.yaml"
    return main(
        ["bisect", str(trained / good), str(trained / bad)]
        + ["--rule", "quiz/acc not_worse_by 0.1", "--suite", str(suite)]
        + ["--store", str(trained.parent / "store"), "--set", "device=cpu"]
    )


def test_a_fall_is_found_across_the_phases_of_a_training(trained, capsys):
    assert folders(trained, "base-1/checkpoint-10", "base-2/final") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "last that passes:  tiny-base-1-20, 200 tokens"
    assert said[1] == "first that fails:  tiny-base-2-10, 300 tokens"
    assert said[-1].endswith("(4 of 4 checkpoints judged)")


def test_only_the_good_checkpoint_is_asked_more_than_the_rule_needs(trained):
    folders(trained, "base-1/checkpoint-10", "base-2/final")
    # The good one under the whole suite, then all that are judged by what the rule names.
    assert Falling.asked == {"quiz": 4 + 1, "other": 1}


def test_a_checkpoint_that_was_evaluated_as_a_whole_is_not_asked_again(trained):
    way = ["base-1/checkpoint-10", "base-1/checkpoint-20", "base-2/checkpoint-10", "base-2/final"]
    suite, store = str(trained.parent / "falling.yaml"), str(trained.parent / "store")
    main(
        ["eval", *(str(trained / each) for each in way), "--suite", suite, "--store", store]
        + ["--set", "device=cpu"]
    )
    Falling.asked.clear()
    assert folders(trained, way[0], way[-1]) == 0
    assert not Falling.asked


def test_folders_of_different_trainings_are_not_on_one_way(trained, capsys):
    assert folders(trained, "base-1--0a1b/checkpoint-30", "base-2/final") == 2
    assert "not of one training" in capsys.readouterr().err


def test_the_earlier_folder_comes_first(trained, capsys):
    assert folders(trained, "base-2/final", "base-1/final") == 2
    assert "does not come after" in capsys.readouterr().err
