from __future__ import annotations

from pathlib import Path

import pytest
from factories_training import write_recipe

from pyr import content
from pyr.errors import ContentError, UsageError
from pyr.training import recipe

SHIPPED = ["train/tiny", "train/pyr-6m", "train/pyr-135m-local", "train/pyr-135m"]


@pytest.mark.parametrize("folder", SHIPPED)
def test_a_shipped_recipe_is_read(folder: str) -> None:
    found = recipe.read(content.path(folder))
    assert [phase.name for phase in found.phases] == found.recipe.phases


def test_the_real_recipe_gives_every_phase_the_tokens_of_the_plan() -> None:
    found = recipe.read(content.path("train/pyr-135m"))
    billions = {phase.name: phase.tokens / 1e9 for phase in found.phases if phase.tokens}
    planned = {"base-1": 10, "base-2": 2.5, "base-3": 10, "base-4": 7, "instruct": 2}
    assert billions == pytest.approx(planned | {"reasoning": 35}, rel=1e-3)


def test_a_wrong_key_of_a_phase_names_the_right_one(tmp_path: Path) -> None:
    folder = write_recipe(tmp_path, tmp_path, {"one": {"tokens_per_stp": 5}})
    with pytest.raises(ContentError, match="tokens_per_stp") as error:
        recipe.read(folder)
    assert "tokens_per_step" in error.value.remedy


def test_a_phase_without_a_file_is_named(tmp_path: Path) -> None:
    folder = write_recipe(tmp_path, tmp_path, {"base-1": {}})
    (folder / "base-1.yaml").rename(folder / "base-2.yaml")
    with pytest.raises(ContentError, match="base-1") as error:
        recipe.read(folder)
    assert "base-2" in error.value.remedy


def test_a_phase_starts_from_the_one_before(tmp_path: Path) -> None:
    found = recipe.read(write_recipe(tmp_path, tmp_path, {"one": {}, "two": {}}))
    assert [found.start_of(phase) for phase in found.phases] == ["scratch", "one"]


def test_a_phase_cannot_replay_a_later_one(tmp_path: Path) -> None:
    data = [{"name": "again", "replay": "two"}]
    folder = write_recipe(tmp_path, tmp_path, {"one": {"data": data}, "two": {}})
    with pytest.raises(ContentError, match="no phase before it"):
        recipe.read(folder)


@pytest.mark.parametrize("places", [{}, {"hub": "org/name", "replay": "one"}])
def test_a_source_has_exactly_one_place(tmp_path: Path, places: dict[str, str]) -> None:
    folder = write_recipe(tmp_path, tmp_path, {"one": {"data": [{"name": "x", **places}]}})
    with pytest.raises(ContentError, match="exactly one of"):
        recipe.read(folder)


def test_a_phase_refuses_what_only_a_tokenizer_reads(tmp_path: Path) -> None:
    data = [{"name": "x", "hub": "org/name", "cut": 100}]
    folder = write_recipe(tmp_path, tmp_path, {"one": {"data": data}})
    with pytest.raises(ContentError, match="a phase has no key 'cut'"):
        recipe.read(folder)


def test_steps_are_whole(tmp_path: Path) -> None:
    folder = write_recipe(tmp_path, tmp_path, {"one": {"tokens_per_step": 100}})
    with pytest.raises(ContentError, match="no multiple of length"):
        recipe.read(folder)


def test_an_assignment_reaches_trainer_source_and_recipe(tmp_path: Path) -> None:
    folder = write_recipe(tmp_path, tmp_path, {"one": {}})
    assignments = ["one.trainer.learning_rate=0.1", "one.stories.weight=3", "seed=7"]
    found = recipe.read(folder, assignments)
    phase = found.phases[0]
    assert (phase.trainer["learning_rate"], phase.data[0].weight) == (0.1, 3)
    assert found.recipe.seed == 7


@pytest.mark.parametrize("assignment", ["seed", "one.trainr.learning_rate=1", "nine.tokens=1"])
def test_a_wrong_assignment_is_refused(tmp_path: Path, assignment: str) -> None:
    folder = write_recipe(tmp_path, tmp_path, {"one": {}})
    with pytest.raises((UsageError, ContentError)):
        recipe.read(folder, [assignment])
