"""Dialogues: graded by hand, asked turn by turn, and resumed where they stopped."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from factories_probes import Holding

from pyr.probes import Chunk, Subject
from pyr.probes.instructions import followed
from pyr.probes.turns import Turns
from pyr.schema import Record

ITEMS = Path(__file__).parents[2] / "evals" / "tasks" / "pyr_turns" / "items.jsonl"


def dialogues() -> list[dict[str, Any]]:
    return [json.loads(line) for line in ITEMS.read_text(encoding="utf-8").splitlines()]


class Talker:
    """Says what a function of the messages says, and counts how often it is called."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.calls: list[int] = []

    def apply_chat_template(self, messages: list[dict[str, str]]) -> str:
        return json.dumps(messages)

    def generate_until(self, requests: Any, disable_tqdm: bool) -> list[str]:
        self.calls.append(len(requests))
        return [self.answer(json.loads(request.args[0])) for request in requests]


def hold(subject: Subject, lm: Any, **options: Any) -> list[Chunk]:
    return list(Turns(options, name="turns").run(replace(subject, models=Holding(lm))))


def records(chunks: list[Chunk]) -> list[Record]:
    return [record for chunk in chunks for record in chunk.records]


# ------------------------------------------------------------------ the grader

KEEP = [("startend:end_checker", {"end_phrase": "The end."})]
OPEN = [("combination:repeat_prompt", {"prompt_to_repeat": "Of course"})]
CALL = [("keywords:existence", {"keywords": ["Captain"]})]
QUOTE: list[tuple[str, dict[str, Any]]] = [("startend:quotation", {})]
LETTER = [("detectable_content:postscript", {"postscript_marker": "P.S."})]
OSLO = [("keywords:existence", {"keywords": ["Oslo"]})]
LEO = [
    ("keywords:existence", {"keywords": ["Leo"]}),
    ("keywords:forbidden_words", {"forbidden_words": ["Max"]}),
]
CHANGED = [*QUOTE, ("keywords:forbidden_words", {"forbidden_words": ["The end"]})]
BALL = [("keywords:existence", {"keywords": ["dog", "ball"]})]
RIGHT = [
    (KEEP, "Snow is white. The end."),
    (KEEP, "Snow is white.\nThe end."),
    (KEEP, "THE END."),
    (OPEN, "Of course, cows drink water."),
    (OPEN, "of course they do"),
    (CALL, "Yes, Captain, it is."),
    (CALL, "captain!"),
    (QUOTE, '"Snow is white."'),
    (QUOTE, ' "It is." '),
    (LETTER, "Snow is white.\nP.S. It is cold."),
    (LETTER, "P.S. Hello"),
    (OSLO, "You live in Oslo."),
    (OSLO, "Oslo"),
    (OSLO, "oslo, Norway"),
    (LEO, "Leo"),
    (LEO, "Your dog is called Leo."),
    (CHANGED, '"Snow is white."'),
    (CHANGED, '"White"'),
    (BALL, "The dog has a ball."),
    (BALL, "A ball is what dogs like."),
]
WRONG = [
    (KEEP, "Snow is white."),
    (KEEP, "The end. Snow is white."),
    (KEEP, ""),
    (OPEN, "Cows drink water, of course."),
    (OPEN, "Off course"),
    (CALL, "Yes, it is."),
    (CALL, "Yes, Cap."),
    (QUOTE, "Snow is white."),
    (QUOTE, '"Snow" is white.'),
    (LETTER, "Snow is white."),
    (LETTER, "PS It is cold."),
    (OSLO, "I do not know where you live."),
    (OSLO, "You live in Bergen."),
    (OSLO, "   "),
    (LEO, "Max"),
    (LEO, "Your dog is called Leo, not Max."),
    (LEO, "Your dog is called Rex."),
    (CHANGED, "Snow is white."),
    (CHANGED, '"Snow is white. The end."'),
    (BALL, "The dog has a bone."),
    (BALL, "The cat has a ball."),
]


def follows(checks: list[tuple[str, dict[str, Any]]], answer: str) -> bool:
    names, arguments = zip(*checks, strict=True)
    turn = {"prompt": "", "instruction_id_list": list(names), "kwargs": list(arguments)}
    return all(followed(turn, answer).strict)


@pytest.mark.parametrize(("checks", "answer"), RIGHT)
def test_a_right_turn_is_right(checks: Any, answer: str) -> None:
    assert follows(checks, answer)


@pytest.mark.parametrize(("checks", "answer"), WRONG)
def test_a_wrong_turn_is_wrong(checks: Any, answer: str) -> None:
    assert not follows(checks, answer)


# ------------------------------------------------------------------ the dialogues


def test_there_are_as_many_dialogues_of_each_skill_and_length() -> None:
    kinds = Counter((each["skill"], len(each["turns"])) for each in dialogues())
    assert set(kinds) == {
        (skill, n) for skill in ("keep", "recall", "correct", "change") for n in range(2, 7)
    }
    assert set(kinds.values()) == {20}


def test_the_last_turn_of_every_dialogue_is_graded() -> None:
    assert all(each["turns"][-1]["instruction_id_list"] for each in dialogues())


def test_an_answer_that_follows_nothing_scores_nowhere() -> None:
    said = "I am sorry but I cannot say anything about it, it is what it is, again and again."
    for dialogue in dialogues():
        for turn in dialogue["turns"]:
            if turn["instruction_id_list"]:
                assert not all(followed(turn, said).strict)


