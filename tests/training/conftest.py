from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from factories_training import MODEL, rehearsed, write_recipe

from pyr import content
from pyr.training import curriculum, order, recipe, stage
from pyr.training.curriculum import RunOutcome

OPEN = {"floors": [{"measure": "held_out_one/bits_per_byte", "at_most": 99}]}
SHUT = {"teaches": [{"measure": "held_out_one/bits_per_byte", "better_by": 5, "why": "Too much."}]}


def trainer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunOutcome]:
    """Runs a recipe of two phases with its stages in this process; counts them in `trained`."""
    shipped = write_recipe(
        folder / "recipe",
        content.path("train/tiny/tokenizer"),
        {"one": {"gate": "open.yaml"}, "two": {"gate": "open.yaml"}},
    )
    model = MODEL | {"config": MODEL["config"] | {"vocab_size": 2048}}
    for name, value in {"model": model, "open": OPEN, "shut": SHUT}.items():
        (shipped / f"{name}.yaml").write_text(yaml.safe_dump(value))
    trained: list[str] = []

    def here(phase: Path, _: Any) -> None:
        trained.append(phase.name)
        stage.run(order.read(phase), phase)

    monkeypatch.setattr(curriculum, "_train", here)
    rehearsal = rehearsed(folder, decontaminate=False)

    def run(*assignments: str, until: str = "", at: Path = shipped) -> RunOutcome:
        return curriculum.run(recipe.read(at, assignments), rehearsal, until=until)

    run.trained = trained
    run.rehearsal = rehearsal
    run.folder = shipped
    return run


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunOutcome]:
    """See `trainer`."""
    return trainer(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def two_passed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunOutcome]]:
    """A `trainer` whose two phases have been trained, and passed."""
    with pytest.MonkeyPatch.context() as patch:
        made = trainer(tmp_path_factory.mktemp("passed"), patch)
        made.outcome = made()
        yield made
