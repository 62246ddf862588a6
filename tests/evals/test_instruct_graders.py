"""The grader of instructions, on right and wrong answers written by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

TASKS = Path(__file__).parents[2] / "evals" / "tasks"
LEVELS = [f"pyr_instruct_{level}" for level in (1, 2, 3, 4)]


@pytest.fixture(scope="module")
def loaded() -> dict[str, Any]:
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=False, include_path=[str(TASKS)])
    return manager.load(["pyr_instruct"])["tasks"]


def grade(loaded: dict, cluster: str, answer: str, **wanted: object) -> dict[str, Any]:
    """The scores of an answer to the first item of a cluster whose arguments are as wanted."""
    for task in LEVELS:
        for doc in loaded[task].test_docs():
            asked = {k: v for one in doc["kwargs"] for k, v in one.items() if v is not None}
            if doc["cluster"] == cluster and wanted.items() <= asked.items():
                return loaded[task].process_results(doc, [_with_words(answer, asked)])
    raise LookupError(cluster, wanted)


def _with_words(answer: str, asked: dict[str, Any]) -> str:
    """The answer with the words asked for in place of FIRST and SECOND."""
    words = [*asked.get("keywords", [asked.get("keyword", "")]), ""]
    return answer.replace("FIRST", words[0]).replace("SECOND", words[1])


LONG = "the moon is a large round rock that moves around the earth about once a month"


# The answer is right: strictly, and so also trimmed.
RIGHT = [
    ("keyword", "The Fish swims in the waves.", {"keywords": ["fish"]}),
    ("two_keywords", "The SECOND and the FIRST.", {}),
    ("name", "Anna has a garden.", {"keywords": ["Anna"]}),
    ("repeat", "What is snow? It is frozen water.", {"prompt_to_repeat": "What is snow?"}),
    ("opening", "in my opinion it is warm.", {"prompt_to_repeat": "In my opinion"}),
    ("opening", "In my opinion, it is.", {"prompt_to_repeat": "In my opinion"}),
    ("ending", "Birds fly. The end.", {"end_phrase": "The end."}),
    ("ending", 'Birds fly. "The end."', {"end_phrase": "The end."}),
    ("choose", "My answer is yes.", {}),
    ("keyword_twice", "FIRST and FIRST.", {}),
    ("postscript", "It is cold.\nP.S. Bring a coat.", {}),
    ("lowercase", "the sky looks blue because the air scatters blue light.", {}),
    ("uppercase", "A LIBRARY IS A HOUSE FULL OF BOOKS THAT YOU CAN BORROW.", {}),
    ("title", "<<The Moon>>\nIt shines at night.", {}),
    ("json", '{"answer": "flour"}', {}),
    ("json", '```json\n{"answer": "flour"}\n```', {}),
    ("quotation", '"A forest is full of trees."', {}),
    ("two_answers", "Toast.\n******\nOatmeal.", {}),
    ("bullets", "* sand\n* water\n* shells", {"num_bullets": 3}),
    ("bullets", "- sand\n- water\n- shells", {"num_bullets": 3}),
    ("placeholders", "Dear [name], be on time.", {"num_placeholders": 1}),
    ("highlights", "It is *hot*.", {"num_highlights": 1}),
    ("sections", "Section 1\nHot.\nSection 2\nBig.", {"num_sections": 2}),
    ("paragraphs", "One.\n***\nTwo.", {"num_paragraphs": 2}),
    ("short", "It is frozen water.", {"num_words": 10}),
    ("keyword lowercase", "there are many fish in the sea.", {"keywords": ["fish"]}),
    ("keyword without", "A FIRST.", {}),
    ("two_keywords long", f"{LONG}: FIRST and SECOND", {"num_words": 15}),
    ("opening keyword", "Of course a dog can bark.", {"keywords": ["bark"]}),
    ("title keyword postscript", "<<Fish>>\nFish swim.\nP.S. Bye.", {"keywords": ["fish"]}),
]
# The answer is wrong; the last value says whether trimming saves it, as the loose score allows.
WRONG = [
    ("keyword", "The boat is on the sea.", {"keywords": ["fish"]}, 0),
    ("two_keywords", "The FIRST alone.", {}, 0),
    ("name", "Tom has a garden.", {"keywords": ["Anna"]}, 0),
    ("repeat", "It is frozen water.", {"prompt_to_repeat": "What is snow?"}, 0),
    ("repeat", "Sure!\nWhat is snow? Frozen water.", {"prompt_to_repeat": "What is snow?"}, 1),
    ("opening", "It is warm, in my opinion.", {"prompt_to_repeat": "In my opinion"}, 0),
    ("ending", "The end. Birds fly.", {"end_phrase": "The end."}, 0),
    ("choose", "Yes, it is.", {}, 0),
    ("keyword_twice", "One FIRST.", {}, 0),
    ("postscript", "It is cold. Bring a coat.", {}, 0),
    ("lowercase", "The sky looks blue because the air scatters blue light.", {}, 0),
    ("lowercase", "  ", {}, 0),
    ("uppercase", "A LIBRARY is a house full of books that you can borrow.", {}, 0),
    ("title", "The Moon\nIt shines at night.", {}, 0),
    ("title", "<<>>\nIt shines at night.", {}, 0),
    ("json", '{"answer": flour}', {}, 0),
    ("json", 'Here it is:\n{"answer": "flour"}', {}, 1),
    ("quotation", 'A "forest" is full of trees.', {}, 0),
    ("two_answers", "Toast and oatmeal.", {}, 0),
    ("two_answers", "Toast.\n******\nToast.", {}, 0),
    ("bullets", "* sand\n* water", {"num_bullets": 3}, 0),
    ("placeholders", "Dear Anna, be on time.", {"num_placeholders": 1}, 0),
    ("highlights", "It is hot.", {"num_highlights": 1}, 0),
    ("sections", "Section 1\nHot and big.", {"num_sections": 2}, 0),
    ("paragraphs", "One.\n\nTwo.", {"num_paragraphs": 2}, 0),
    ("short", LONG, {"num_words": 10}, 0),
    ("keyword lowercase", "There are many fish in the sea.", {"keywords": ["fish"]}, 0),
    ("keyword lowercase", "there are many boats on the sea.", {"keywords": ["fish"]}, 0),
    ("two_keywords long", "FIRST and SECOND.", {"num_words": 15}, 0),
    ("two_keywords no_comma", "FIRST, SECOND.", {}, 0),
    ("opening keyword", "A dog can bark.", {"keywords": ["bark"]}, 0),
    ("title keyword postscript", "<<Fish>>\nFish swim.", {"keywords": ["fish"]}, 0),
]


@pytest.mark.parametrize(("cluster", "answer", "wanted"), RIGHT)
def test_a_right_answer_is_right(loaded, cluster, answer, wanted):
    scores = grade(loaded, cluster, answer, **wanted)
    assert (scores["strict"], scores["loose"]) == (1, 1)
    assert all(scores["instructions"])


@pytest.mark.parametrize(("cluster", "answer", "wanted", "loose"), WRONG)
def test_a_wrong_answer_is_wrong(loaded, cluster, answer, wanted, loose):
    scores = grade(loaded, cluster, answer, **wanted)
    assert (scores["strict"], scores["loose"]) == (0, loose)
    assert not all(scores["instructions"])


def test_the_table_holds_answers_of_every_rule_of_the_first_two_levels(loaded):
    kinds = {doc["cluster"] for task in LEVELS[:2] for doc in loaded[task].test_docs()}
    assert kinds - {"copy"} <= {row[0] for row in RIGHT}
    assert kinds - {"copy"} <= {row[0] for row in WRONG}


def test_a_copied_sentence_must_be_the_sentence(loaded):
    task = loaded["pyr_instruct_1"]
    doc = next(doc for doc in task.test_docs() if doc["cluster"] == "copy")
    sentence = doc["prompt"].partition(": ")[2]
    assert task.process_results(doc, [sentence])["strict"] == 1
    assert task.process_results(doc, [sentence.replace("and", "or") + "?"])["strict"] == 0


def test_instructions_are_counted_one_by_one(loaded):
    wanted = {"keywords": ["fish"]}
    scores = grade(loaded, "title keyword postscript", "<<Fish>>\nFish swim.", **wanted)
    assert scores["instructions"] == [True, True, False]


def test_what_follows_anyhow_is_only_asked_beside_something_that_does_not(loaded):
    """A long answer that follows nothing must not score."""
    said = " ".join(["it is a thing that one can see here and there"] * 8)
    for task in LEVELS:
        built = loaded[task]
        strict = [built.process_results(doc, [said])["strict"] for doc in built.test_docs()]
        # The letter case is the one rule that plain text follows by itself.
        assert sum(strict) <= 400 / 12 + 1


def test_grading_gives_the_same_answer_every_time(loaded):
    doc = next(d for d in loaded["pyr_instruct_2"].test_docs() if d["cluster"] == "lowercase")
    score = loaded["pyr_instruct_2"].process_results
    assert len({score(doc, ["cats eat fish"])["strict"] for _ in range(20)}) == 1


def test_levels_hold_as_many_items_and_their_rules(loaded):
    for level, task in enumerate(LEVELS, start=1):
        docs = loaded[task].test_docs()
        assert len(docs) == 400
        asked = {len(doc["instruction_id_list"]) for doc in docs}
        assert asked == {{1: 1, 2: 1, 3: 2, 4: 3}[level]}


def test_every_kind_has_about_as_many_items(loaded):
    for task in LEVELS:
        kinds = Counter(doc["cluster"] for doc in loaded[task].test_docs())
        assert max(kinds.values()) - min(kinds.values()) <= 1


def test_every_metric_is_a_mean_of_items(loaded):
    for task in LEVELS:
        metrics = {each["metric"]: each["aggregation"] for each in loaded[task].config.metric_list}
        assert (metrics["strict"], metrics["loose"]) == ("mean", "mean")
        assert loaded[task].aggregation()["instructions"]([[True, False], [True]]) == 2 / 3


def test_grading_downloads_nothing(loaded, monkeypatch):
    monkeypatch.setattr("nltk.download", lambda *_: pytest.fail("a download was started"))
    assert grade(loaded, "title", "an answer")["strict"] == 0


def test_items_are_written_as_google_ifevals_are():
    lines = (TASKS / "pyr_instruct" / "items.jsonl").read_text(encoding="utf-8").splitlines()
    for doc in map(json.loads, lines):
        assert len(doc["instruction_id_list"]) == len(doc["kwargs"])