def test_a_fact_asked_for_was_told_before_and_not_in_the_question() -> None:
    for dialogue in dialogues():
        if dialogue["skill"] != "recall":
            continue
        for place, turn in enumerate(dialogue["turns"]):
            for asked in turn["kwargs"]:
                [value] = asked["keywords"]
                assert any(value in each["prompt"] for each in dialogue["turns"][:place])
                assert value not in turn["prompt"]


# ------------------------------------------------------------------ the probe


def test_one_call_asks_all_dialogues_next_turns(subject: Subject) -> None:
    lm = Talker(lambda messages: "ok")
    hold(subject, lm)
    assert lm.calls == [400, 400, 320, 240, 160, 80]


def test_the_models_own_answers_stand_in_the_dialogue(subject: Subject) -> None:
    lm = Talker(lambda messages: f" {len(messages)} before ")
    found = records(hold(subject, lm, dialogues=8))
    replies = {record.item: json.loads(record.responses)[0] for record in found}
    for item, reply in replies.items():
        turn = int(item.partition(".")[2])
        assert reply == f" {2 * turn - 1} before "

    seen: list[list[dict[str, str]]] = []
    lm = Talker(lambda messages: seen.append(messages) or str(len(seen)))
    hold(subject, lm, dialogues=1)
    assert [message["role"] for message in seen[1]] == ["user", "assistant", "user"]
    assert seen[1][1]["content"] == "1"


def test_an_answer_that_does_all_that_is_asked_scores_1_in_every_skill(subject: Subject) -> None:
    said = {}
    for dialogue in dialogues():
        for place, turn in enumerate(dialogue["turns"]):
            asked = {k: v for one in turn["kwargs"] for k, v in one.items()}
            words = asked.get("prompt_to_repeat", "") + " " + " ".join(asked.get("keywords", []))
            text = f"{words} P.S. so {asked.get('end_phrase', '')}".strip()
            quoted = "startend:quotation" in turn["instruction_id_list"]
            users = [each["prompt"] for each in dialogue["turns"][: place + 1]]
            said["\n".join(users)] = f'"{text}"' if quoted else text

    def answer(messages: list[dict[str, str]]) -> str:
        return said["\n".join(each["content"] for each in messages if each["role"] == "user")]

    found = records(hold(subject, Talker(answer)))
    scores = pd.DataFrame([asdict(record) for record in found])
    means = scores.groupby(["task", "metric"])["value"].mean()
    assert (means == 1).all()
    assert len(means.index.get_level_values("task").unique()) == 4


def test_a_dialogue_is_a_cluster_and_a_turn_an_item(subject: Subject) -> None:
    found = records(hold(subject, Talker(lambda messages: "ok"), dialogues=20))
    graded = [record for record in found if record.metric == "followed"]
    assert len({record.cluster for record in found}) == 20
    assert len({record.item for record in graded}) == len(graded)
    assert {record.group for record in found} == {"pyr_turns"}
    by_turn = [record for record in found if record.metric.startswith("turn_")]
    assert sorted(r.item for r in by_turn) == sorted(r.item for r in graded)
    assert all(r.metric == f"turn_{r.item.partition('.')[2]}" for r in by_turn)


def test_a_limit_takes_skills_in_turn_and_is_the_beginning_of_a_higher_one(
    subject: Subject,
) -> None:
    few = records(hold(subject, Talker(lambda messages: "ok"), dialogues=8))
    more = records(hold(subject, Talker(lambda messages: "ok"), dialogues=12))
    assert {record.cluster for record in few} < {record.cluster for record in more}
    skills = Counter(r.task for r in few if r.metric == "answered" and r.item.endswith(".1"))
    assert set(skills.values()) == {2}


def test_two_models_are_asked_the_same_whatever_they_answered(subject: Subject) -> None:
    one = records(hold(subject, Talker(lambda messages: "yes"), dialogues=8))
    two = records(hold(subject, Talker(lambda messages: "no"), dialogues=8))
    assert [r.prompt_hash for r in one] == [r.prompt_hash for r in two]


def test_a_killed_dialogue_goes_on_with_what_was_said(subject: Subject) -> None:
    def answer(messages: list[dict[str, str]]) -> str:
        return " / ".join(message["content"] for message in messages)[-60:]

    whole = records(hold(subject, Talker(answer), dialogues=8))
    first = [record for record in whole if int(record.item.partition(".")[2]) < 3]
    earlier = pd.DataFrame([asdict(record) for record in first])
    lm = Talker(answer)
    rest = records(hold(replace(subject, earlier=earlier), lm, dialogues=8))
    assert sorted(map(str, [*first, *rest])) == sorted(map(str, whole))
    assert len(lm.calls) == 4


def test_documents_hold_the_users_side_and_the_checks(subject: Subject) -> None:
    [documents] = [
        chunk.documents
        for chunk in hold(subject, Talker(lambda messages: "ok"), dialogues=1)
        if chunk.documents
    ]
    first, second = documents[:2]
    assert second.prompt.startswith(first.prompt)
    assert documents[-1].target


def test_without_a_chat_template_nothing_is_asked(subject: Subject) -> None:
    base = replace(subject, checkpoint=replace(subject.checkpoint, chat=False))
    [chunk] = hold(base, Talker(lambda messages: "ok"))
    assert [skipped.missing for skipped in chunk.skipped] == [False]


def test_a_real_engine_holds_the_dialogues(subject: Subject) -> None:
    found = records(hold(subject, subject.lm, dialogues=4, max_gen_toks=4))
    assert {record.metric for record in found} >= {"answered", "followed"}
