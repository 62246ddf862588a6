"""What is missing is found before anything runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pyr import datasets
from pyr.checkpoint import identify
from pyr.errors import DataMissing
from pyr.probes import Subject, needs
from pyr.probes.harness import Harness
from pyr.probes.needs import Need
from pyr.probes.task_files import task_files
from pyr.probes.tasks import data_of


def folder_with(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / name.replace("_yaml", ".yaml").replace("_py", ".py")).write_text(text)
    return tmp_path


def missing(folder: Path) -> list[str]:
    definition = task_files(folder / "x.yaml")
    return [need.what.split("'")[1] for need in needs.of_code(definition)]


TASK = "task: x\nprocess_results: !function utils.grade\n"


@pytest.mark.parametrize(
    ("code", "lacks"),
    [
        ("import json\nimport numpy\n", []),
        ("import no_such_module.part\n", ["no_such_module"]),
        ("from no_such_module import x\n", ["no_such_module"]),
        ("try:\n    import no_such_module\nexcept ImportError:\n    x = None\n", []),
        (
            "try:\n    import no_such_module\nexcept ImportError as e:\n    raise e\n",
            ["no_such_module"],
        ),
        ("def f():\n    import no_such_module\n", []),
        ("from more import y\n", ["no_such_module"]),
    ],
)
def test_packages_that_a_tasks_functions_cannot_do_without(
    tmp_path: Path, code: str, lacks: list[str]
) -> None:
    files = {"x_yaml": TASK, "utils_py": code, "more_py": "import no_such_module\n"}
    assert missing(folder_with(tmp_path, **files)) == lacks


@pytest.mark.parametrize("place", ["shared.py", "shared/__init__.py", "tasks/lib/shared.py"])
def test_a_module_beside_above_or_below_is_no_missing_package(tmp_path: Path, place: str) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("")
    folder_with(tmp_path / "tasks", x_yaml=TASK, utils_py="import shared\n")
    assert missing(tmp_path / "tasks") == []


def test_code_that_looks_for_modules_itself_is_run_to_see_what_it_finds(tmp_path: Path) -> None:
    code = "import sys\nsys.path.insert(0, somewhere)\nimport no_such_module\n"
    assert missing(folder_with(tmp_path, x_yaml=TASK, utils_py=code)) == []


def test_what_another_task_of_the_folder_lacks_does_not_matter(tmp_path: Path) -> None:
    files = {"y_yaml": "task: y\nprocess_results: !function other.grade\n"}
    lacking = folder_with(tmp_path, x_yaml=TASK, utils_py="", other_py="import no_such\n", **files)
    assert missing(lacking) == []


def test_code_that_no_task_names_does_not_matter(tmp_path: Path) -> None:
    files = {"x_yaml": TASK, "utils_py": "", "generate_py": "import no_such_module\n"}
    assert missing(folder_with(tmp_path, **files)) == []


def test_ifevals_sentence_data_is_asked_for_where_it_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("nltk.data.path", [str(tmp_path)])
    needs._of_code.cache_clear()
    found = list(Harness({"families": ["ifeval"], "tasks": ["ifeval"]}, name="x").needs(None, None))
    needs._of_code.cache_clear()
    assert "punkt_tab" in found[0].what
    assert found[0].remedy.startswith("pyr datasets punkt ")


def test_a_data_set_that_the_mirror_lacks_is_named_once(
    sums: tuple[Path, Path], tmp_path: Path
) -> None:
    probe = Harness({"include_path": [str(sums[1])], "tasks": ["sums", "says"]}, name="x")
    (tmp_path / "empty").mkdir()
    assert list(probe.needs(None, sums[0])) == []
    [need] = probe.needs(None, tmp_path / "empty")
    assert "pyr-tests/sums" in need.what
    assert need.blocks
    assert "hf download --repo-type dataset pyr-tests/sums" in need.remedy


def test_without_a_mirror_the_hub_is_asked_and_that_stops_nothing(
    sums: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "hub_answers", lambda: True)
    probe = Harness({"include_path": [str(sums[1])], "tasks": ["sums"]}, name="x")
    [need] = probe.needs(None, None)
    assert not need.blocks


def test_a_hub_that_cannot_be_asked_stops_it_at_once(
    sums: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "hub_answers", lambda: False)
    probe = Harness({"include_path": [str(sums[1])], "tasks": ["sums"]}, name="x")
    [need] = probe.needs(None, None)
    assert need.blocks
    assert "pyr-tests/sums (no mirror was named, and the hub cannot be asked)" in need.what


# ------------------------------------------------------------------ files of one's own

MINE = """
task: mine
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: question
doc_to_choice: choices
doc_to_target: answer
metric_list: [{{metric: acc}}]
"""


@pytest.fixture
def mine(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with a task in lm-eval's own format, and the file elsewhere that it reads."""
    folder = folder_with(tmp_path, **{"mine.yaml": MINE.format(file=tmp_path / "items.jsonl")})
    file = tmp_path / "items.jsonl"
    rows = [{"question": f"{n} and", "choices": [" one", " two"], "answer": 0} for n in range(3)]
    file.write_text("\n".join(map(json.dumps, rows)))
    return folder, file


@pytest.mark.parametrize("with_mirror", [True, False])
def test_a_task_may_read_a_file_of_its_own_beside_a_mirror(
    mine: tuple[Path, Path], subject: Subject, tmp_path: Path, with_mirror: bool
) -> None:
    folder, file = mine
    probe = Harness({"include_path": [str(folder)], "tasks": ["mine"]}, name="x")
    place = tmp_path if with_mirror else None
    assert list(probe.needs(None, place)) == []
    chunks = list(probe.run(replace(subject, mirror=place)))
    assert {each.item for chunk in chunks for each in chunk.records} == {"0", "1", "2"}
    assert set(chunks[0].data) == {"task:mine", f"file:{file}"}


def test_a_file_that_is_gone_is_named_before_anything_is_measured(mine: tuple[Path, Path]) -> None:
    folder, file = mine
    file.unlink()
    [need] = Harness({"include_path": [str(folder)], "tasks": ["mine"]}, name="x").needs(None, None)
    assert need.blocks
    assert str(file) in need.what
    assert "put it there" in need.remedy


def test_the_files_that_data_files_may_name() -> None:
    named = {"data_files": {"train": ["a", "b"], "test": "c"}, "data_dir": "d"}
    config = {"dataset_path": "csv", "dataset_kwargs": named}
    assert data_of(config) == ("", ["a", "b", "c", "d"])
    assert data_of({"dataset_path": "./items"}) == ("", ["./items"])
    assert data_of({"dataset_path": "sciq"}) == ("sciq", [])
    assert data_of({}) == ("", [])


def test_a_missing_chat_template_is_said_and_stops_nothing(tiny_checkpoint: Path) -> None:
    probe = Harness({"tasks": ["pyr_facts"], "apply_chat_template": True}, name="chat")
    base = replace(identify(tiny_checkpoint), chat=False)
    [need] = probe.needs(base, None)
    assert "'chat' will be skipped" in need.what
    assert not need.blocks


def test_the_first_need_that_blocks_is_an_error_that_counts_the_others() -> None:
    needs.refuse([Need("nice to have", "fetch it", blocks=False)])
    with pytest.raises(DataMissing) as caught:
        needs.refuse([Need("nice", "x", blocks=False), Need("a", "get a"), Need("b", "get b")])
    assert caught.value.text().splitlines() == [
        "a",
        "  1 more: `pyr doctor` lists them",
        "  get a (or pass --skip-missing)",
    ]
