"""Short instructions whose following can be checked by rule, with lm-eval's IFEval checkers."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

PER_CLUSTER = 7
QUESTIONS = (
    "Why is the sky blue?",
    "What do cats like to eat?",
    "How do you make tea?",
    "What is a library?",
    "Why do people sleep?",
    "What does a farmer do?",
    "Tell me about the moon.",
    "Tell me about dogs.",
    "Describe a rainy day.",
    "Describe your favorite season.",
    "What is the capital of France?",
    "What is bread made of?",
    "Why should we drink water?",
    "What can you see at the beach?",
    "Give me advice for a job interview.",
    "Write about a happy child.",
    "Write about an old house.",
    "What is snow?",
    "How does a bird fly?",
    "What is a good breakfast?",
    "Why do leaves fall in autumn?",
    "What is music?",
    "Describe a forest.",
    "Tell me about the sun.",
    "How can I learn to swim?",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One checkable instruction: the checker's name, its arguments, and how it is asked."""

    checker: str
    ask: str
    kwargs: dict[str, Any] = field(default_factory=dict)


def _filled(checker: str, ask: str, argument: str, values: str) -> list[Rule]:
    """One rule for each of several values of the checker's argument."""
    return [Rule(checker, ask.format(value), {argument: value}) for value in values.split("; ")]


def _counted(checker: str, ask: str, argument: str, counts: range, **more: Any) -> list[Rule]:
    return [Rule(checker, ask.format(count), {argument: count, **more}) for count in counts]


LOWER = Rule("change_case:english_lowercase", "Use only lowercase letters, no capital letters.")
UPPER = Rule("change_case:english_capital", "WRITE YOUR WHOLE ANSWER IN CAPITAL LETTERS.")
NO_COMMA = Rule("punctuation:no_comma", "Do not use any commas.")
QUOTED = Rule("startend:quotation", "Put your whole answer inside double quotation marks.")
TITLE = Rule(
    "detectable_format:title",
    "Start with a title in double angular brackets, such as <<My Title>>.",
)
POSTSCRIPT = Rule(
    "detectable_content:postscript",
    "At the end, add a postscript that starts with P.S.",
    {"postscript_marker": "P.S."},
)
JSON_FORMAT = Rule(
    "detectable_format:json_format",
    'Reply only with JSON, such as {"answer": "your answer"}.',
)
TWO_ANSWERS = Rule(
    "combination:two_responses",
    "Give two different short answers, with ****** between them.",
)
ENDINGS = _filled(
    "startend:end_checker",
    'Answer in one sentence, and then finish with exactly these words: "{}"',
    "end_phrase",
    "That is all.; I hope this helps.; Have a nice day!; Thank you for asking.; The end.",
)
SHORT = [
    Rule(
        "length_constraints:number_words",
        f"Answer with less than {count} words.",
        {"num_words": count, "relation": "less than"},
    )
    for count in (8, 12, 20, 30, 40)
]
LONG = [
    Rule(
        "length_constraints:number_words",
        f"Answer with at least {count} words.",
        {"num_words": count, "relation": "at least"},
    )
    for count in (10, 15, 20, 30)
]
BULLETS = _counted(
    "detectable_format:number_bullet_lists",
    "Answer with a list of exactly {} short bullet points, and start each of them with *.",
    "num_bullets",
    range(2, 5),
)
PLACEHOLDERS = _counted(
    "detectable_content:number_placeholders",
    "Keep it short, and use at least {} placeholder in square brackets, such as [name].",
    "num_placeholders",
    range(1, 3),
)
HIGHLIGHTS = _counted(
    "detectable_format:number_highlighted_sections",
    "Highlight at least {} word with asterisks, like *this*.",
    "num_highlights",
    range(1, 3),
)
SECTIONS = _counted(
    "detectable_format:multiple_sections",
    "Answer in {} short parts, and begin them with Section 1, Section 2 and so on.",
    "num_sections",
    range(2, 4),
    section_spliter="Section",
)
PARAGRAPHS = _counted(
    "length_constraints:number_paragraphs",
    "Write {} very short paragraphs, and put *** between them.",
    "num_paragraphs",
    range(2, 3),
)

