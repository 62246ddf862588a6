"""What the tests of the probes share: a subject, and a data set of sums with two tasks over it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from factories_probes import GENERATION, QUESTIONS, TASK

from pyr.checkpoint import identify
from pyr.engines import EngineSettings
from pyr.engines.model_reuse import ModelReuse
from pyr.probes import Subject
from pyr.store.tables import records_frame

NOTHING = records_frame([])


@pytest.fixture(scope="module")
def models() -> ModelReuse:
    return ModelReuse()


@pytest.fixture(scope="module")
def lm(tiny_checkpoint: Path, models: ModelReuse) -> Any:
    settings = EngineSettings(engine="reference", device="cpu").resolved()
    return models.open(identify(tiny_checkpoint), settings)


@pytest.fixture
def subject(tiny_checkpoint: Path, models: ModelReuse) -> Subject:
    return Subject(
        checkpoint=identify(tiny_checkpoint),
        settings=EngineSettings(engine="reference", device="cpu").resolved(),
        seed=1234,
        mirror=None,
        bundles=None,
        skip_missing=False,
        earlier=NOTHING,
        progress=lambda *_: None,
        models=models,
    )


@pytest.fixture
def sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A mirror with a data set of sums, and a folder with two tasks over it."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "hub/pyr-tests/sums/data"
    folder.mkdir(parents=True)
    rows = [
        {"question": question, "options": ["one", "two", "three", "ten"], "gold": number % 4}
        for number, question in enumerate(QUESTIONS)
    ]
    pd.DataFrame(rows[:12]).to_parquet(folder / "test-00000.parquet")
    pd.DataFrame(rows[12:]).to_parquet(folder / "train-00000.parquet")
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "sums.yaml").write_text(TASK)
    (tasks / "says.yaml").write_text(GENERATION)
    return tmp_path / "hub", tasks


@pytest.fixture
def in_mirror(sums: tuple[Path, Path], subject: Subject) -> Subject:
    return replace(subject, mirror=sums[0])
