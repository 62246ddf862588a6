"""Which files decide what a task asks: each of them counts, and what lies beside them does not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from factories_probes import TASK, records, run

from pyr.evaluate import suite_digest
from pyr.probes import Subject
from pyr.probes.task_files import opened, task_files
from pyr.schema import ProbeSpec, Suite

FUNCTIONS = """
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))
sys.path.insert(0, str(FOLDER / "lib"))
import {name}_above
import {name}_below
from {name}_package.words import WORD


def ask(doc):
    head = (FOLDER / "texts" / "head.txt").read_text()
    tail = (FOLDER / ("t" + "ail")).read_text()
    return head + {name}_above.WORD + {name}_below.WORD + WORD + doc["question"] + tail
"""


@pytest.fixture
def tree(sums: tuple[Path, Path], tmp_path: Path) -> Path:
    """A task with all kinds of files; its modules have names that no other test imports."""
    shutil.rmtree(sums[1])
    folder = sums[1] / "deep"
    name = tmp_path.name.replace("-", "_")
    files = {
        "../_root_yaml": TASK.replace("task: sums\n", "") + "description: 'Old. '\n",
        "_base.yml": "include: ../_root_yaml\ngen_prefix: 'Old. '\n",
        "sums.yaml": "include: _base.yml\ntask: sums\ndoc_to_text: !function code.ask\n",
        "code.py": FUNCTIONS.format(name=name),
        f"../{name}_above.py": "WORD = 'Old. '\n",
        f"lib/{name}_below.py": "WORD = 'Old. '\n",
        f"../{name}_package/__init__.py": "",
        f"../{name}_package/words.py": "from .more import WORD\n",
        f"../{name}_package/more.py": "WORD = 'Old. '\n",
        "texts/head.txt": "Old. ",
        "tail": "Old. ",
    }
    for each, text in files.items():
        (folder / each).parent.mkdir(parents=True, exist_ok=True)
        (folder / each).write_text(text)
    return sums[1]


def digest(folder: Path) -> str:
    options = {"include_path": [str(folder)], "tasks": ["sums"]}
    return suite_digest(Suite(name="x", probes=[ProbeSpec(probe="harness", options=options)]))


STATIC = ["_root_yaml", "_base.yml", "code.py", "*_above.py", "*_below.py", "more.py", "head.txt"]


@pytest.mark.parametrize("name", STATIC)
def test_an_edit_of_any_file_that_a_task_is_made_of_is_another_suite(tree: Path, name: str) -> None:
    before = digest(tree)
    [file] = tree.rglob(name)
    file.write_text(file.read_text() + "\n")
    assert digest(tree) != before


def test_the_place_of_the_files_and_what_lies_beside_them_is_the_same_suite(
    tree: Path, tmp_path: Path
) -> None:
    before = digest(tree)
    (tree / "deep/other.yaml").write_text(TASK.replace("task: sums", "task: other"))
    (tree / "deep/other.py").write_text("WORD = 1\n")
    (tree / "deep/notes.md").write_text("Nothing.")
    assert digest(tree) == before
    shutil.copytree(tree, tmp_path / "elsewhere")
    assert digest(tmp_path / "elsewhere") == before


def test_a_key_that_a_group_sets_for_a_task_counts(tree: Path) -> None:
    digests = set()
    for shots in (1, 2):
        group = f"group: sums_group\nnum_fewshot: {shots}\ntask: [sums]\n"
        (tree / "group.yaml").write_text(group)
        options = {"include_path": [str(tree)], "tasks": ["sums_group"]}
        probe = ProbeSpec(probe="harness", options=options)
        digests.add(suite_digest(Suite(name="x", probes=[probe])))
    assert len(digests) == 2


def test_lm_evals_own_tasks_count_by_their_files_and_not_by_their_family() -> None:
    import lm_eval.tasks

    shipped = Path(lm_eval.tasks.__file__).parent
    made_of = task_files(shipped / "arc/arc_challenge.yaml")
    assert {file.name for file in made_of.every} == {"arc_challenge.yaml", "arc_easy.yaml"}


def prompt(chunks) -> str:
    return next(document.prompt for chunk in chunks for document in chunk.documents)


@pytest.mark.parametrize("name", ["_root_yaml", "_base.yml", "head.txt", "tail"])
def test_after_an_edit_the_new_prompts_are_asked(
    tree: Path, in_mirror: Subject, tmp_path: Path, name: str
) -> None:
    bundling = replace(in_mirror, bundles=tmp_path / "bundles")
    options = {"include_path": [str(tree)], "tasks": ["sums"], "limit": 2}
    first = run(options, bundling)
    assert records(run(options, bundling)) == records(first)
    [file] = tree.rglob(name)
    file.write_text(file.read_text().replace("Old", "New"))
    assert "New. " in prompt(run(options, bundling))


def test_a_file_that_only_loading_shows_is_named_in_the_run(
    tree: Path, in_mirror: Subject, tmp_path: Path
) -> None:
    bundling = replace(in_mirror, bundles=tmp_path / "bundles")
    options = {"include_path": [str(tree)], "tasks": ["sums"], "limit": 2}
    for _ in range(2):  # built, and from its bundle
        [data] = [chunk.data for chunk in run(options, bundling) if chunk.data]
        assert f"file:{tree / 'deep/tail'}" in data


def by_open(path: Path) -> None:
    with open(path):  # noqa: PTH123
        pass


def by_path(path: Path) -> None:
    path.read_text()


def by_descriptor(path: Path) -> None:
    os.close(os.open(path, os.O_RDONLY))


@pytest.mark.parametrize("read", [by_open, by_path, by_descriptor])
def test_every_way_to_open_a_file_is_noted(tmp_path: Path, read: Callable[[Path], None]) -> None:
    (tmp_path / "x").write_text("y")
    with opened() as noted:
        read(tmp_path / "x")
        (tmp_path / "written").write_text("z")
    assert str(tmp_path / "x") in noted
    assert str(tmp_path / "written") not in noted


def test_an_inner_watch_ends_without_the_outer_one(tmp_path):
    (tmp_path / "later.txt").write_text("x")
    with opened() as outer:
        with opened():
            pass
        (tmp_path / "later.txt").read_text()
    assert str(tmp_path / "later.txt") in outer