# Each cluster holds the rules that one prompt asks for together, and its variants.
CLUSTERS: dict[str, list[tuple[Rule, ...]]] = {
    "lowercase": [(LOWER,)],
    "uppercase": [(UPPER,)],
    "no_comma": [(NO_COMMA,)],
    "quotation": [(QUOTED,)],
    "title": [(TITLE,)],
    "postscript": [(POSTSCRIPT,)],
    "json": [(JSON_FORMAT,)],
    "two_answers": [(TWO_ANSWERS,)],
    "ending": [(rule,) for rule in ENDINGS],
    "short": [(rule,) for rule in SHORT],
    "long": [(rule,) for rule in LONG],
    "bullets": [(rule,) for rule in BULLETS],
    "placeholders": [(rule,) for rule in PLACEHOLDERS],
    "highlights": [(rule,) for rule in HIGHLIGHTS],
    "sections": [(rule,) for rule in SECTIONS],
    "paragraphs": [(rule,) for rule in PARAGRAPHS],
    "lowercase_and_short": [(LOWER, rule) for rule in SHORT[2:]],
    "no_comma_and_long": [(NO_COMMA, rule) for rule in LONG],
}

# A topic with words that belong to it.
KEYWORDS = {
    "a garden": ("flowers", "water", "grow"),
    "the sea": ("waves", "fish", "salt"),
    "a school": ("teacher", "books", "learn"),
    "winter": ("snow", "cold", "coat"),
    "a birthday party": ("cake", "friends", "music"),
    "a train journey": ("window", "station", "ticket"),
    "cooking": ("kitchen", "soup", "salt"),
}
YES_OR_NO = (
    "Is the sun hot?",
    "Can fish fly an airplane?",
    "Is Paris in France?",
    "Do dogs have wings?",
    "Is ice cold?",
    "Are elephants smaller than mice?",
    "Is water wet?",
)


def items(rng: random.Random) -> list[dict[str, Any]]:
    """Seven prompts of every cluster, in random order."""
    documents = [*_of_clusters(rng), *_with_keywords(rng), *_of_fixed_form()]
    rng.shuffle(documents)
    return [{"key": key, **document} for key, document in enumerate(documents)]


def _document(cluster: str, question: str, rules: tuple[Rule, ...]) -> dict[str, Any]:
    return {
        "prompt": " ".join([question, *(rule.ask for rule in rules)]),
        "instruction_id_list": [rule.checker for rule in rules],
        "kwargs": [rule.kwargs for rule in rules],
        "cluster": cluster,
    }


def _of_clusters(rng: random.Random) -> list[dict[str, Any]]:
    return [
        _document(cluster, question, variants[number % len(variants)])
        for cluster, variants in CLUSTERS.items()
        for number, question in enumerate(rng.sample(QUESTIONS, PER_CLUSTER))
    ]


def _with_keywords(rng: random.Random) -> list[dict[str, Any]]:
    documents = []
    for topic, words in KEYWORDS.items():
        first, second, third = rng.sample(words, 3)
        one = Rule("keywords:existence", f'Use the word "{first}".', {"keywords": [first]})
        two = Rule(
            "keywords:existence",
            f'Use the words "{second}" and "{third}".',
            {"keywords": [second, third]},
        )
        twice = Rule(
            "keywords:frequency",
            f'Use the word "{third}" at least two times.',
            {"keyword": third, "frequency": 2, "relation": "at least"},
        )
        without = Rule(
            "keywords:forbidden_words",
            f'Do not use the word "{second}".',
            {"forbidden_words": [second]},
        )
        documents += [
            _document("keyword", f"Write one sentence about {topic}.", (one,)),
            _document("two_keywords", f"Write two sentences about {topic}.", (two,)),
            _document("keyword_twice", f"Write two sentences about {topic}.", (twice,)),
            _document("keyword_not", f"Write one sentence about {topic}.", (one, without)),
        ]
    return documents


def _of_fixed_form() -> list[dict[str, Any]]:
    """A choice among three given answers, and the question said again before its answer."""
    choose = Rule(
        "detectable_format:constrained_response",
        "Answer with one of these: My answer is yes. My answer is no. My answer is maybe.",
    )
    repeat = "First repeat this question word for word, and then answer it in one sentence."
    chosen = [_document("constrained", question, (choose,)) for question in YES_OR_NO]
    repeated = [
        _document(
            "repeat",
            question,
            (Rule("combination:repeat_prompt", repeat, {"prompt_to_repeat": question}),),
        )
        for question in QUESTIONS[:PER_CLUSTER]
    ]
    return [*chosen, *repeated]
