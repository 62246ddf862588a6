"""Programs that a model has written, each in a process of its own; pass@k."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from factories_probes import Holding, records, run

from pyr.cli.options import settle
from pyr.errors import DataMissing
from pyr.probes import Subject
from pyr.probes.harness import Harness
from pyr.probes.run_code import CodeEval, in_child, own_code_eval, pass_at_k, run_program
from pyr.schema import ProbeSpec, Suite


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("x = 1\nassert x == 1", "passed"),
        ("print('x' * 10**6)", "passed"),
        ("x = 1" + "  # long" * 50_000, "passed"),
        ("assert 1 == 2", "failed: AssertionError"),
        ("def f(:", "failed: SyntaxError"),
        ("import sys\nsys.exit(0)", "failed: SystemExit"),
        ("import os\nos._exit(0)", "failed: ended"),
        ("input()", "failed: EOFError"),
        ("while True:\n    pass", "timed out"),
        ("x = bytearray(8 << 30)", "failed: MemoryError"),
        ("open('f', 'wb').write(bytes(32 << 20))", "failed: OSError"),
        ("import os\nassert os.listdir('.') == []", "passed"),
        ("import os\nassert 'SECRET' not in os.environ", "passed"),
    ],
)
def test_how_a_program_ends(monkeypatch: pytest.MonkeyPatch, program: str, how: str) -> None:
    monkeypatch.setenv("SECRET", "key")
    outcome = run_program(program, seconds=1)
    assert outcome.how.startswith(how)
    assert outcome.passed == (how == "passed")


def is_running(word: bytes) -> bool:
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word in place.read_bytes():
                return True
    return False


def test_what_a_program_starts_ends_with_it() -> None:
    sleeper = "import subprocess\nsubprocess.Popen(['sleep', '987' + '654'])"
    assert run_program(sleeper).passed
    end = time.monotonic() + 10  # a busy system takes a while to end a process
    while is_running(b"sleep\0" + b"987654"):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(("total", "right"), [(1, 0), (1, 1), (5, 2), (6, 5)])
def test_pass_at_k_is_the_share_of_all_draws_that_hold_a_right_one(total: int, right: int) -> None:
    for k in range(1, total + 1):
        draws = list(itertools.combinations(range(total), k))
        share = sum(any(number < right for number in draw) for draw in draws) / len(draws)
        assert pass_at_k(total, right, k) == pytest.approx(share)


def test_it_counts_as_the_hubs_code_eval_does() -> None:
    right, wrong = "def add(a, b):\n    return a + b", "def add(a, b):\n    return a * b"
    tests = ["assert add(2, 3) == 5", "assert add(2, 2) == 5"]
    scores, results = CodeEval().compute(
        references=tests, predictions=[[right, wrong]] * 2, k=[1, 2]
    )
    assert scores == {"pass@1": 0.25, "pass@2": 0.5}
    assert [end["passed"] for _, end in results[0]] == [True, False]
    assert "pass@10" not in CodeEval().compute(["pass"], [["pass"]])[0]


def test_only_code_eval_is_replaced() -> None:
    import evaluate

    before = evaluate.load
    with own_code_eval():
        assert isinstance(evaluate.load("code_eval"), CodeEval)
        assert evaluate.load is not before
    assert evaluate.load is before


def test_code_that_runs_programs_itself_is_run_in_a_copy() -> None:
    assert in_child(lambda: {"pid": os.getpid()})["pid"] != os.getpid()
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        in_child(lambda: 1 / 0)
    with pytest.raises(RuntimeError, match="killed"):
        in_child(lambda: os.kill(os.getpid(), 9))


# ------------------------------------------------------------------ tasks


class Writer:
    """An LM that writes these answers, by what stands in the prompt."""

    tokenizer_name = "none"

    def __init__(self, **answers: str) -> None:
        self.answers = answers

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        return [
            next(text for name, text in self.answers.items() if name in each.args[0])
            for each in requests
        ]


@pytest.fixture
def humaneval(tmp_path: Path, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """A mirror with two problems in HumanEval's form, and a model that solves the first."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "hub/openai/openai_humaneval/data"
    folder.mkdir(parents=True)
    rows = [
        {
            "task_id": f"HumanEval/{number}",
            "prompt": f"def {name}(a, b):\n",
            "entry_point": name,
            "test": f"def check(f):\n    assert f(2, 3) == {value}\n",
        }
        for number, (name, value) in enumerate([("add", 5), ("multiply", 6)])
    ]
    pd.DataFrame(rows).to_parquet(folder / "test-00000.parquet")
    writer = Writer(add="    return a + b\n", multiply="    return a ** b\n")
    return replace(subject, mirror=tmp_path / "hub", models=Holding(writer))


