"""What is missing is found before anything runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pyr.checkpoint import identify
from pyr.errors import DataMissing
from pyr.probes import needs
from pyr.probes.harness import Harness
from pyr.probes.needs import Need


def folder_with(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / name.replace("_yaml", ".yaml").replace("_py", ".py")).write_text(text)
    return tmp_path


def missing(folder: Path) -> list[str]:
    return [need.what.split("'")[1] for need in needs.of_code(folder)]


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


def test_code_that_no_task_names_does_not_matter(tmp_path: Path) -> None:
    files = {"x_yaml": TASK, "utils_py": "", "generate_py": "import no_such_module\n"}
    assert missing(folder_with(tmp_path, **files)) == []


def test_ifevals_sentence_data_is_asked_for_where_it_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("nltk.data.path", [str(tmp_path)])
    needs.of_code.cache_clear()
    found = list(Harness({"families": ["ifeval"], "tasks": ["ifeval"]}, name="x").needs(None, None))
    needs.of_code.cache_clear()
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


def test_without_a_mirror_the_hub_is_asked_and_that_stops_nothing(sums: tuple[Path, Path]) -> None:
    probe = Harness({"include_path": [str(sums[1])], "tasks": ["sums"]}, name="x")
    [need] = probe.needs(None, None)
    assert not need.blocks


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
