from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from pyr import content
from pyr.checkpoint import identify
from pyr.errors import UsageError
from pyr.evaluate import evaluate
from pyr.schema import ProbeSpec, Suite
from pyr.store import Store
from pyr.training import export, model


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """An untrained model of the tiny recipe, with its tokenizer."""
    built = model.build(model.read(content.path("train/tiny/model.yaml")), seed=0)
    built.save_pretrained(tmp_path / "model")
    for file in content.path("train/tiny/tokenizer").iterdir():
        shutil.copy(file, tmp_path / "model")
    return tmp_path / "model"


def test_the_folder_is_a_checkpoint_with_a_card(trained: Path, tmp_path: Path) -> None:
    folder = export.to_folder(trained, tmp_path / "out", [], name="pyr-tiny")
    assert identify(folder).chat
    assert json.loads((folder / "config.json").read_text())["use_cache"] is True
    assert (folder / "generation_config.json").is_file()
    assert "# pyr-tiny" in (folder / "README.md").read_text()


def test_nothing_is_written_over(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there already"):
        export.to_folder(trained, tmp_path, [], name="x")


@pytest.mark.filterwarnings("ignore")
def test_the_card_holds_the_stored_scores_where_the_hub_reads_them(
    trained: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "results")
    probe = ProbeSpec(probe="tokenizer", name="tokenizer")
    run = evaluate(identify(trained), Suite(name="small", probes=[probe]), store)
    folder = export.to_folder(trained, tmp_path / "out", [store.results(run)], name="pyr-tiny")
    _, front, body = (folder / "README.md").read_text().split("---\n", 2)
    [entry] = yaml.safe_load(front)["model-index"]
    assert entry["name"] == "pyr-tiny"
    shown = {result["dataset"]["name"] for result in entry["results"]}
    assert shown == {row.split("/")[0].strip("| ") for row in body.splitlines() if "/" in row}
    assert run.id in body
