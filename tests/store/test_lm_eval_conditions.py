"""Two results files compare only where both say that a task was asked the same way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyr.errors import StoreError
from pyr.gate.spec import Gate, Rule
from pyr.pipeline import assess_and_report
from pyr.schema import Run
from pyr.store import Store
from pyr.store.lm_eval_import import import_results

GATE = Gate(name="keep", keeps=[Rule(measure="*/*", not_worse_by=0.2)])
CHOICES = {"sciq": {"acc,none": 0.5, "acc_stderr,none": 0.0158}}
ANSWERS = {"gsm8k": {"exact_match,strict": 0.5, "exact_match_stderr,strict": 0.0158}}


def imported(store: Store, name: str, scores: dict[str, Any], **more: Any) -> Run:
    """The run of a results file as lm-eval 0.4.9 writes it; `more` replaces its entries."""
    config = {"model": "hf", "model_args": f"pretrained=some/{name}", "limit": None}
    content = {
        "results": scores,
        "versions": dict.fromkeys(scores, 1.0),
        "n-shot": dict.fromkeys(scores, 0),
        "n-samples": {task: {"original": 1000, "effective": 1000} for task in scores},
        "config": {**config, **more.pop("config", {})},
        "configs": {task: {"generation_kwargs": {"until": ["\n"]}} for task in scores},
        "chat_template": None,
        "system_instruction": None,
        "fewshot_as_multiturn": False,
        "lm_eval_version": "0.4.9",
        **more,
    }
    content = {key: value for key, value in content.items() if value != "left out"}
    file = store.root.parent / f"results_{name}.json"
    file.write_text(json.dumps(content))
    [run] = import_results([file], store)
    return run


def judged(tmp_path: Path, scores: dict[str, Any], **more: Any) -> tuple[str, str]:
    """State and sentence where the second file differs from the first by `more`."""
    tmp_path.mkdir(exist_ok=True)
    store = Store(tmp_path / "results")
    runs = [imported(store, "one", scores), imported(store, "two", scores, **more)]
    outcome = assess_and_report(store, runs[1], runs[0], GATE)
    assert outcome.verdict is not None
    return outcome.state, outcome.verdict.findings[0].sentence


@pytest.mark.parametrize("scores", [CHOICES, ANSWERS])
def test_what_was_asked_the_same_way_passes(tmp_path: Path, scores: dict[str, Any]) -> None:
    assert judged(tmp_path, scores)[0] == "pass"


def test_settings_by_task_do_not_fill_the_page_of_a_report(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    tasks = {f"task_{number}": CHOICES["sciq"] for number in range(50)}
    outcome = assess_and_report(store, imported(store, "one", tasks), None, None)
    assert len(outcome.report.facts) < 40


def test_another_task_in_one_of_the_files_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    runs = [imported(store, "one", CHOICES), imported(store, "two", {**CHOICES, **ANSWERS})]
    outcome = assess_and_report(store, runs[1], runs[0], GATE)
    assert outcome.verdict is not None
    assert {each.measure: each.state for each in outcome.verdict.findings}["sciq/acc"] == "pass"


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"chat_template": "{{ messages }}" * 9}, "chat template: sha256"),
        (
            {"system_instruction": "Be right."},
            "system instruction: Be right., of the baseline none",
        ),
        ({"n-shot": {"sciq": 5}}, "few-shots: 5, of the baseline 0"),
        ({"versions": {"sciq": 2.0}}, "task version: 2.0, of the baseline 1.0"),
        ({"config": {"limit": 100}}, "limit: 100, of the baseline none"),
        ({"chat_template": "left out"}, "chat template: not stated by both"),
        ({"versions": {}}, "task version: not stated by both"),
        ({"n-shot": {}}, "few-shots: not stated by both"),
    ],
)
def test_what_differs_or_is_not_stated_cannot_pass(
    tmp_path: Path, more: dict[str, Any], named: str
) -> None:
    state, sentence = judged(tmp_path, CHOICES, **more)
    assert state == "unclear" and named in sentence


def test_few_shot_turns_count_where_there_is_a_chat_template(tmp_path: Path) -> None:
    assert judged(tmp_path / "a", CHOICES, fewshot_as_multiturn=True)[0] == "pass"
    store = Store(tmp_path / "results")
    chat = {"chat_template": "{{ messages }}"}
    runs = [
        imported(store, "one", CHOICES, **chat),
        imported(store, "two", CHOICES, **chat, fewshot_as_multiturn=True),
    ]
    outcome = assess_and_report(store, runs[1], runs[0], GATE)
    assert outcome.verdict is not None
    assert "few-shot turns: true, of the baseline none" in outcome.verdict.findings[0].sentence


def test_generation_settings_count_where_answers_are_generated(tmp_path: Path) -> None:
    hotter = {"configs": {"gsm8k": {"generation_kwargs": {"temperature": 1.0}}}}
    assert "generation settings: " in judged(tmp_path / "a", ANSWERS, **hotter)[1]
    given = {"config": {"gen_kwargs": {"temperature": 1.0}}}
    assert "generation settings: " in judged(tmp_path / "b", ANSWERS, **given)[1]
    other = {"configs": {"sciq": {"generation_kwargs": {"temperature": 1.0}}}}
    assert judged(tmp_path / "c", CHOICES, **other)[0] == "pass"


@pytest.mark.parametrize(
    "content",
    [
        {"config_general": {"lighteval_sha": "2"}, "results": {"arc": {"acc": 0.3}}},
        {"results": {"leaderboard|arc:challenge|25": {"acc": 0.3}}, "versions": {}},
        {"results": {"harness|hellaswag|10": {"acc": 0.3}, "all": {"acc": 0.3}}},
    ],
)
def test_another_harness_is_refused_by_name(tmp_path: Path, content: dict[str, Any]) -> None:
    (tmp_path / "results_x.json").write_text(json.dumps(content))
    with pytest.raises(StoreError, match="lighteval or an old leaderboard"):
        import_results([tmp_path], Store(tmp_path / "runs"))


def test_a_metric_of_unknown_direction_decides_nothing(tmp_path: Path) -> None:
    scores = {"held": {"quality,none": 2.0, "quality_stderr,none": 0.01}}
    state, _ = judged(tmp_path, scores)
    assert state == "unclear"
    store = Store(tmp_path / "results")
    assert any("decides nothing" in note for note in store.runs()[0].notes)
