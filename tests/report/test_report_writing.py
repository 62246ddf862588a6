"""What a checkpoint wrote stands in the report beside its baseline's, and grey rows say why."""

from __future__ import annotations

import json

import pandas as pd
from factories_report import HOSTILE, a_report, a_run, rendered, results, rows

from pyr.store import Results

ITEMS = ["0.0", "0.1", "1.0", "1.1", "2.0"]


def traits(values: list[float], metric: str):
    """Records that only describe: neither side is the better one."""
    return rows(values, task="samples_stories", metric=metric, direction="none")


def wrote(name: str, said: str, words: float, *, step: int | None = None) -> Results:
    task = "samples_stories"
    texts = [json.dumps([f"{said} {item}"]) for item in ITEMS]
    records = [
        *rows([0.1] * 5, task=task, metric="repeated_4grams", direction="lower", responses=texts),
        *traits([words + n for n in range(5)], "sentence_words"),
        *traits([0.5 + n / 9 for n in range(5)], "distance_sentence_words"),
        *rows([0.9 + n / 9 for n in range(5)], task=task, metric="distance", direction="lower"),
        *traits([12.0] * 9, "sentence_words@reference"),
    ]
    frame = results(a_run(name, step=step), records)
    frame.records["item"] = [ITEMS[int(i)] if int(i) < 5 else i for i in frame.records["item"]]
    frame.records["cluster"] = [item.partition(".")[0] for item in frame.records["item"]]
    return frame


def documents() -> pd.DataFrame:
    made = [{"task": "samples_stories", "item": item, "prompt": f"Prompt {item}"} for item in ITEMS]
    return pd.DataFrame(made).assign(choices="", target="")


def report(new: Results, old: Results | None = None):
    return a_report(new, old, documents=documents())


def test_texts_of_the_first_prompts_stand_side_by_side() -> None:
    [found] = report(wrote("new", "now", 20), wrote("old", "then", 10)).writing
    assert found.domain == "stories"
    assert [(t.prompt, t.baseline, t.candidate) for t in found.texts] == [
        ("Prompt 0.0", "then 0.0", "now 0.0"),
        ("Prompt 1.0", "then 1.0", "now 1.0"),
    ]
    [trait] = found.traits
    assert trait.reference == 12
    assert trait.measure.candidate.value == 22


def test_the_page_quotes_what_a_model_said() -> None:
    html = rendered(report(wrote("new", HOSTILE, 20), wrote("old", "then", 10)))
    assert 'id="writing"' in html
    assert "<script>alert" not in html
    assert "then 0.0" in html
    alone = rendered(report(wrote("new", "now", 20)))
    assert "what it wrote" in alone


def test_traits_are_described_and_never_called_worse() -> None:
    found = report(wrote("new", "now", 90), wrote("old", "then", 10)).measures
    kinds = {each.metric: (each.section, each.word) for each in found}
    assert kinds["distance"][0] == "task"
    assert kinds["sentence_words"][0] == "described"
    banner = report(wrote("new", "now", 90), wrote("old", "then", 10)).banner
    assert sum(banner.words.values()) == 2


def test_a_task_at_chance_is_grey_and_says_so() -> None:
    new = results(a_run("new"), rows([1, 0, 0, 0] * 10, metric="acc"))
    choices = json.dumps(["a", "b", "c", "d"])
    asked = pd.DataFrame(
        [{"task": "arc", "item": str(n), "prompt": "?", "choices": choices} for n in range(40)]
    ).assign(target="0")
    built = a_report(new, documents=asked)
    [measure] = built.measures
    assert measure.marks == ("at chance",)
    html = rendered(built)
    assert "decides nothing: at chance" in html
    assert 'class="grey"' in html
