"""What is installed works without the checkout: all content lies in the wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from factories_stats import a_run

from pyr.schema import Aggregate
from pyr.store import Store

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout and unpacked as pip would."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [wheel] = folder.glob("pyr_lm-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def test_the_wheel_is_what_is_imported(installed: Path, tmp_path: Path) -> None:
    found = run(installed, tmp_path, "-c", "import pyr; print(pyr.__file__)").stdout
    assert Path(found.strip()).is_relative_to(installed)


def test_every_suite_gate_and_template_is_in_the_wheel(installed: Path) -> None:
    for folder in ("evals/suites", "evals/gates", "evals/tasks", "reports/templates", "train"):
        here = {file.relative_to(ROOT) for file in (ROOT / folder).rglob("*") if file.is_file()}
        here = {file for file in here if "__pycache__" not in file.parts}
        packaged = installed / "pyr/_content"
        assert here
        assert not {str(file) for file in here if not (packaged / file).is_file()}


def test_the_wheel_finds_what_its_suite_needs(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "-m", "pyr.cli", "doctor", "--suite", "smoke")
    assert done.returncode == 0, done.stderr
    assert "nothing is missing for suite smoke" in done.stdout


def test_the_wheel_judges_and_reports_from_another_folder(installed: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    for run_ in (a_run("before"), a_run("after")):
        with store.begin(run_, on_wait=print) as opened:
            opened.put_aggregates([Aggregate("arc", "acc", 0.5, 0.01, n=500)])
            opened.finish(finished="x", skipped=(), notes=(), data={}, environment={})
    done = run(
        installed, tmp_path, "-m", "pyr.cli", "compare", "before", "after", "--gate", "smoke"
    )
    assert "rules:" in done.stdout, done.stderr
    assert list(tmp_path.glob("results/**/*.html"))


@pytest.mark.parametrize("name", ["tiny", "train/tiny"])
def test_the_wheel_finds_its_recipes_by_name(installed: Path, tmp_path: Path, name: str) -> None:
    done = run(installed, tmp_path, "-m", "pyr.cli", "train", name, "--until", "no-such-phase")
    assert done.returncode == 2
    assert "no-such-phase" in done.stderr and "there is no recipe" not in done.stderr


def test_a_recipe_that_is_nowhere_is_said_with_those_that_are(
    installed: Path, tmp_path: Path
) -> None:
    done = run(installed, tmp_path, "-m", "pyr.cli", "train", "tinny")
    assert done.returncode == 2
    assert "did you mean: tiny?" in done.stderr


def test_the_wheel_finds_its_tokenizer_recipes_by_name(installed: Path, tmp_path: Path) -> None:
    for name in ("tiny", "train/tiny/tokenizer.yaml"):
        done = run(installed, tmp_path, "-m", "pyr.cli", "tokenizer", "train", name)
        assert done.returncode == 2
        assert "name the folder of the texts with --texts DIR" in done.stderr


@pytest.mark.slow
def test_the_wheel_evaluates_from_another_folder(
    installed: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ["-m", "pyr.cli", "eval", str(tiny_checkpoint), "--suite", "smoke"]
    few = ["--set", "harness.limit=2", "--set", "harness.tasks=[pyr_facts]"]
    done = run(installed, tmp_path, *arguments, *few, "--set", "chat.limit=2")
    assert done.returncode == 0, done.stderr
    assert "pyr_facts" in done.stdout
    assert list((tmp_path / "results").glob("*/report.html"))
