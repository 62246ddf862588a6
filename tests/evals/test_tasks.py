"""The project's own tasks: their generators, their items, and that lm-eval can read them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

TASKS = Path(__file__).parents[2] / "evals" / "tasks"
LEAST_ITEMS = {
    "pyr_pairs": 1200,
    "pyr_words": 200,
    "pyr_facts": 300,
    "pyr_arithmetic": 300,
    "pyr_copy": 300,
    "pyr_bpb_prose": 30,
    "pyr_bpb_stories": 30,
    "pyr_bpb_python": 30,
    "pyr_bpb_chat": 30,
    "pyr_instruct": 1500,
}
MADE = {**LEAST_ITEMS, "pyr_tools": 1000}
"""Those with a generator: pyr_tools is no lm-eval task, the tools probe reads it."""
CHOICE = [
    "pyr_pairs",
    "pyr_words",
    "pyr_facts",
    "pyr_arithmetic",
    "pyr_copy",
]
# lm-eval takes them apart: their tasks are tested in a file of their own.
GROUPS = ["pyr_instruct"]
SINGLE = [task for task in LEAST_ITEMS if task not in GROUPS]
BPB = [task for task in LEAST_ITEMS if task.startswith("pyr_bpb_")]
STRATA = ["pyr_arithmetic", "pyr_copy"]
"""Their kinds are all that they are about: no clusters."""
CLUSTERED = [task for task in LEAST_ITEMS if task not in (*BPB, *STRATA, "pyr_words")]


def documents(task: str) -> list[dict]:
    text = (TASKS / task / "items.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def rendered() -> dict[str, str]:
    """What every generator gives today, made in a process of its own."""
    program = (
        "import generate, json;"
        "print(json.dumps({task: generate.render(task) for task in generate.task_names()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=TASKS, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def drawn_anew() -> dict[str, list[list[dict]]]:
    """A hundred sets of each task that other seeds would have given."""
    program = (
        "import importlib, json, random, sys;"
        "made = lambda task, seed: importlib.import_module(f'{task}.generate')"
        ".items(random.Random(f'{task} {seed}'));"
        "sets = {task: [made(task, seed) for seed in range(100)] for task in sys.argv[1:]};"
        "print(json.dumps(sets))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *STRATA],
        cwd=TASKS,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def loaded() -> dict:
    """Every task of the folder as lm-eval builds it."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=False, include_path=[str(TASKS)])
    return manager.load(sorted(LEAST_ITEMS))["tasks"]


def test_every_task_folder_is_known_here():
    assert {path.parent.name for path in TASKS.glob("*/*.yaml")} == set(LEAST_ITEMS)


@pytest.mark.parametrize("task", MADE)
def test_the_generator_reproduces_the_items_byte_for_byte(task, rendered):
    assert rendered[task].encode() == (TASKS / task / "items.jsonl").read_bytes()


@pytest.mark.parametrize("task", MADE)
def test_there_are_enough_items_and_none_twice(task):
    lines = (TASKS / task / "items.jsonl").read_text(encoding="utf-8").splitlines()
    contents = [json.dumps({**json.loads(line), "key": 0, "gold": 0}) for line in lines]
    assert len(lines) >= MADE[task]
    assert len(set(contents)) == len(lines)


def test_all_tasks_together_stay_below_four_megabytes():
    files = [path for path in TASKS.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) < 4_000_000


@pytest.mark.parametrize("task", SINGLE)
def test_lm_eval_builds_requests_offline(task, loaded):
    built = loaded[task]
    built.build_all_requests(limit=3, rank=0, world_size=1)
    per_item = {"multiple_choice": len(documents(task)[0].get("choices", []))}
    assert len(built.instances) == 3 * per_item.get(built.OUTPUT_TYPE, 1)
    assert len(built.test_docs()) == len(documents(task))


@pytest.mark.parametrize("task", SINGLE)
def test_every_metric_is_a_mean_or_bits_per_byte(task, loaded):
    config = loaded[task].config
    assert config.metadata["version"] == 1.0
    for metric in config.metric_list:
        assert metric["aggregation"] == ("bits_per_byte" if task in BPB else "mean")
        assert metric["higher_is_better"] is (task not in BPB)


@pytest.mark.parametrize("task", CLUSTERED)
def test_items_that_share_something_name_their_cluster(task):
    clusters = Counter(document["cluster"] for document in documents(task))
    assert len(clusters) >= 8
    assert min(clusters.values()) >= 4


@pytest.mark.parametrize("task", STRATA)
def test_kinds_have_equally_many_items_and_are_no_clusters(task):
    items = documents(task)
    assert len(set(Counter(item["kind"] for item in items).values())) == 1
    assert not any("cluster" in item for item in items)


# A stranger's scores of an item: of its kind, its answer, its question, its words, its examples.
SCORES = {
    "kind": lambda item: item["kind"],
    "answer": lambda item: item["choices"][item["gold"]],
    "seven": lambda item: "7" in item["choices"][item["gold"]],
    "question": lambda item: item["prompt"].splitlines()[-1],
    "word": lambda item: item["prompt"].split()[0],
    "example": lambda item: item["prompt"].splitlines()[0],
}


