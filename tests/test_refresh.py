"""A stored run under the libraries of today: comparable, asked again, graded again, or lost."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pyr.checkpoint import identify
from pyr.compare import versions
from pyr.evaluate import Conditions, evaluate
from pyr.refresh import refreshed
from pyr.schema import ProbeSpec, Run, Suite
from pyr.store import Store

GRADES = "def grade(doc, results):\n    return {'acc': float(results[0][0] > results[1][0])}\n"
TASK = {
    "task": "own",
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{q}}",
    "doc_to_choice": ["yes", "no"],
    "doc_to_target": 0,
    "metric_list": [
        {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
        {"metric": "f1", "aggregation": "f1", "higher_is_better": True},
    ],
}

Upgrade = Callable[[str, str], None]


@pytest.fixture
def upgrade(monkeypatch: pytest.MonkeyPatch) -> Upgrade:
    """Let a library have another version."""
    real = importlib.metadata.version

    def change(library: str, version: str) -> None:
        monkeypatch.setattr(
            importlib.metadata, "version", lambda name: version if name == library else real(name)
        )

    return change


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tasks"
    folder.mkdir()
    rows = pd.DataFrame({"q": [f"Is {number} more than 9?" for number in range(20)]})
    rows.to_json(folder / "rows.jsonl", orient="records", lines=True)
    data = {"dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}}}
    (folder / "own.yaml").write_text(yaml.safe_dump({**TASK, **data}))
    options = {"tasks": ["own"], "include_path": [str(folder)]}
    return Suite(name="own", probes=[ProbeSpec(probe="harness", options=options)])


@pytest.fixture
def stored(checkpoint_copy: Path, suite: Suite, tmp_path: Path) -> tuple[Store, Run]:
    store = Store(tmp_path / "results")
    return store, evaluate(identify(checkpoint_copy), suite, store)


def scored(store: Store, run: Run) -> pd.DataFrame:
    frame = store.results(run).records
    return frame[["task", "metric", "item", "value", "weight", "responses"]]


@pytest.mark.parametrize(
    ("library", "before", "now", "comparable"),
    [
        ("torch", "2.9.1+cpu", "2.13.0", True),
        ("torch", "2.9.1", "3.0.0", False),
        ("transformers", "5.23.0", "5.23.9", True),
        ("transformers", "5.23.0", "5.24.0", False),
        ("tokenizers", "0.22.1", "0.23.0", False),
        ("datasets", "4.0.0", "5.2.0", True),
        ("lm_eval", "0.4.13", "0.4.14", False),
        ("pyr-lm", "0.1.0", "0.1.7", True),
        ("numpy", "1.0", "2.0", True),
        ("lm_eval", "", "0.4.13", True),
    ],
)
def test_the_table_says_which_versions_leave_results_comparable(
    library: str, before: str, now: str, comparable: bool
) -> None:
    found = versions.changes({"versions": {library: before}}, {"versions": {library: now}})
    assert (not found) == comparable


def test_every_library_whose_version_a_run_states_is_in_the_table() -> None:
    from pyr.evaluate import _VERSIONS

    assert set(_VERSIONS) == set(versions.table())


def test_a_finished_run_under_other_libraries_is_measured_again(
    stored: tuple[Store, Run], suite: Suite, upgrade: Upgrade
) -> None:
    store, run = stored
    upgrade("lm_eval", "0.4.99")
    again = evaluate(identify(run.checkpoint.path), suite, store)
    assert again.id == f"{run.id}-2"
    upgrade("lm_eval", run.environment["versions"]["lm_eval"])
    assert evaluate(identify(run.checkpoint.path), suite, store).id == run.id


def test_a_run_under_like_libraries_is_left_as_it_is(
    stored: tuple[Store, Run], suite: Suite, upgrade: Upgrade
) -> None:
    store, run = stored
    upgrade("datasets", "99")
    assert refreshed(run, suite, store, Conditions()).run == run


def test_a_baseline_whose_weights_exist_is_asked_again(
    stored: tuple[Store, Run], suite: Suite, upgrade: Upgrade
) -> None:
    store, run = stored
    upgrade("transformers", "99.0")
    found = refreshed(run, suite, store, Conditions())
    assert found.run.id == f"{run.id}-2"
    assert "transformers" in found.said
    assert "measured again" in found.said


@pytest.mark.parametrize("lost", ["gone", "another"])
def test_stored_answers_are_graded_again_where_the_weights_are_lost(
    stored: tuple[Store, Run], suite: Suite, upgrade: Upgrade, lost: str
) -> None:
    store, run = stored
    weights = Path(run.checkpoint.path) / "model.safetensors"
    if lost == "gone":
        shutil.rmtree(run.checkpoint.path)
    else:
        weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    upgrade("lm_eval", "0.4.99")
    found = refreshed(run, suite, store, Conditions())
    assert "graded again" in found.said
    assert found.run.id == f"{run.id}-2"
    assert found.run.environment["versions"]["lm_eval"] == "0.4.99"
    assert f"graded again from the answers of {run.id}" in found.run.notes
    pd.testing.assert_frame_equal(scored(store, found.run), scored(store, run))


def test_answers_to_other_requests_are_lost_with_the_weights(
    stored: tuple[Store, Run],
    suite: Suite,
    upgrade: Upgrade,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, run = stored
    shutil.rmtree(run.checkpoint.path)
    upgrade("lm_eval", "0.4.99")
    other = f"{run.requests['own'][:-1]}x"
    monkeypatch.setattr("pyr.probes.compilation.Compiled.digest", lambda self: other)
    found = refreshed(run, suite, store, Conditions())
    assert found.run == run
    assert "it is lost for comparisons" in found.said


def test_where_the_answers_themselves_may_change_a_run_without_weights_is_lost(
    stored: tuple[Store, Run], suite: Suite, upgrade: Upgrade
) -> None:
    store, run = stored
    shutil.rmtree(run.checkpoint.path)
    upgrade("transformers", "99.0")
    found = refreshed(run, suite, store, Conditions())
    assert found.run == run
    assert "its weights are gone" in found.said
