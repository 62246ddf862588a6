"""Dialogues of two to six turns in which every answer can be checked by rule.

Four skills: keep what the first turn asked for, recall a fact from an earlier turn, correct what
was said, obey an instruction that has changed. A turn is written as a document of google/IFEval,
so that lm-eval's checkers grade it; one that checks nothing only leads on. What an answer that
follows nothing satisfies anyhow is only checked beside something that it does not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

DIALOGUES_A_SKILL = 100
TURNS = range(2, 7)

Turn = dict[str, Any]
Check = tuple[str, dict[str, Any]]

QUESTIONS = (
    "What color is snow?",
    "How many days are in a week?",
    "What do cows drink?",
    "What is the capital of France?",
    "Name a fruit.",
    "What do bees make?",
    "Which animal barks?",
    "Where do fish live?",
    "What is bread made of?",
    "What do you wear on your feet?",
    "What is the opposite of hot?",
    "Which month comes after May?",
    "What do birds use to fly?",
    "Name a season.",
    "What is two plus two?",
    "What do you read in a library?",
    "What shines at night?",
    "What do trees grow from?",
    "Name something that is round.",
    "What do you use to write?",
)
ENDINGS = ("That is all.", "The end.", "See you soon.", "Thank you.", "I hope this helps.")
OPENINGS = ("Of course", "Well", "Good question", "Let me see", "Yes sir")
TITLES = ("Captain", "Professor", "Doctor", "Majesty", "Boss")
WORDS = "banana window garden music river silver".split()

# What a person may tell of themselves: how it is said, asked for, and what it may be.
FACTS = {
    "name": ("My name is {}.", "What is my name?", "Anna Peter Maria Oscar Lucy David Emma Tom"),
    "dog": ("I have a dog called {}.", "What is my dog called?", "Rex Bella Max Luna Rocky Coco"),
    "city": (
        "I live in {}.",
        "In which city do I live?",
        "Oslo Madrid Boston Cairo Tokyo Lisbon Dublin Vienna",
    ),
    "color": (
        "My favorite color is {}.",
        "What is my favorite color?",
        "green purple orange yellow pink brown",
    ),
    "food": (
        "The food I like most is {}.",
        "Which food do I like most?",
        "pizza soup rice pancakes salad noodles",
    ),
    "job": ("I work as a {}.", "What is my job?", "teacher nurse farmer pilot baker painter"),
    "number": ("My lucky number is {}.", "What is my lucky number?", "17 23 42 58 64 91"),
    "sister": (
        "My sister is called {}.",
        "What is my sister called?",
        "Nina Sara Julia Clara Alice Helen",
    ),
}
# What a sentence may be about, with words that fit in it.
SUBJECTS = {
    "a dog": "park ball tail",
    "a cat": "milk sofa mouse",
    "a garden": "roses rain spring",
    "a train": "station ticket window",
    "a school": "teacher books friends",
    "the sea": "waves boat sand",
    "a kitchen": "soup spoon bread",
    "the forest": "trees birds path",
    "a market": "apples money basket",
    "the winter": "snow coat fire",
}


@dataclass(frozen=True, slots=True)
class Manner:
    """A way in which answers are to be given, and how it is checked."""

    ask: str
    checker: str
    kwargs: dict[str, Any]
    trace: str
    """Words that only an answer in this manner holds; empty where there are none."""


def items(rng: random.Random) -> list[dict[str, Any]]:
    """The dialogues of all skills in random order, as many of each length, none twice."""
    made: dict[str, dict[str, Any]] = {}
    for skill, make in SKILLS.items():
        for place in range(DIALOGUES_A_SKILL):
            length = TURNS[place % len(TURNS)]
            while str(turns := make(rng, length)) in made:
                pass
            made[str(turns)] = {"skill": skill, "turns": turns}
    mixed = list(made.values())
    rng.shuffle(mixed)
    return [{"key": key, **dialogue} for key, dialogue in enumerate(mixed)]


def _turn(say: str, *checks: Check) -> Turn:
    return {
        "prompt": say,
        "instruction_id_list": [name for name, _ in checks],
        "kwargs": [arguments for _, arguments in checks],
    }


def _holds(*words: str) -> Check:
    return ("keywords:existence", {"keywords": list(words)})


def _lacks(*words: str) -> Check:
    return ("keywords:forbidden_words", {"forbidden_words": list(words)})


def _manner(rng: random.Random) -> Manner:
    kind = rng.choice(("ending", "opening", "title", "word", "quotation", "postscript"))
    if kind == "ending":
        value = rng.choice(ENDINGS)
        asked = f'end every answer with exactly these words: "{value}"'
        return Manner(asked, "startend:end_checker", {"end_phrase": value}, value.rstrip("."))
    if kind == "opening":
        value = rng.choice(OPENINGS)
        asked = f'begin every answer with the words "{value}"'
        return Manner(asked, "combination:repeat_prompt", {"prompt_to_repeat": value}, value)
    if kind == "title":
        value = rng.choice(TITLES)
        asked = f"call me {value} in every answer"
        return Manner(asked, "keywords:existence", {"keywords": [value]}, value)
    if kind == "word":
        value = rng.choice(WORDS)
        asked = f'use the word "{value}" in every answer'
        return Manner(asked, "keywords:existence", {"keywords": [value]}, value)
    if kind == "quotation":
        asked = "put every answer inside double quotation marks"
        return Manner(asked, "startend:quotation", {}, "")
    asked = "add a line that starts with P.S. to every answer"
    marker = {"postscript_marker": "P.S."}
    return Manner(asked, "detectable_content:postscript", marker, "")


def _ended(ask: str) -> str:
    return ask if ask.endswith('."') else f"{ask}."


def _keep(rng: random.Random, length: int) -> list[Turn]:
    """What the first turn asks for holds for every answer."""
    manner = _manner(rng)
    first, *others = rng.sample(QUESTIONS, length)
    check = (manner.checker, manner.kwargs)
    said = f"From now on, {_ended(manner.ask)} {first}"
    return [_turn(said, check), *(_turn(question, check) for question in others)]


def _recall(rng: random.Random, length: int) -> list[Turn]:
    """Facts first, other questions between, then the facts are asked for."""
    kinds = rng.sample(list(FACTS), 2 if length > 3 else 1)
    told = {kind: rng.choice(FACTS[kind][2].split()) for kind in kinds}
    facts = [_turn(FACTS[kind][0].format(value)) for kind, value in told.items()]
    asked = [_turn(FACTS[kind][1], _holds(value)) for kind, value in told.items()]
    rng.shuffle(asked)
    between = rng.sample(QUESTIONS, length - len(facts) - len(asked))
    return [*facts, *map(_turn, between), *asked]


def _correct(rng: random.Random, length: int) -> list[Turn]:
    """A fact is put right and asked for again, or an answer is to be written anew."""
    return (_fact_put_right if rng.random() < 0.5 else _answer_anew)(rng, length)


def _fact_put_right(rng: random.Random, length: int) -> list[Turn]:
    kind = rng.choice(list(FACTS))
    told, question, values = FACTS[kind]
    old, new = rng.sample(values.split(), 2)
    wrong = [_turn(told.format(old)), _turn(question, _holds(old))][: 1 if length < 4 else 2]
    mended = f"Sorry, that was wrong, it is not {old}. {told.format(new)}"
    right = _turn(f"{question} Answer with one word.", _holds(new), _lacks(old))
    if length == 2:
        right["prompt"] = f"{mended} {right['prompt']}"
        return [*wrong, right]
    between = rng.sample(QUESTIONS, length - len(wrong) - 2)
    return [*wrong, _turn(mended), *map(_turn, between), right]


def _answer_anew(rng: random.Random, length: int) -> list[Turn]:
    about = rng.choice(list(SUBJECTS))
    subject = about.split()[-1]
    words = rng.sample(SUBJECTS[about].split(), 3)
    turns = [_turn(f"Write one short sentence about {about}.", _holds(subject))]
    while len(turns) < length:
        if len(turns) <= len(words):
            word = words[len(turns) - 1]
            said = f'Not quite. Write the sentence again, with the word "{word}" in it.'
            turns.append(_turn(said, _holds(subject, word)))
        elif len(turns) == len(words) + 1:
            said = "Write the last sentence again inside double quotation marks."
            turns.append(_turn(said, _holds(subject), ("startend:quotation", {})))
        else:
            said = 'Write it again, and finish with exactly these words: "The end."'
            ending = ("startend:end_checker", {"end_phrase": "The end."})
            turns.append(_turn(said, _holds(subject), ending))
    return turns


def _change(rng: random.Random, length: int) -> list[Turn]:
    """One manner first, another from a later turn on, and no longer the first."""
    old, new = _manner(rng), _manner(rng)
    while old.checker == new.checker or not old.trace:
        old, new = _manner(rng), _manner(rng)
    changes = rng.randrange(1, max(2, length - 1))
    turns = []
    for place, question in enumerate(rng.sample(QUESTIONS, length)):
        manner = old if place < changes else new
        checks: Sequence[Check] = [(manner.checker, manner.kwargs)]
        if manner is new:
            checks = [*checks, _lacks(old.trace)]
        said = question
        if place == 0:
            said = f"From now on, {_ended(old.ask)} {question}"
        elif place == changes:
            said = f"Stop doing that. Instead, from now on, {_ended(new.ask)} {question}"
        turns.append(_turn(said, *checks))
    return turns


SKILLS: dict[str, Callable[[random.Random, int], list[Turn]]] = {
    "keep": _keep,
    "recall": _recall,
    "correct": _correct,
    "change": _change,
}
