"""The grader of pyr_follow, on answers written by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TASKS = Path(__file__).parents[2] / "evals" / "tasks"


@pytest.fixture(scope="module")
def loaded() -> dict:
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=False, include_path=[str(TASKS)])
    return manager.load(["pyr_follow"])["tasks"]


def follow(loaded, cluster: str, answer: str, **wanted: object) -> tuple[float, float]:
    """(strict, loose) of an answer to the first item of a cluster whose arguments are as wanted."""
    docs = loaded["pyr_follow"].test_docs()
    doc = next(
        doc
        for doc in docs
        if doc["cluster"] == cluster and wanted.items() <= doc["kwargs"][0].items()
    )
    scores = loaded["pyr_follow"].process_results(doc, [answer])
    return scores["strict"], scores["loose"]


LONG = "the moon is a large round rock that moves around the earth about once a month"


@pytest.mark.parametrize(
    ("cluster", "answer", "wanted", "strict", "loose"),
    [
        ("lowercase", "the sky looks blue because the air scatters blue light.", {}, 1, 1),
        ("lowercase", "The sky looks blue because the air scatters blue light.", {}, 0, 0),
        ("uppercase", "A LIBRARY IS A HOUSE FULL OF BOOKS THAT YOU CAN BORROW.", {}, 1, 1),
        ("uppercase", "A LIBRARY is a house full of books that you can borrow.", {}, 0, 0),
        ("no_comma", "Bread is made of flour and water.", {}, 1, 1),
        ("no_comma", "Bread is made of flour, water and salt.", {}, 0, 0),
        ("no_comma", "Well,\nbread is made of flour and water.", {}, 0, 1),
        ("quotation", '"A forest is full of trees."', {}, 1, 1),
        ("quotation", 'A "forest" is full of trees.', {}, 0, 0),
        ("title", "<<The Moon>>\nIt shines at night.", {}, 1, 1),
        ("title", "The Moon\nIt shines at night.", {}, 0, 0),
        ("postscript", "It is cold.\nP.S. Bring a coat.", {}, 1, 1),
        ("postscript", "It is cold. Bring a coat.", {}, 0, 0),
        ("json", '{"answer": "flour"}', {}, 1, 1),
        ("json", '```json\n{"answer": "flour"}\n```', {}, 1, 1),
        ("json", '{"answer": flour}', {}, 0, 0),
        ("two_answers", "Toast.\n******\nOatmeal.", {}, 1, 1),
        ("two_answers", "Toast and oatmeal.", {}, 0, 0),
        ("ending", "Birds fly. The end.", {"end_phrase": "The end."}, 1, 1),
        ("ending", "The end. Birds fly.", {"end_phrase": "The end."}, 0, 0),
        ("short", "It is frozen water.", {"num_words": 12}, 1, 1),
        ("short", LONG, {"num_words": 12}, 0, 0),
        ("long", LONG, {"num_words": 15}, 1, 1),
        ("long", "It is a rock.", {"num_words": 10}, 0, 0),
        ("bullets", "* sand\n* water\n* shells", {"num_bullets": 3}, 1, 1),
        ("bullets", "* sand\n* water", {"num_bullets": 3}, 0, 0),
        ("placeholders", "Dear [name], be on time.", {"num_placeholders": 1}, 1, 1),
        ("highlights", "It is *hot*.", {"num_highlights": 1}, 1, 1),
        ("highlights", "It is hot.", {"num_highlights": 1}, 0, 0),
        ("sections", "Section 1\nHot.\nSection 2\nBig.", {"num_sections": 2}, 1, 1),
        ("paragraphs", "One.\n***\nTwo.", {"num_paragraphs": 2}, 1, 1),
        ("constrained", "My answer is yes.", {}, 1, 1),
        ("constrained", "Yes, it is.", {}, 0, 0),
        ("lowercase", "  ", {}, 0, 0),
    ],
)
def test_an_answer_is_graded_by_its_instructions(loaded, cluster, answer, wanted, strict, loose):
    assert follow(loaded, cluster, answer, **wanted) == (strict, loose)


def test_all_instructions_of_a_prompt_must_be_followed(loaded):
    short_but_capital = "It is Ice."
    long_but_lower = LONG + " and " + LONG
    both = "it is frozen water that falls down."
    cluster = "lowercase_and_short"
    assert follow(loaded, cluster, short_but_capital)[0] == 0
    assert follow(loaded, cluster, long_but_lower)[0] == 0
    assert follow(loaded, cluster, both)[0] == 1


def test_a_keyword_must_be_used_as_often_as_asked(loaded):
    doc = next(d for d in loaded["pyr_follow"].test_docs() if d["cluster"] == "keyword_twice")
    (word,) = [kwargs["keyword"] for kwargs in doc["kwargs"]]
    grade = loaded["pyr_follow"].process_results
    assert grade(doc, [f"{word} and {word}"])["strict"] == 1
    assert grade(doc, [f"only one {word}"])["strict"] == 0


def test_grading_gives_the_same_answer_every_time(loaded):
    doc = next(d for d in loaded["pyr_follow"].test_docs() if d["cluster"] == "lowercase")
    grade = loaded["pyr_follow"].process_results
    assert len({grade(doc, ["cats eat fish"])["strict"] for _ in range(20)}) == 1


def test_every_item_can_be_graded(loaded):
    task = loaded["pyr_follow"]
    for doc in task.test_docs():
        assert set(task.process_results(doc, ["Hello, this is an answer."])) == {"strict", "loose"}


def test_grading_downloads_nothing_and_leaves_ifeval_to_fetch_its_own(loaded, monkeypatch):
    task = loaded["pyr_follow"]
    family = [name for name in sys.modules if name.startswith("lm_eval.tasks.ifeval")]
    for name in family:
        monkeypatch.delitem(sys.modules, name)
    task.config.process_results.__globals__["_ifeval"].cache_clear()
    monkeypatch.setattr("nltk.download", lambda *_: pytest.fail("a download was started"))
    task.process_results(task.test_docs()[0], ["an answer"])
    assert not [name for name in sys.modules if name.startswith("lm_eval.tasks.ifeval")]
