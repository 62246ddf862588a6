"""The samples probe from a checkpoint to records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml

from pyr.checkpoint import identify
from pyr.compare import compare
from pyr.engines import EngineSettings
from pyr.errors import ContentError
from pyr.evaluate import evaluate
from pyr.probes import Subject
from pyr.probes.samples import Domain, Samples, reference_texts
from pyr.schema import Checkpoint, ProbeSpec, Run, Suite
from pyr.store import Results, Store

FEW = {"limit": 2, "seeds": 2, "tokens": 24}


class Parrot:
    """An engine that gives the answers it was told, domain by domain."""

    def __init__(self, answers: dict[str, Iterator[str]]) -> None:
        self.answers = answers
        self.calls = 0
        self.tokenizer = self

    def apply_chat_template(self, messages: list[dict[str, str]]) -> str:
        return f"<user>{messages[0]['content']}<assistant>"

    def generate_until(self, requests, disable_tqdm: bool) -> list[str]:
        self.calls += 1
        return [next(self.answers[each.task_name]) for each in requests]

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        """Short answers: they all ended by themselves."""
        return []


def told(texts: dict[str, list[str]], **options) -> pd.DataFrame:
    """The records of a model that writes these texts, over and over."""
    cycles = {name: _forever(said) for name, said in texts.items()}
    engine = Parrot(cycles)
    subject = SimpleNamespace(
        earlier=pd.DataFrame(),
        checkpoint=SimpleNamespace(chat=True),
        lm=engine,
        seed=0,
        progress=lambda *_: None,
    )
    probe = Samples({"domains": list(texts), **options}, name="samples")
    chunks = list(probe.run(subject))
    assert engine.calls == 1
    return pd.DataFrame([asdict(each) for chunk in chunks for each in chunk.records])


def _forever(said: list[str]) -> Iterator[str]:
    while True:
        yield from said


def results(records: pd.DataFrame, name: str) -> Results:
    checkpoint = Checkpoint(path="", name=name, digest=name, format="safetensors")
    run = Run(name, checkpoint, "s", "d", "e", finished="now")
    empty = pd.DataFrame(
        columns=["task", "metric", "value", "se", "n", "direction", "unit", "group"]
    )
    return Results(run, records.assign(probe="samples"), empty)


def mean(records: pd.DataFrame, task: str, metric: str) -> float:
    rows = records[(records["task"] == task) & (records["metric"] == metric)]
    return float((rows["value"] * rows["weight"]).sum() / rows["weight"].sum())


def stories() -> list[str]:
    file = "evals/tasks/pyr_bpb_stories/items.jsonl"
    return reference_texts(Domain(form="prose", reference=file, prompts=["x"]))


def textbooks() -> list[str]:
    file = "evals/prompts/educational.jsonl"
    return reference_texts(Domain(form="prose", reference=file, prompts=["x"]))


def test_a_model_that_writes_stories_is_near_them_and_one_of_textbooks_is_not() -> None:
    options = {"seeds": 3, "domains": ["stories", "educational"]}
    sound = told({"stories": stories(), "educational": textbooks()}, **options)
    drifted = told({"stories": textbooks(), "educational": textbooks()}, **options)
    assert mean(sound, "samples_stories", "distance") < 0.01
    assert mean(sound, "samples_stories", "textbook") == pytest.approx(0, abs=0.02)
    assert mean(drifted, "samples_stories", "textbook") == pytest.approx(1, abs=0.1)
    assert mean(drifted, "samples_stories", "stilted") > 1
    assert mean(drifted, "samples_stories", "distance") > 1
    rows = {row.measure: row for row in compare(results(drifted, "b"), results(sound, "a"))}
    shift = rows["samples_stories/textbook"]
    assert shift.paired
    assert shift.low is not None
    assert shift.low > 0.8


def test_loops_endings_and_likeness_are_recorded_for_every_text() -> None:
    new = ["The bus was late and so we all walked home in the rain that day.", "It rains. " * 9]
    found = told({"chat": new}, limit=2, seeds=2)
    task = "samples_chat"
    assert mean(found, task, "loops") == 0.5
    assert mean(found, task, "before_loop") == pytest.approx((1 + 3 / 27) / 2)
    assert mean(found, task, "ends") == 1
    assert mean(found, task, "empty") == 0
    assert mean(found, task, "shared_4grams") == 0
    assert found.loc[found["metric"] == "loops", "item"].tolist() == ["0.0", "0.1", "1.0", "1.1"]
    assert found.loc[found["metric"] == "loops", "cluster"].nunique() == 2
    written = found.loc[found["responses"] != "", "responses"].map(json.loads).tolist()
    assert written == [[text] for text in new * 2]


def test_a_model_that_answers_in_french_is_seen() -> None:
    french = "La plupart des gens voulaient des magasins, mais la ville a choisi une autre voie."
    english = "Most of the people wanted shops, but in the end the town went another way."
    found = told({"chat": [french, english, "Oui."]}, limit=3, seeds=1)
    # "Oui." is too short to be told.
    assert mean(found, "samples_chat", "english") == 0.5
    assert mean(found, "samples_chat", "latin_letters") == 1


def test_a_silent_model_has_no_style_and_no_score_of_it() -> None:
    found = told({"prose": [""]}, limit=3)
    assert mean(found, "samples_prose", "empty") == 1
    [row] = [
        row
        for row in compare(results(found, "silent"), None)
        if row.measure == "samples_prose/distance"
    ]
    assert row.candidate is None
    assert "all weights are zero" in row.note.text


def test_of_a_conversation_the_assistants_turns_are_the_reference() -> None:
    file = "evals/tasks/pyr_bpb_chat/items.jsonl"
    texts = reference_texts(Domain(form="chat", reference=file, prompts=["x"]))
    assert len(texts) > 60
    assert not any("User:" in text or "Assistant:" in text for text in texts)


def test_texts_of_ones_own_are_the_reference(tmp_path: Path) -> None:
    for number, text in enumerate(stories()[:9]):
        (tmp_path / f"{number}.txt").write_text(text)
    found = told({"prose": stories()[:9]}, seeds=9, limit=1, references={"prose": str(tmp_path)})
    assert mean(found, "samples_prose", "distance") == pytest.approx(0, abs=1e-9)
    assert found["metric"].str.endswith("@reference").sum() > 9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"domains": ["storys"]}, "did you mean: stories"),
        ({"references": {"prose": "FEW"}}, "too few to measure"),
        ({"token": 3}, "token"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_a_minute_is_spent(
    options: dict[str, object], said: str, tmp_path: Path
) -> None:
    few = tmp_path / "few.txt"
    few.write_text("A single text of more than ten words is no spread at all, you see.")
    if "references" in options:
        options = {"references": {"prose": str(few)}}
    subject = SimpleNamespace(earlier=pd.DataFrame(), checkpoint=SimpleNamespace(chat=True))
    with pytest.raises(ContentError) as refused:
        list(Samples(options, name="samples").run(subject))
    assert said in refused.value.text()


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_a_real_model_writes_the_same_texts_twice(
    engine: str, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    suite = Suite(name="s", probes=[ProbeSpec(probe="samples", options=FEW)])
    settings = EngineSettings(engine=engine, device="cpu")
    from pyr.evaluate import Conditions

    tables = []
    for number in range(2):
        store = Store(tmp_path / str(number))
        run = evaluate(identify(tiny_checkpoint), suite, store, Conditions(settings=settings))
        tables.append(store.results(run).records)
        assert len(store.documents(run)) == 5 * 2 * 2
    pd.testing.assert_frame_equal(tables[0], tables[1])
    written = tables[0].loc[lambda rows: rows["responses"].str.startswith("["), "responses"]
    assert written.nunique() > 10


def test_a_checkpoint_without_a_template_is_asked_no_chat(subject: Subject, lm: Any) -> None:
    plain = replace(subject, checkpoint=replace(subject.checkpoint, chat=False))
    probe = Samples({"domains": ["chat", "prose"], **FEW}, name="samples")
    first, second = probe.run(plain)
    assert [skip.what for skip in first.skipped] == ["samples_chat"]
    assert not first.skipped[0].missing
    assert {record.task for record in second.records} == {"samples_prose"}


def test_the_shipped_prompts_are_of_every_domain() -> None:
    file = Path(__file__).parents[2] / "evals/prompts/samples.yaml"
    domains = yaml.safe_load(file.read_text())["domains"]
    assert list(domains) == ["prose", "stories", "educational", "python", "chat"]
    assert all(len(set(each["prompts"])) == 10 for each in domains.values())
