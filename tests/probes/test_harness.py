"""The harness against lm-eval itself: same requests, same scores, same aggregates."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from factories_probes import GENERATION, QUESTIONS, TASK, records, run, score

from pyr.errors import ContentError, DataMissing
from pyr.probes import ItemsChanged, Subject


def stock(lm: Any, task: str, include: list[Path], **how: Any) -> dict[str, Any]:
    """lm-eval's own evaluator on the same model."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=[str(path) for path in include], include_defaults=False)
    found: dict[str, Any] = simple_evaluate(
        model=lm, tasks=[task], task_manager=manager, bootstrap_iters=0, **how
    )
    return found


@pytest.mark.parametrize("shots", [0, 3])
def test_scores_of_every_item_are_lm_evals(
    sums: tuple[Path, Path], in_mirror: Subject, shots: int
) -> None:
    mirror, tasks = sums
    options = {"include_path": [str(tasks)], "tasks": ["sums"], "num_fewshot": shots}
    ours = records(run(options, in_mirror))
    (tasks / "sums.yaml").write_text(TASK.replace("pyr-tests/sums", str(mirror / "pyr-tests/sums")))
    theirs = stock(in_mirror.lm, "sums", [tasks], num_fewshot=shots)
    for metric in ("acc", "acc_norm"):
        assert score(ours, "sums", metric) == pytest.approx(
            theirs["results"]["sums"][f"{metric},none"]
        )
    samples = {str(sample["doc_id"]): sample for sample in theirs["samples"]["sums"]}
    assert len(samples) == 12
    for record in ours:
        sample = samples[record.item]
        assert record.prompt_hash == sample["prompt_hash"]
        assert record.doc_hash == sample["doc_hash"]
        if record.metric == "acc":
            assert record.value == sample["acc"]


def test_the_gold_answers_bits_per_byte_stand_beside_accuracy(
    sums: tuple[Path, Path], in_mirror: Subject
) -> None:
    found = records(run({"include_path": [str(sums[1])], "tasks": ["sums"]}, in_mirror))
    gold = next(r for r in found if r.metric == "gold_bpb")
    number = int(gold.item)
    answer = " " + ["one", "two", "three", "ten"][number % 4]
    [(likelihood, _)] = in_mirror.lm.loglikelihood(
        [_request(f"Q: {QUESTIONS[number]}\nA:", answer)], disable_tqdm=True
    )
    assert gold.weight == len(answer.encode())
    assert gold.value == pytest.approx(-likelihood / math.log(2) / len(answer.encode()), rel=1e-5)
    assert gold.direction == "lower"


def _request(context: str, continuation: str) -> Any:
    from lm_eval.api.instance import Instance

    return Instance("loglikelihood", {}, (context, continuation), 0)


def test_generated_text_is_lm_evals(sums: tuple[Path, Path], in_mirror: Subject) -> None:
    mirror, tasks = sums
    options = {"include_path": [str(tasks)], "tasks": ["says"]}
    ours = {r.item: r.responses for r in records(run(options, in_mirror))}
    text = GENERATION.replace("pyr-tests/sums", str(mirror / "pyr-tests/sums"))
    (tasks / "says.yaml").write_text(text)
    theirs = stock(in_mirror.lm, "says", [tasks])["samples"]["says"]
    import json

    assert {str(s["doc_id"]): s["resps"][0][0] for s in theirs} == {
        item: json.loads(responses)[0] for item, responses in ours.items()
    }


def test_a_limit_takes_the_same_random_items_every_time(
    sums: tuple[Path, Path], in_mirror: Subject
) -> None:
    options = {"include_path": [str(sums[1])], "tasks": ["sums"]}
    few = {r.item for r in records(run({**options, "limit": 5}, in_mirror))}
    more = {r.item for r in records(run({**options, "limit": 8}, in_mirror))}
    assert len(few) == 5
    assert few < more
    assert few != {str(number) for number in range(5)}


def test_items_of_an_earlier_attempt_are_not_asked_again(
    sums: tuple[Path, Path], in_mirror: Subject
) -> None:
    options = {"include_path": [str(sums[1])], "tasks": ["sums"]}
    whole = records(run(options, in_mirror))
    first = [r for r in whole if int(r.item) < 7]
    earlier = pd.DataFrame(map(asdict, first))
    rest = records(run(options, replace(in_mirror, earlier=earlier)))
    assert sorted((r.metric, r.item) for r in first + rest) == sorted(
        (r.metric, r.item) for r in whole
    )


@pytest.mark.parametrize("column", ["doc_hash", "prompt_hash"])
def test_items_that_are_no_longer_what_they_were_are_not_joined_to_others(
    sums: tuple[Path, Path], in_mirror: Subject, column: str
) -> None:
    options = {"include_path": [str(sums[1])], "tasks": ["sums"]}
    first = [r for r in records(run(options, in_mirror)) if int(r.item) < 7]
    earlier = pd.DataFrame(map(asdict, first))
    earlier.loc[0, column] = "another"
    with pytest.raises(ItemsChanged, match=f"item {first[0].item} is not what it was"):
        run(options, replace(in_mirror, earlier=earlier))


def test_documents_hold_what_was_asked(sums: tuple[Path, Path], in_mirror: Subject) -> None:
    chunks = run({"include_path": [str(sums[1])], "tasks": ["sums"], "limit": 2}, in_mirror)
    [first, _] = [document for chunk in chunks for document in chunk.documents]
    assert first.prompt == f"Q: {QUESTIONS[int(first.item)]}\nA:"
    assert first.choices == (" one", " two", " three", " ten")


