"""The spine, from a checkpoint on disk to a finished run, and what it must withstand."""

from __future__ import annotations

import importlib.metadata
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pyr.checkpoint import identify
from pyr.errors import DataMissing, StoreError
from pyr.evaluate import Conditions, Shown, evaluate, suite_digest
from pyr.probes import Chunk, Subject, grading, harness
from pyr.schema import ProbeSpec, Record, Run, Suite
from pyr.store import Store

HERE = Path(__file__).parent
SUITE = Suite(
    name="few",
    probes=[
        ProbeSpec(probe="harness", options={"tasks": ["pyr_facts", "pyr_words"], "limit": 150})
    ],
)


class Counting:
    """A probe that needs no model and counts how often it runs."""

    runs = 0

    def __init__(self, options: dict[str, Any], *, name: str) -> None:
        self.name = name
        self.options = options

    def run(self, subject: Subject) -> Iterator[Chunk]:
        Counting.runs += 1
        yield Chunk(records=[Record(task="count", metric="runs", item="0", value=1.0)])


class Silent(Counting):
    """The same, and it says that it lets nothing be written."""

    def writes(self) -> bool:
        return False


COUNTING = Suite(name="counting", probes=[ProbeSpec(probe="test_evaluate:Counting")])


def nan_into(folder: Path, name: str) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors[name].view(-1)[3] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})


