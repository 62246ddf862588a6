"""``pyr bisect`` over stored runs."""

from __future__ import annotations

import argparse
import json

import pytest

from pyr.cli import bisect
from pyr.errors import UsageError
from pyr.schema import Aggregate, Checkpoint, Run
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