def test_missing_data_names_task_data_set_and_command(
    sums: tuple[Path, Path], subject: Subject, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    options = {"include_path": [str(sums[1])], "tasks": ["sums"]}
    with pytest.raises(DataMissing) as caught:
        run(options, replace(subject, mirror=tmp_path / "empty"))
    text = caught.value.text()
    assert "'sums'" in text
    assert "hf download --repo-type dataset pyr-tests/sums" in text


def test_missing_data_is_skipped_when_asked(
    sums: tuple[Path, Path], subject: Subject, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    options = {"include_path": [str(sums[1])], "tasks": ["sums", {"task": "pyr_facts", "limit": 2}]}
    elsewhere = replace(subject, mirror=tmp_path / "empty", skip_missing=True)
    chunks = run(options, elsewhere)
    [skipped] = [skipped for chunk in chunks for skipped in chunk.skipped]
    assert (skipped.what, skipped.missing) == ("sums", True)
    assert {record.task for record in records(chunks)} == {"pyr_facts"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tasks": ["pyr_fact"]}, "did you mean: pyr_facts"),
        ({"tasks": ["hellaswag"]}, "add 'hellaswag' to the probe's families"),
        ({"tasks": ["pyr_facts"], "families": ["hellaswog"]}, "did you mean: hellaswag"),
        ({"tasks": ["pyr_facts", "pyr_facts"]}, "asked for twice"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(
    subject: Subject, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ContentError) as caught:
        run(options, subject)
    assert said in caught.value.text()


def test_a_task_with_no_items_is_an_error(sums: tuple[Path, Path], in_mirror: Subject) -> None:
    (sums[1] / "utils.py").write_text("def none(docs):\n    return docs.select(range(0))\n")
    (sums[1] / "sums.yaml").write_text(TASK + "process_docs: !function utils.none\n")
    with pytest.raises(ContentError, match="no items"):
        run({"include_path": [str(sums[1])], "tasks": ["sums"]}, in_mirror)


def test_data_that_cannot_be_read_is_an_error(sums: tuple[Path, Path], in_mirror: Subject) -> None:
    (sums[0] / "pyr-tests/sums/data/test-00000.parquet").write_bytes(b"PAR1 but not really PAR1")
    with pytest.raises(ContentError, match="cannot be read"):
        run({"include_path": [str(sums[1])], "tasks": ["sums"]}, in_mirror)


def test_a_chat_suite_does_not_apply_to_a_checkpoint_without_a_template(subject: Subject) -> None:
    base = replace(subject, checkpoint=replace(subject.checkpoint, chat=False))
    [chunk] = run({"tasks": ["pyr_facts"], "apply_chat_template": True}, base)
    assert [skipped.missing for skipped in chunk.skipped] == [False]


def test_groups_are_taken_apart_and_remembered(subject: Subject) -> None:
    from pyr.probes.tasks import HarnessOptions, expand, task_manager

    options = HarnessOptions(
        families=["mmlu/continuation", "blimp"], tasks=["mmlu_continuation", "blimp"]
    )
    specs = expand(task_manager(options), options)
    assert sum(spec.group == "mmlu_continuation" for spec in specs) == 57
    assert sum(spec.group == "blimp" for spec in specs) == 67
    assert {spec.dataset for spec in specs} == {"cais/mmlu", "nyu-mll/blimp"}


def test_keys_that_a_group_sets_for_its_members_count(sums: tuple[Path, Path]) -> None:
    from pyr.probes.tasks import HarnessOptions, expand, task_manager

    group = {
        "group": "both",
        "num_fewshot": 2,
        "task": ["sums", {"task": "says", "num_fewshot": 5, "description": "Add."}],
    }
    (sums[1] / "both.yaml").write_text(yaml.safe_dump(group))
    options = HarnessOptions(include_path=[str(sums[1])], tasks=["both"])
    manager = task_manager(options)
    specs = {spec.name: dict(spec.overrides) for spec in expand(manager, options)}
    assert specs == {
        "sums": {"num_fewshot": 2},
        "says": {"num_fewshot": 5, "description": "Add."},
    }


def test_an_error_of_a_tasks_code_is_not_called_missing_data(
    sums: tuple[Path, Path], in_mirror: Subject
) -> None:
    (sums[1] / "broken.py").write_text("raise OSError('no such script')\n")
    (sums[1] / "sums.yaml").write_text(TASK + "process_docs: !function broken.f\n")
    with pytest.raises(ContentError, match="lm-eval cannot make task 'sums': OSError"):
        run({"include_path": [str(sums[1])], "tasks": ["sums"]}, in_mirror)


def test_a_package_that_only_running_the_code_misses_is_called_a_package(
    sums: tuple[Path, Path], in_mirror: Subject
) -> None:
    code = "import sys\nsys.path.insert(0, '.')\nimport no_such_module\n"
    (sums[1] / "lacking.py").write_text(code)
    (sums[1] / "sums.yaml").write_text(TASK + "process_docs: !function lacking.f\n")
    options = {"include_path": [str(sums[1])], "tasks": ["sums"]}
    with pytest.raises(DataMissing, match="package 'no_such_module' is not installed"):
        run(options, in_mirror)
    [skipped] = [
        each
        for chunk in run(options, replace(in_mirror, skip_missing=True))
        for each in chunk.skipped
    ]
    assert "no_such_module" in skipped.reason
