"""The tiny recipe with its own gates, made smaller: sabotage is stopped, and mended goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pyr import content
from pyr.training.curriculum import RunOutcome

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
MODEL = {"hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 2}
SMALL = [
    "phases=[base-1, base-2, base-3]",
    "base-1.tokens=327680",
    "base-2.tokens=245760",
    "base-3.tokens=491520",
    "base-1.stories.documents=3000",
    "base-2.docs.documents=1200",
    "base-3.code.megabytes=4",
    *(f"base-{number}.held_out_items=30" for number in (1, 2, 3)),
]


@pytest.fixture
def tiny(train: Callable[..., RunOutcome], tmp_path: Path) -> Callable[..., RunOutcome]:
    """The shipped recipe with a smaller model, fewer tokens, and only held-out documents asked."""
    shipped = yaml.safe_load(content.path("train/tiny/model.yaml").read_text())
    shipped["config"] |= MODEL | {"num_attention_heads": 4}
    model, suite = tmp_path / "model.yaml", tmp_path / "suite.yaml"
    model.write_text(yaml.safe_dump(shipped))
    suite.write_text(yaml.safe_dump({"probes": [{"probe": "health"}]}))
    small = [*SMALL, f"model={model}", *(f"base-{n}.suite={suite}" for n in (1, 2, 3))]

    def run(*assignments: str) -> RunOutcome:
        return train(*small, *assignments, at=content.path("train/tiny"))

    run.trained = train.trained
    return run


def test_sabotage_is_stopped_by_its_gate_and_the_mended_recipe_goes_on(
    tiny: Callable[..., RunOutcome],
) -> None:
    wild = tiny("base-2.trainer.learning_rate=0.2")
    assert (wild.state, wild.passages[-1].phase) == ("fail", "base-2")
    said = " ".join(wild.passages[-1].sentences)
    assert "held_out_base-1/bits_per_byte rose by" in said
    assert "more than the 0.1 allowed" in said

    forgetful = tiny("base-3.again-1.use=false", "base-3.again-2.use=false")
    assert (forgetful.state, forgetful.passages[-1].phase) == ("fail", "base-3")
    [said] = [text for text in forgetful.passages[-1].sentences if "held_out_base-1" in text]
    assert "rose by" in said
    assert "more than the 0.1 allowed" in said

    mended = tiny()
    assert [(each.phase, each.state) for each in mended.passages] == [
        ("base-1", "pass"),
        ("base-2", "pass"),
        ("base-3", "pass"),
    ]
    assert tiny.trained == ["base-1", "base-2", "base-2", "base-3", "base-3"]
