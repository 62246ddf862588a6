"""The dialogue probe: every turn is asked after the model's own earlier answers.

One engine call asks all dialogues' first turns, the next all their second turns, and so on. Each
turn is graded by lm-eval's IFEval checkers (`pyr.probes.instructions`). What the model said is
kept of every turn, so that a killed evaluation goes on at the turn where it stopped.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from pyr import content
from pyr.files import sha256, text_sha256
from pyr.probes import Chunk, Subject, fixed_order, skip_without_template
from pyr.probes.instructions import followed
from pyr.probes.needs import Need, no_template
from pyr.schema import Checkpoint, Record, Strict
from pyr.store import Document

_GROUP = "pyr_turns"


class TurnsOptions(Strict):
    """Which dialogues, and how long an answer may be."""

    file: str = "evals/tasks/pyr_turns/items.jsonl"
    """One dialogue a line: ``skill`` and ``turns``, each a document of google/IFEval."""
    dialogues: int | None = Field(default=None, gt=0)
    """How many, drawn in the suite's fixed random order, of every skill in turn."""
    max_gen_toks: int = Field(default=40, gt=0)


class Turns:
    """Records by skill: `followed` of every turn that checks something, `turn_N` of the N-th."""

    def __init__(self, options: dict[str, Any], *, name: str) -> None:
        self.name = name
        self.options = content.check(options, TurnsOptions, where=f"probe '{name}'")

    def needs(self, checkpoint: Checkpoint | None, mirror: Path | None) -> Iterator[Need]:
        """A chat template, where the checkpoint has none."""
        if checkpoint and not checkpoint.chat:
            yield no_template(self.name)

    def reads(self) -> Iterator[str]:
        """The file of dialogues."""
        yield sha256(content.given_or_shipped(self.options.file))

    def run(self, subject: Subject) -> Iterator[Chunk]:
        """One chunk a turn, for all dialogues at once."""
        if not subject.checkpoint.chat:
            yield skip_without_template(self.name)
            return
        dialogues = self._chosen(subject.seed)
        yield Chunk(documents=[each for dialogue in dialogues for each in _documents(dialogue)])
        said = _said(subject)
        last = max(len(dialogue["turns"]) for dialogue in dialogues)
        for turn in range(last):
            subject.progress(self.name, turn, last)
            asked = [each for each in dialogues if turn < len(each["turns"])]
            todo = [each for each in asked if _item(each, turn) not in said]
            answers = self._ask(subject.lm, todo, turn, said) if todo else []
            said |= {_item(each, turn): text for each, text in zip(todo, answers, strict=True)}
            yield Chunk(
                records=[
                    record
                    for dialogue in todo
                    for record in _grade(dialogue, turn, said[_item(dialogue, turn)])
                ]
            )
        subject.progress(self.name, last, last)

    def _chosen(self, seed: int) -> list[dict[str, Any]]:
        """The dialogues to hold: of every skill in turn, so that any number is a fair sample."""
        file = content.given_or_shipped(self.options.file)
        lines = file.read_text(encoding="utf-8").splitlines()
        by_skill = defaultdict(list)
        for line in lines:
            dialogue = json.loads(line)
            by_skill[dialogue["skill"]].append(dialogue)
        ranked = []
        for skill, held in sorted(by_skill.items()):
            for rank, number in enumerate(fixed_order(seed, skill, len(held))):
                ranked.append((rank, skill, held[number]))
        ranked.sort(key=lambda each: each[:2])
        return [dialogue for _, _, dialogue in ranked[: self.options.dialogues]]

    def _ask(
        self, lm: Any, dialogues: Sequence[dict[str, Any]], turn: int, said: dict[str, str]
    ) -> list[str]:
        from lm_eval.api.instance import Instance

        options = {"until": [], "do_sample": False, "max_gen_toks": self.options.max_gen_toks}
        requests = [
            Instance(
                "generate_until",
                dialogue,
                (lm.apply_chat_template(_messages(dialogue, turn, said)), dict(options)),
                0,
                (self.name, dialogue["key"], 1),
            )
            for dialogue in dialogues
        ]
        answers: list[str] = lm.generate_until(requests, disable_tqdm=True)
        return answers


def _item(dialogue: dict[str, Any], turn: int) -> str:
    """The dialogue's number and the turn's, from 1."""
    return f"{dialogue['key']}.{turn + 1}"


def _said(subject: Subject) -> dict[str, str]:
    """What an interrupted run has kept of the model's answers, by item."""
    earlier = subject.earlier
    if earlier.empty:
        return {}
    kept = earlier[earlier["metric"] == "answered"]
    return {
        item: json.loads(responses)[0]
        for item, responses in zip(kept["item"], kept["responses"], strict=True)
    }


def _messages(dialogue: dict[str, Any], turn: int, said: dict[str, str]) -> list[dict[str, str]]:
    """The dialogue up to a turn's question, with the model's own answers in it."""
    messages = []
    for place in range(turn):
        asked = dialogue["turns"][place]["prompt"]
        answer = said[_item(dialogue, place)].strip()
        messages += [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answer},
        ]
    return [*messages, {"role": "user", "content": dialogue["turns"][turn]["prompt"]}]


def _grade(dialogue: dict[str, Any], turn: int, answer: str) -> Iterator[Record]:
    """Whether anything was said; and of a turn that checks something, whether all of it holds."""
    asked = dialogue["turns"][turn]
    scores = {"answered": float(bool(answer.strip()))}
    if asked["instruction_id_list"]:
        held = float(all(followed(asked, answer).strict))
        scores |= {"followed": held, f"turn_{turn + 1}": held}
    for metric, value in scores.items():
        yield Record(
            task=f"{_GROUP}_{dialogue['skill']}",
            metric=metric,
            item=_item(dialogue, turn),
            value=value,
            cluster=f"dialogue {dialogue['key']}",
            group=_GROUP,
            doc_hash=text_sha256(json.dumps(dialogue, sort_keys=True))[:16],
            # Of what was asked, not of what was answered: two models hold the same dialogue.
            prompt_hash=text_sha256(_asked(dialogue, turn))[:16],
            responses=json.dumps([answer]),
        )


def _asked(dialogue: dict[str, Any], turn: int) -> str:
    """The user's side of the dialogue up to a turn."""
    return "\n".join(each["prompt"] for each in dialogue["turns"][: turn + 1])


def _documents(dialogue: dict[str, Any]) -> Iterator[Document]:
    for turn, asked in enumerate(dialogue["turns"]):
        checks = zip(asked["instruction_id_list"], asked["kwargs"], strict=True)
        yield Document(
            task=f"{_GROUP}_{dialogue['skill']}",
            item=_item(dialogue, turn),
            prompt=_asked(dialogue, turn),
            choices=(),
            target="; ".join(f"{name} {json.dumps(arguments)}" for name, arguments in checks),
        )
