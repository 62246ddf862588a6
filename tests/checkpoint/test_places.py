from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pyr.checkpoint import identify
from pyr.errors import CheckpointError

FIRST, SECOND = "a" * 40, "b" * 40


def cached(model: Path, hub: Path, *revisions: str, main: str = "") -> Path:
    place = hub / "models--someone--tiny"
    for revision in revisions:
        shutil.copytree(model, place / "snapshots" / revision)
    if main:
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text(main)
    return place


def test_a_folder_of_the_hubs_cache_is_its_main_snapshot(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    place = cached(tiny_checkpoint, tmp_path, FIRST, SECOND, main=SECOND)
    found = identify(place)
    assert found.path == str(place / "snapshots" / SECOND)
    assert found.name == "someone--tiny"
    assert found.digest == identify(tiny_checkpoint).digest
    assert identify(place / "snapshots").path == found.path


def test_another_revision_is_called_by_it(tiny_checkpoint: Path, tmp_path: Path) -> None:
    place = cached(tiny_checkpoint, tmp_path, FIRST, SECOND, main=SECOND)
    assert identify(place / "snapshots" / FIRST).name == "someone--tiny-aaaaaaa"
    assert identify(place / "snapshots" / SECOND).name == "someone--tiny"


def test_a_single_snapshot_needs_no_ref(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert identify(cached(tiny_checkpoint, tmp_path, FIRST)).name == "someone--tiny"


def test_one_of_several_revisions_is_asked_for(tiny_checkpoint: Path, tmp_path: Path) -> None:
    place = cached(tiny_checkpoint, tmp_path, FIRST, SECOND)
    with pytest.raises(CheckpointError, match="2 revisions") as caught:
        identify(place)
    assert SECOND in caught.value.remedy


def test_a_model_that_was_not_fetched_whole_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds none"):
        place = cached(tmp_path, tmp_path / "hub")
        (place / "snapshots").mkdir(parents=True)
        identify(place)


def test_the_cache_itself_is_answered_with_one_of_its_models(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    place = cached(tiny_checkpoint, tmp_path, FIRST)
    with pytest.raises(CheckpointError) as caught:
        identify(tmp_path)
    assert str(place) in caught.value.remedy


# ------------------------------------------------------------------ adapters


def adapter(folder: Path, base: str, **about: object) -> Path:
    folder.mkdir(exist_ok=True)
    config = {"peft_type": "LORA", "base_model_name_or_path": base, **about}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def test_an_adapter_is_known_by_itself_and_by_its_base(
    checkpoint_copy: Path, tmp_path: Path
) -> None:
    folder = adapter(tmp_path / "lora", str(checkpoint_copy))
    before = identify(folder)
    assert (before.name, before.base) == ("lora", str(checkpoint_copy))
    (folder / "adapter_model.safetensors").write_bytes(b"others")
    after = identify(folder)
    assert after.digest != before.digest
    (checkpoint_copy / "config.json").write_bytes(
        (checkpoint_copy / "config.json").read_bytes() + b" "
    )
    assert identify(folder).digest not in (before.digest, after.digest)


def test_an_adapter_beside_a_full_model_is_another_checkpoint(checkpoint_copy: Path) -> None:
    before = identify(checkpoint_copy)
    found = identify(adapter(checkpoint_copy, "somewhere/else"))
    assert found.digest != before.digest
    assert found.base == str(checkpoint_copy)


@pytest.mark.parametrize("place", ["beside", "below"])
def test_a_base_is_found_from_the_adapters_own_folder(
    checkpoint_copy: Path, tmp_path: Path, place: str
) -> None:
    folder = adapter(tmp_path / "lora", "copy")
    if place == "below":
        checkpoint_copy.rename(folder / "copy")
    assert identify(folder).base


def test_a_base_is_found_in_the_hubs_cache(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    place = cached(tiny_checkpoint, tmp_path / "hub", FIRST, SECOND, main=SECOND)
    folder = adapter(tmp_path / "lora", "someone/tiny")
    assert identify(folder).base == str(place / "snapshots" / SECOND)
    adapter(folder, "someone/tiny", revision=FIRST)
    assert identify(folder).base == str(place / "snapshots" / FIRST)


def test_a_base_that_is_not_here_is_answered_with_how_to_fetch_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="base model is not here") as caught:
        identify(adapter(tmp_path / "lora", "someone/absent"))
    assert "hf download someone/absent" in caught.value.remedy


def test_an_adapter_that_names_no_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="names no base model"):
        identify(adapter(tmp_path / "lora", ""))


def test_an_adapter_without_its_weights_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "lora", str(tiny_checkpoint))
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        identify(folder)


def test_a_pickled_adapter_is_refused_unless_allowed(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "lora", str(tiny_checkpoint))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(CheckpointError, match="pickled"):
        identify(folder)
    assert identify(folder, allow_pickle=True).base
