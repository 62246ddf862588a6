"""A task is compiled once, for everything that could change its requests."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from factories_probes import TASK, records, run

from pyr.probes import Subject, compilation

Options = dict[str, object]


@pytest.fixture
def options(sums: tuple[Path, Path]) -> Options:
    return {"include_path": [str(sums[1])], "tasks": ["sums"], "limit": 6}


@pytest.fixture
def bundling(in_mirror: Subject, tmp_path: Path) -> Subject:
    return replace(in_mirror, bundles=tmp_path / "bundles")


def kept(subject: Subject) -> set[str]:
    assert subject.bundles is not None
    return {file.name for file in subject.bundles.glob("*.parquet")}


@pytest.mark.parametrize("task", ["sums", "says", "pyr_facts", "pyr_bpb_prose"])
def test_a_bundle_gives_the_same_records(options: Options, bundling: Subject, task: str) -> None:
    asked = {**options, "tasks": [task], "limit": 3}
    first, second = records(run(asked, bundling)), records(run(asked, bundling))
    without = records(run(asked, replace(bundling, bundles=None)))
    assert first == second == without
    assert len(kept(bundling)) == 1


def test_a_bundle_spares_the_data_set(
    options: Options, bundling: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = records(run(options, bundling))
    import datasets

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the data set was loaded")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    assert records(run(options, bundling)) == first


def other_data(sums: tuple[Path, Path]) -> None:
    file = sums[0] / "pyr-tests/sums/data/test-00000.parquet"
    pd.read_parquet(file).iloc[1:].to_parquet(file)


def other_task(sums: tuple[Path, Path]) -> None:
    (sums[1] / "sums.yaml").write_text(TASK.replace("Q:", "Question:"))


@pytest.mark.parametrize("change", [other_data, other_task])
def test_other_data_or_another_task_is_another_bundle(
    options: Options,
    bundling: Subject,
    sums: tuple[Path, Path],
    change: Callable[[tuple[Path, Path]], None],
) -> None:
    run(options, bundling)
    change(sums)
    run(options, bundling)
    assert len(kept(bundling)) == 2


@pytest.mark.parametrize(
    "more",
    [
        {"num_fewshot": 2},
        {"limit": 5},
        {"apply_chat_template": True},
        {"system_instruction": "Be brief."},
        {"tasks": [{"task": "sums", "description": "Sums."}]},
    ],
)
def test_another_option_is_another_bundle(
    options: Options, bundling: Subject, more: Options
) -> None:
    run(options, bundling)
    run({**options, **more}, bundling)
    assert len(kept(bundling)) == 2


def test_another_seed_is_another_bundle(options: Options, bundling: Subject) -> None:
    run(options, bundling)
    run(options, replace(bundling, seed=5))
    assert len(kept(bundling)) == 2


@pytest.mark.parametrize("part", ["tokenizer", "template"])
def test_another_tokenizer_or_template_is_another_bundle(
    options: Options, bundling: Subject, part: str
) -> None:
    run(options, bundling)
    digests = {**bundling.checkpoint.digests, part: "another"}
    run(options, replace(bundling, checkpoint=replace(bundling.checkpoint, digests=digests)))
    assert len(kept(bundling)) == 2


def test_other_weights_share_the_bundle(options: Options, bundling: Subject) -> None:
    run(options, bundling)
    digests = {**bundling.checkpoint.digests, "weights": "another"}
    run(options, replace(bundling, checkpoint=replace(bundling.checkpoint, digests=digests)))
    assert len(kept(bundling)) == 1


def test_another_version_of_lm_eval_is_another_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compilation.digest({"task": "a"})
    monkeypatch.setattr(compilation.importlib.metadata, "version", lambda name: f"{name} 99")
    assert compilation.digest({"task": "a"}) != before


def test_a_bundle_that_cannot_be_read_is_made_again(options: Options, bundling: Subject) -> None:
    first = records(run(options, bundling))
    assert bundling.bundles is not None
    [file] = bundling.bundles.glob("*.parquet")
    file.write_bytes(b"PAR1 broken")
    assert records(run(options, bundling)) == first
    shutil.rmtree(bundling.bundles)
    assert records(run(options, bundling)) == first


def test_the_fast_engine_scores_from_the_ids_of_the_bundle(
    options: Options, bundling: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyr.engines import EngineSettings
    from pyr.engines.fast.lm import FastLM
    from pyr.engines.model_reuse import ModelReuse

    settings = EngineSettings(engine="fast", device="cpu").resolved()
    fast = replace(bundling, settings=settings, models=ModelReuse())
    assert isinstance(fast.lm, FastLM)
    first = records(run(options, fast))

    def refuse(*_: object) -> None:
        raise AssertionError("the requests were encoded again")

    monkeypatch.setattr(FastLM, "encode_pairs", refuse)
    again = records(run(options, fast))
    assert [(r.item, r.metric, r.value) for r in again] == [
        (r.item, r.metric, pytest.approx(r.value, rel=1e-6)) for r in first
    ]
    reference = {(r.item, r.metric): r.value for r in records(run(options, bundling))}
    assert {(r.item, r.metric): pytest.approx(r.value, rel=1e-5) for r in first} == reference


def test_a_full_disk_keeps_no_bundle_and_stops_nothing(
    options: Options, bundling: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compilation.pq, "ParquetWriter", full)
    chunks = run(options, bundling)
    assert len({record.item for record in records(chunks)}) == 6
    notes = [note for chunk in chunks for note in chunk.notes]
    assert notes == ["sums: its compiled form was not kept: No space left on device"]
    assert not kept(bundling)