HUMANEVAL = {"families": ["humaneval"], "tasks": ["humaneval"], "run_code": True}


def test_humaneval_is_scored_without_a_script_of_the_hub(humaneval: Subject) -> None:
    found = {record.item: record for record in records(run(HUMANEVAL, humaneval))}
    assert {item: record.value for item, record in found.items()} == {"0": 1.0, "1": 0.0}
    assert found["0"].metric == "pass@1,create_test"


def test_code_eval_may_be_asked_for_when_an_answer_is_graded(
    sums: tuple[Path, Path], in_mirror: Subject
) -> None:
    code = (
        "import evaluate\n\n\ndef grade(doc, results):\n"
        "    judge = evaluate.load('code_eval')\n"
        "    return judge.compute(['assert x == 1'], [[results[0]]], k=[1])[0]\n"
    )
    (sums[1] / "late.py").write_text(code)
    keys = "unsafe_code: true\nprocess_results: !function late.grade\n"
    (sums[1] / "says.yaml").write_text((sums[1] / "says.yaml").read_text() + keys)
    writer = Writer(**{"1 plus": "x = 1", "plus": "x = 2"})
    options = {"include_path": [str(sums[1])], "tasks": ["says"], "run_code": True}
    found = records(run(options, replace(in_mirror, models=Holding(writer))))
    assert {record.metric for record in found} == {"pass@1"}
    assert sum(record.value for record in found) == 5


def test_a_program_is_run_only_where_that_is_allowed(humaneval: Subject) -> None:
    options = {**HUMANEVAL, "run_code": False}
    with pytest.raises(DataMissing) as caught:
        run(options, humaneval)
    assert "task 'humaneval' runs programs that the model writes" in caught.value.text()
    assert "--set run_code=true" in caught.value.text()
    [need] = Harness(options, name="x").needs(None, humaneval.mirror)
    assert need.blocks


def test_it_is_allowed_for_all_harness_probes_at_once() -> None:
    probes = [ProbeSpec(probe="harness", options={"tasks": ["humaneval"]})]
    settled = settle(Suite(name="x", probes=probes), "fast", ["run_code=true"])
    assert settled.suite.probes[0].options["run_code"] is True


def test_a_task_with_means_of_its_own_is_graded_in_a_copy(
    sums: tuple[Path, Path], in_mirror: Subject
) -> None:
    code = (
        "import os\n\n\ndef grade(doc, results):\n    scope = {}\n"
        "    exec(results[0], scope)\n    return {'pid': os.getpid(), 'right': scope['x']}\n"
    )
    (sums[1] / "own.py").write_text(code)
    (sums[1] / "says.yaml").write_text(
        (sums[1] / "says.yaml").read_text()
        + "unsafe_code: true\nprocess_results: !function own.grade\n"
    )
    writer = Writer(**{"1 plus": "x = 1", "plus": "import sys; sys.exit(1)"})
    options = {"include_path": [str(sums[1])], "tasks": ["says"], "run_code": True}
    chunks = run(options, replace(in_mirror, models=Holding(writer)))
    found = records(chunks)
    assert {record.value for record in found if record.metric == "right"} == {1.0}
    assert os.getpid() not in {record.value for record in found if record.metric == "pid"}
    [skipped] = [each for chunk in chunks for each in chunk.skipped]
    assert "SystemExit" in skipped.reason