@pytest.mark.parametrize("task", STRATA)
def test_items_drawn_anew_differ_no_more_than_independent_ones(task, drawn_anew):
    """What allows an error without clusters: of 100 sets by other seeds, whatever scores them."""
    for name, score in SCORES.items():
        scores = np.array(
            [
                [zlib.crc32(repr(score(item)).encode()) % 1000 for item in items[:128]]
                for items in drawn_anew[task]
            ]
        )
        errors = scores.std(axis=1, ddof=1) / np.sqrt(scores.shape[1])
        spread = scores.mean(axis=1).std(ddof=1) / np.sqrt(np.mean(errors**2))
        # 99.9% of such ratios are below sqrt(chi2(99) / 99).
        assert spread < 1.22, name


@pytest.mark.parametrize("task", CHOICE)
def test_the_right_answer_stands_in_every_place_equally_often(task):
    items = documents(task)
    places = Counter(item["gold"] for item in items)
    assert set(places) == set(range(len(items[0]["choices"])))
    assert max(places.values()) - min(places.values()) <= 1


@pytest.mark.parametrize("task", CHOICE)
def test_choices_are_distinct_and_bring_no_blanks_of_their_own(task):
    for item in documents(task):
        choices = item["choices"]
        assert len(set(choices)) == len(choices)
        assert all(choice and choice == choice.strip() for choice in choices)


@pytest.mark.parametrize("task", [task for task in CHOICE if task != "pyr_pairs"])
def test_prompts_are_asked_once_and_end_where_the_answer_begins(task):
    prompts = [item["prompt"] for item in documents(task)]
    assert all(prompt == prompt.rstrip() for prompt in prompts)
    assert len(set(prompts)) == len(prompts)


# ------------------------------------------------------------------ minimal pairs


def pairs() -> list[tuple[str, str]]:
    """(good, bad) of every item."""
    return [(i["choices"][i["gold"]], i["choices"][1 - i["gold"]]) for i in documents("pyr_pairs")]


def test_pairs_cover_many_paradigms_with_fifty_items_each():
    clusters = Counter(item["cluster"] for item in documents("pyr_pairs"))
    assert len(clusters) >= 24
    assert set(clusters.values()) == {50}


def test_no_sentence_of_the_pairs_occurs_twice_or_on_both_sides():
    sentences = [sentence for pair in pairs() for sentence in pair]
    assert len(set(sentences)) == len(sentences)


def test_both_sentences_of_a_pair_are_nearly_equally_long():
    for good, bad in pairs():
        assert abs(len(good.split()) - len(bad.split())) <= 2
        assert abs(len(good) - len(bad)) <= 15


def test_sentences_of_the_pairs_are_whole_sentences():
    for sentence in [sentence for pair in pairs() for sentence in pair]:
        assert re.fullmatch(r"[A-Z][A-Za-z0-9',]*( [A-Za-z0-9',]+)+[.?]", sentence)


# ------------------------------------------------------------------ answers against an oracle


def test_sums_and_products_are_right():
    checked = 0
    for item in documents("pyr_arithmetic"):
        last = item["prompt"].splitlines()[-1]
        if last.endswith(" ="):
            assert eval(last[:-2].replace("x", "*")) == int(item["choices"][item["gold"]])
            checked += 1
    assert checked == 5 * 40


def test_solved_examples_do_not_hold_the_question():
    for item in documents("pyr_arithmetic"):
        *solved, asked = item["prompt"].splitlines()
        assert not any(line.startswith(asked) for line in solved)


def test_counted_things_are_counted_right():
    for item in documents("pyr_arithmetic"):
        last = item["prompt"].splitlines()[-1]
        if last.startswith("How many?"):
            assert len(last.split()) - 3 == int(item["choices"][item["gold"]])


def test_looked_up_values_stand_beside_their_key():
    for item in documents("pyr_copy"):
        if item["kind"] == "lookup":
            answer = f"{item['prompt'].splitlines()[-1]} {item['choices'][item['gold']]}"
            assert item["prompt"].splitlines().count(answer) == 1


def test_reversed_lists_are_reversed():
    for item in documents("pyr_copy"):
        if item["kind"] == "reverse_words":
            listed = item["prompt"].splitlines()[-2].removeprefix("List: ").split()
            assert item["choices"][item["gold"]].split() == listed[::-1]


# ------------------------------------------------------------------ documents for bits per byte


@pytest.mark.parametrize("task", BPB)
def test_documents_are_between_400_and_1500_bytes(task):
    sizes = [len(document["text"].encode()) for document in documents(task)]
    assert 400 <= min(sizes)
    assert max(sizes) <= 1500


@pytest.mark.parametrize("number", range(len(documents("pyr_bpb_python"))))
def test_python_documents_run(number):
    text = documents("pyr_bpb_python")[number]["text"]
    # Dataclasses look up the module of their class, so the name must be a module's.
    exec(compile(text, f"document {number}", "exec"), {"__name__": __name__})


def test_bits_per_byte_is_weighted_by_bytes(loaded):
    task = loaded["pyr_bpb_prose"]
    document = documents("pyr_bpb_prose")[0]
    scored = task.process_results(document, [-100.0])
    assert scored == {"bits_per_byte": (-100.0, len(document["text"].encode()))}
