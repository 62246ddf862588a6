"""Short instructions whose following can be checked by rule, in four levels of difficulty.

Every instruction is checked by one of lm-eval's IFEval checkers (Zhou et al. 2023, arXiv
2311.07911). Level 1 asks for words that stand in the prompt, level 2 for a form, level 3 for two
things at once, level 4 for three. What an answer that follows nothing satisfies anyhow (no commas,
many words) is only asked beside something that it does not.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pyr_instruct.lexicon import ENDINGS, NAMES, OPENINGS, QUESTIONS, TOPICS, YES_OR_NO

ITEMS_A_LEVEL = 400


@dataclass(frozen=True, slots=True)
class Rule:
    """One checkable instruction: the checker's name, its arguments, and how it is asked."""

    checker: str
    ask: str
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scene:
    """What an answer is about: a topic, words that belong to it in random order, and a question."""

    topic: str
    words: tuple[str, ...]
    question: str


def _fixed(checker: str, ask: str, **kwargs: Any) -> Callable[[random.Random, Scene], Rule]:
    return lambda rng, scene: Rule(checker, ask, kwargs)


def _counted(
    checker: str, ask: str, argument: str, counts: range, **more: Any
) -> Callable[[random.Random, Scene], Rule]:
    def made(rng: random.Random, scene: Scene) -> Rule:
        count = rng.choice(counts)
        return Rule(checker, ask.format(count), {argument: count, **more})

    return made


def _chosen(
    checker: str, ask: str, argument: str, values: tuple[str, ...]
) -> Callable[[random.Random, Scene], Rule]:
    def made(rng: random.Random, scene: Scene) -> Rule:
        value = rng.choice(values)
        return Rule(checker, ask.format(value), {argument: value})

    return made


def _keyword(rng: random.Random, scene: Scene) -> Rule:
    word = scene.words[0]
    return Rule("keywords:existence", f'Use the word "{word}".', {"keywords": [word]})


def _two_keywords(rng: random.Random, scene: Scene) -> Rule:
    words = list(scene.words[:2])
    ask = 'Use the words "{}" and "{}".'.format(*words)
    return Rule("keywords:existence", ask, {"keywords": words})


def _without(rng: random.Random, scene: Scene) -> Rule:
    word = scene.words[2]
    ask = f'Do not use the word "{word}".'
    return Rule("keywords:forbidden_words", ask, {"forbidden_words": [word]})


def _twice(rng: random.Random, scene: Scene) -> Rule:
    word = scene.words[0]
    asked = {"keyword": word, "frequency": 2, "relation": "at least"}
    return Rule("keywords:frequency", f'Use the word "{word}" at least two times.', asked)


def _name(rng: random.Random, scene: Scene) -> Rule:
    name = rng.choice(NAMES)
    ask = f"It should be about a person called {name}."
    return Rule("keywords:existence", ask, {"keywords": [name]})


def _copy(rng: random.Random, scene: Scene) -> Rule:
    first, second, third = scene.words[:3]
    text = rng.choice(
        (
            f"The {first} and the {second} are near the {third}.",
            f"I like {first} and {second} more than {third}.",
            f"There is no {first} without {second} or {third}.",
        )
    )
    asked = {"prompt_to_repeat": text}
    return Rule("combination:repeat_prompt", f"Repeat this sentence word for word: {text}", asked)


def _repeat(rng: random.Random, scene: Scene) -> Rule:
    ask = "First repeat this question word for word, and then answer it in one sentence."
    return Rule("combination:repeat_prompt", ask, {"prompt_to_repeat": scene.question})


RULES: dict[str, Callable[[random.Random, Scene], Rule]] = {
    "keyword": _keyword,
    "two_keywords": _two_keywords,
    "without": _without,
    "keyword_twice": _twice,
    "name": _name,
    "copy": _copy,
    "repeat": _repeat,
    "opening": _chosen(
        "combination:repeat_prompt",
        'Begin your answer with the words "{}".',
        "prompt_to_repeat",
        OPENINGS,
    ),
    "ending": _chosen(
        "startend:end_checker",
        'Finish your answer with exactly these words: "{}"',
        "end_phrase",
        ENDINGS,
    ),
    "choose": _fixed(
        "detectable_format:constrained_response",
        "Answer with one of these: My answer is yes. My answer is no. My answer is maybe.",
    ),
    "postscript": _fixed(
        "detectable_content:postscript",
        "At the end, add a postscript that starts with P.S.",
        postscript_marker="P.S.",
    ),
    "lowercase": _fixed(
        "change_case:english_lowercase", "Use only lowercase letters, no capital letters."
    ),
    "uppercase": _fixed(
        "change_case:english_capital", "WRITE YOUR WHOLE ANSWER IN CAPITAL LETTERS."
    ),
    "title": _fixed(
        "detectable_format:title",
        "Start with a title in double angular brackets, such as <<My Title>>.",
    ),
    "json": _fixed(
        "detectable_format:json_format",
        'Reply only with JSON, such as {"answer": "your answer"}.',
    ),
    "quotation": _fixed(
        "startend:quotation", "Put your whole answer inside double quotation marks."
    ),
    "two_answers": _fixed(
        "combination:two_responses",
        "Give two different short answers, with ****** between them.",
    ),
    "no_comma": _fixed("punctuation:no_comma", "Do not use any commas."),
    "bullets": _counted(
        "detectable_format:number_bullet_lists",
        "Answer with a list of exactly {} short bullet points, and start each of them with *.",
        "num_bullets",
        range(2, 6),
    ),
    "placeholders": _counted(
        "detectable_content:number_placeholders",
        "Keep it short, and use at least {} placeholder in square brackets, such as [name].",
        "num_placeholders",
        range(1, 3),
    ),
    "highlights": _counted(
        "detectable_format:number_highlighted_sections",
        "Highlight at least {} word with asterisks, like *this*.",
        "num_highlights",
        range(1, 3),
    ),
    "sections": _counted(
        "detectable_format:multiple_sections",
        "Answer in {} short parts, and begin them with Section 1, Section 2 and so on.",
        "num_sections",
        range(2, 4),
        section_spliter="Section",
    ),
    "paragraphs": _counted(
        "length_constraints:number_paragraphs",
        "Write {} very short paragraphs, and put *** between them.",
        "num_paragraphs",
        range(2, 4),
    ),
    "short": _counted(
        "length_constraints:number_words",
        "Answer with less than {} words.",
        "num_words",
        range(10, 41, 5),
        relation="less than",
    ),
    "long": _counted(
        "length_constraints:number_words",
        "Answer with at least {} words.",
        "num_words",
        range(15, 41, 5),
        relation="at least",
    ),
}