def test_what_a_later_probe_lacks_is_said_before_the_first_one_runs(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    public = {"families": ["hellaswag"], "tasks": ["hellaswag"]}
    lacking = ProbeSpec(probe="harness", options=public)
    suite = Suite(name="lacking", probes=[*COUNTING.probes, lacking])
    (tmp_path / "hub").mkdir()
    Counting.runs = 0
    with pytest.raises(DataMissing, match="Rowan/hellaswag"):
        evaluate(
            identify(tiny_checkpoint), suite, Store(tmp_path), Conditions(mirror=tmp_path / "hub")
        )
    assert Counting.runs == 0
    assert not Store(tmp_path).runs()


@pytest.mark.parametrize(("probe", "runs"), [("Silent", 1), ("Counting", 2)])
def test_how_a_checkpoint_generates_counts_where_answers_are_generated(
    checkpoint_copy: Path, tmp_path: Path, probe: str, runs: int
) -> None:
    (checkpoint_copy / "chat_template.jinja").unlink()
    suite = Suite(name="counting", probes=[ProbeSpec(probe=f"test_evaluate:{probe}")])
    file = checkpoint_copy / "generation_config.json"
    for top_k in (1, 2):
        file.write_text(json.dumps({**json.loads(file.read_text()), "top_k": top_k}))
        evaluate(identify(checkpoint_copy), suite, Store(tmp_path / "runs"))
    assert len(Store(tmp_path / "runs").runs()) == runs


@pytest.mark.parametrize(
    ("tasks", "writes"),
    [(["pyr_facts", "pyr_pairs"], False), (["pyr_facts", "pyr_instruct"], True)],
)
def test_a_harness_knows_whether_its_tasks_let_the_model_write(
    tasks: list[str], writes: bool
) -> None:
    assert harness.Harness({"tasks": tasks}, name="harness").writes() is writes


def test_evaluating_twice_is_free(tiny_checkpoint: Path, tmp_path: Path) -> None:
    store, checkpoint = Store(tmp_path), identify(tiny_checkpoint)
    Counting.runs = 0
    first = evaluate(checkpoint, COUNTING, store)
    second = evaluate(checkpoint, COUNTING, store)
    assert first == second
    assert Counting.runs == 1


def test_an_overwritten_path_is_a_new_run(checkpoint_copy: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    first = evaluate(identify(checkpoint_copy), COUNTING, store)
    file = checkpoint_copy / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    second = evaluate(identify(checkpoint_copy), COUNTING, store)
    assert first.id != second.id
    assert len(store.runs()) == 2


def test_another_suite_is_another_run_and_its_description_is_not() -> None:
    options = {"tasks": ["pyr_facts"], "limit": 10}
    suite = Suite(name="a", probes=[ProbeSpec(probe="harness", options=options)])
    said = suite.model_copy(update={"description": "other words"})
    more = suite.model_copy(
        update={"probes": [ProbeSpec(probe="harness", options={**options, "limit": 11})]}
    )
    seeded = suite.model_copy(update={"seed": 1})
    assert suite_digest(suite) == suite_digest(said)
    assert len({suite_digest(each) for each in (suite, more, seeded)}) == 3


def test_weights_that_are_not_finite_end_the_run_at_health(
    checkpoint_copy: Path, tmp_path: Path
) -> None:
    nan_into(checkpoint_copy, "model.layers.1.mlp.up_proj.weight")
    store = Store(tmp_path / "results")
    run = evaluate(identify(checkpoint_copy), SUITE, store)
    records = store.results(run).records
    assert set(records["task"]) == {"health"}
    [skipped] = run.skipped
    assert skipped.what == "harness"
    assert "model.layers.1.mlp.up_proj.weight: 1 of 2048 values are not finite" in skipped.reason


def test_new_data_in_the_mirror_is_a_new_run(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "hub/org/set/data"
    data.mkdir(parents=True)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/own.yaml").write_text(
        "task: own\ndataset_path: org/set\ntest_split: test\noutput_type: multiple_choice\n"
        "doc_to_text: q\ndoc_to_choice: ['a', 'b']\ndoc_to_target: 0\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
    )
    options = {"tasks": ["own"], "include_path": [str(tmp_path / "tasks")]}
    suite = Suite(name="own", probes=[ProbeSpec(probe="harness", options=options)])
    store, checkpoint = Store(tmp_path / "results"), identify(tiny_checkpoint)
    conditions = Conditions(mirror=tmp_path / "hub")
    ids = []
    for rows in (["one"], ["one"], ["one", "two"]):
        pd.DataFrame({"q": rows}).to_parquet(data / "test-00000.parquet")
        ids.append(evaluate(checkpoint, suite, store, conditions).id)
    assert ids[0] == ids[1] != ids[2]


def test_another_content_of_a_file_that_a_task_reads_is_a_new_run(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    file = tmp_path / "items.jsonl"
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/own.yaml").write_text(
        f"task: own\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {file}}}}}\n"
        "test_split: test\noutput_type: multiple_choice\n"
        "doc_to_text: q\ndoc_to_choice: ['a', 'b']\ndoc_to_target: 0\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
    )
    options = {"tasks": ["own"], "include_path": [str(tmp_path / "tasks")]}
    suite = Suite(name="own", probes=[ProbeSpec(probe="harness", options=options)])
    store, checkpoint = Store(tmp_path / "results"), identify(tiny_checkpoint)
    ids = []
    for text in ("one", "one", "two"):
        file.write_text(json.dumps({"q": text}))
        ids.append(evaluate(checkpoint, suite, store).id)
    assert ids[0] == ids[1] != ids[2]


def broken_off(checkpoint: Any, suite: Suite, store: Store, **conditions: Any) -> Run:
    """A run of which only the first chunk is there."""
    from pyr.store import OpenRun

    def full(self: OpenRun, probe: str, records: Any) -> None:
        if probe == "harness" and len(self.records("harness")):
            raise StoreError("no space left on device")
        whole(self, probe, records)

    whole = OpenRun.append
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenRun, "append", full)
        with pytest.raises(StoreError):
            evaluate(checkpoint, suite, store, Conditions(**conditions))
    [run] = [run for run in store.runs() if not run.finished]
    return run


FACTS = Suite(
    name="facts",
    probes=[ProbeSpec(probe="harness", options={"tasks": ["pyr_facts"], "limit": 70})],
)


def test_a_broken_off_run_is_not_finished_under_other_libraries(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, checkpoint = Store(tmp_path), identify(tiny_checkpoint)
    first = broken_off(checkpoint, FACTS, store)
    real = importlib.metadata.version

    def later(name: str) -> str:
        return "99" if name == "tokenizers" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", later)
    lines: list[str] = []
    shown = lambda title: nullcontext(Shown(say=lines.append))  # noqa: E731
    second = evaluate(checkpoint, FACTS, store, Conditions(shown=shown))
    assert second.id == f"{first.id}-2"
    assert len(store.results(second).records.query("metric == 'acc'")) == 70
    [line] = [line for line in lines if "was broken off under" in line]
    assert f"tokenizers {real('tokenizers')} (now 99)" in line


def test_a_broken_off_run_is_not_finished_with_other_data(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text("\n".join(json.dumps({"q": f"Number {i}"}) for i in range(70)))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/own.yaml").write_text(
        f"task: own\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {file}}}}}\n"
        "test_split: test\noutput_type: multiple_choice\n"
        "doc_to_text: q\ndoc_to_choice: ['a', 'b']\ndoc_to_target: 0\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
    )
    options = {"tasks": ["own"], "include_path": [str(tmp_path / "tasks")]}
    suite = Suite(name="own", probes=[ProbeSpec(probe="harness", options=options)])
    store, checkpoint = Store(tmp_path / "results"), identify(tiny_checkpoint)
    first = broken_off(checkpoint, suite, store)
    assert f"file:{file}" in first.data
    file.write_text(file.read_text().replace("Number", "Figure"))
    second = evaluate(checkpoint, suite, store)
    assert second.id != first.id
    assert set(store.documents(second)["prompt"].str[:6]) == {"Figure"}


def test_items_that_changed_unseen_are_all_measured_anew(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, checkpoint = Store(tmp_path), identify(tiny_checkpoint)
    first = broken_off(checkpoint, FACTS, store)
    for module in (harness, grading):
        monkeypatch.setattr(module, "doc_hash", lambda doc: "another")
    asked: list[tuple[str, int]] = []
    again = evaluate(checkpoint, FACTS, store, Conditions(shown=counting(asked)))
    assert again.id == first.id
    assert ("pyr_facts", 0) in asked
    found = store.results(again).records.query("task == 'pyr_facts'")
    assert set(found["doc_hash"]) == {"another"}


SCRIPT = """
import sys
from contextlib import nullcontext
sys.path.insert(0, sys.argv[3])
from test_evaluate import SUITE
from pyr.checkpoint import identify
from pyr.evaluate import Conditions, Shown, evaluate
from pyr.store import Store
say = lambda text: print(text, flush=True)
progress = lambda what, done, total: print(what, done, flush=True)
shown = lambda title: nullcontext(Shown(progress, say))
evaluate(identify(sys.argv[1]), SUITE, Store(sys.argv[2]), Conditions(shown=shown))
"""


def start(checkpoint: Path, store: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(checkpoint), str(store), str(HERE)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def counting(asked: list[tuple[str, int]]):
    """Where an evaluation reports to: keeps what was asked of each task."""
    return lambda title: nullcontext(
        Shown(progress=lambda what, done, total: asked.append((what, done)))
    )


def scores(store: Store, run: Run) -> pd.DataFrame:
    records = store.results(run).records
    return records[["task", "metric", "item", "value", "weight"]].reset_index(drop=True)


@pytest.mark.slow
def test_a_killed_run_goes_on_without_asking_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with start(tiny_checkpoint, tmp_path / "killed") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("pyr_facts 64"):
                break
        process.send_signal(signal.SIGKILL)
    store = Store(tmp_path / "killed")
    [run] = store.runs()
    assert not run.finished
    asked: list[tuple[str, int]] = []
    conditions = Conditions(shown=counting(asked))
    finished = evaluate(identify(tiny_checkpoint), SUITE, store, conditions)
    assert finished.id == run.id
    assert next(done for what, done in asked if what == "pyr_facts") >= 64
    whole = Store(tmp_path / "whole")
    undisturbed = evaluate(identify(tiny_checkpoint), SUITE, whole)
    pd.testing.assert_frame_equal(scores(store, finished), scores(whole, undisturbed))


@pytest.mark.slow
def test_two_at_once_make_one_run(tiny_checkpoint: Path, tmp_path: Path) -> None:
    both = [start(tiny_checkpoint, tmp_path) for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    [run] = Store(tmp_path).runs()
    assert run.finished
    assert len(scores(Store(tmp_path), run).drop_duplicates()) == len(scores(Store(tmp_path), run))
    assert any("pyr_facts" in output for output in outputs)


def test_the_environment_of_a_run_says_how_to_repeat_it(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    environment = evaluate(identify(tiny_checkpoint), COUNTING, Store(tmp_path)).environment
    assert environment["versions"]["lm_eval"]
    assert environment["dtype"] == "float32"
    assert environment["suite"]["probes"][0]["probe"] == "test_evaluate:Counting"


def test_a_full_disk_leaves_a_run_that_goes_on_later(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyr.store import OpenRun

    store, checkpoint = Store(tmp_path / "full"), identify(tiny_checkpoint)
    whole = OpenRun.append

    def full(self: OpenRun, probe: str, records: Any) -> None:
        if probe == "harness" and len(self.records("harness")) > 100:
            raise StoreError("no space left on device")
        whole(self, probe, records)

    monkeypatch.setattr(OpenRun, "append", full)
    with pytest.raises(StoreError):
        evaluate(checkpoint, SUITE, store)
    [broken_off] = store.runs()
    assert not broken_off.finished
    monkeypatch.setattr(OpenRun, "append", whole)
    asked: list[tuple[str, int]] = []
    conditions = Conditions(shown=counting(asked))
    finished = evaluate(checkpoint, SUITE, store, conditions)
    assert (finished.id, finished.finished != "") == (broken_off.id, True)
    # What was stored is not asked again, and the scores are those of a run without a break.
    assert next(done for what, done in asked if what == "pyr_facts") >= 64
    undisturbed = evaluate(checkpoint, SUITE, Store(tmp_path / "whole"))
    pd.testing.assert_frame_equal(
        scores(store, finished), scores(Store(tmp_path / "whole"), undisturbed)
    )


# ------------------------------------------------------------------ stages

STAGED = Suite(
    name="staged",
    probes=[ProbeSpec(probe="harness", options={"tasks": ["pyr_facts", "pyr_words"], "limit": 80})],
)


class FactsOnly:
    """A first stage for both tasks, a second for one."""

    label = "facts only"
    ended = "the time was up"

    def __init__(self) -> None:
        self.stages: list[dict[str, tuple[int, int]]] = []

    def wanted(self, task: str) -> int:
        return 80 if self.stages and task == "pyr_facts" else 64

    def more(self, so_far: Any) -> bool:
        self.stages.append(so_far.run.asked)
        return len(self.stages) == 1


def test_a_run_in_stages_asks_the_first_items_of_the_whole(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    store, checkpoint, plan = Store(tmp_path), identify(tiny_checkpoint), FactsOnly()
    part = evaluate(checkpoint, STAGED, store, Conditions(budget=plan))
    assert plan.stages[0] == {"pyr_facts": (64, 80), "pyr_words": (64, 80)}
    assert part.asked == {"pyr_facts": (80, 80), "pyr_words": (64, 80)}
    assert "asked in stages (facts only): 144 of 160 items; the time was up" in part.notes
    whole = evaluate(checkpoint, STAGED, store)
    assert whole.id != part.id
    assert not whole.asked
    key = ["task", "metric", "item"]
    both = pd.merge(
        store.results(part).records, store.results(whole).records, on=key, suffixes=("", "_whole")
    )
    assert len(both) == len(store.results(part).records)
    assert (both["value"] == both["value_whole"]).all()