# The kinds of a level: rules asked together. A kind is also the cluster of its items.
LEVELS = {
    1: (
        "keyword",
        "two_keywords",
        "name",
        "copy",
        "repeat",
        "opening",
        "ending",
        "choose",
        "keyword_twice",
        "postscript",
    ),
    2: (
        "lowercase",
        "uppercase",
        "title",
        "json",
        "quotation",
        "two_answers",
        "bullets",
        "placeholders",
        "highlights",
        "sections",
        "paragraphs",
        "short",
    ),
    3: (
        "keyword lowercase",
        "keyword uppercase",
        "keyword short",
        "keyword ending",
        "keyword without",
        "two_keywords long",
        "two_keywords no_comma",
        "title keyword",
        "title bullets",
        "opening keyword",
        "quotation keyword",
        "keyword postscript",
    ),
    4: (
        "title bullets keyword",
        "title keyword postscript",
        "opening keyword ending",
        "keyword short ending",
        "two_keywords lowercase no_comma",
        "two_keywords uppercase short",
        "bullets two_keywords without",
        "opening two_keywords no_comma",
        "sections title keyword",
        "keyword_twice no_comma postscript",
    ),
}


def items(rng: random.Random) -> list[dict[str, Any]]:
    """The levels' items in random order; no prompt twice."""
    documents: dict[str, dict[str, Any]] = {}
    for level, kinds in LEVELS.items():
        for place in range(ITEMS_A_LEVEL):
            kind = kinds[place % len(kinds)]
            while (document := _document(kind, level, rng))["prompt"] in documents:
                pass
            documents[document["prompt"]] = document
    mixed = list(documents.values())
    rng.shuffle(mixed)
    return [{"key": key, **document} for key, document in enumerate(mixed)]


def _document(kind: str, level: int, rng: random.Random) -> dict[str, Any]:
    scene = _scene(rng)
    rules = [RULES[name](rng, scene) for name in kind.split()]
    request = _request(kind, scene, rng)
    return {
        "prompt": " ".join([*([request] if request else []), *(rule.ask for rule in rules)]),
        "instruction_id_list": [rule.checker for rule in rules],
        "kwargs": [rule.kwargs for rule in rules],
        "cluster": kind,
        "level": level,
    }


def _scene(rng: random.Random) -> Scene:
    topic = rng.choice(list(TOPICS))
    words = TOPICS[topic].split()
    return Scene(topic, tuple(rng.sample(words, len(words))), rng.choice(QUESTIONS))


def _request(kind: str, scene: Scene, rng: random.Random) -> str:
    """What is to be written, before the rules that say how."""
    if kind in _OWN_REQUEST:
        return _OWN_REQUEST[kind](scene, rng)
    if "ending" in kind:
        return f"Write one sentence about {scene.topic}."
    about_words = any(word in kind for word in ("keyword", "name"))
    if not about_words and rng.random() < 0.5:
        return scene.question
    if any(word in kind for word in ("title", "bullets", "sections", "long")):
        return f"Tell me about {scene.topic}."
    return f"Write {rng.choice(('one sentence', 'two sentences'))} about {scene.topic}."


def _filler(rng: random.Random) -> str:
    """A few words around a question, so that few questions make many prompts."""
    return rng.choice(("", "Think about it.", "Please tell me."))


_OWN_REQUEST: dict[str, Callable[[Scene, random.Random], str]] = {
    "copy": lambda scene, rng: "",
    "choose": lambda scene, rng: f"{rng.choice(YES_OR_NO)} {_filler(rng)}".strip(),
    "repeat": lambda scene, rng: scene.question,
}
