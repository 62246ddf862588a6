"""Paradigms of agreement: each function draws one (good, bad) pair of sentences."""

from __future__ import annotations

import random

from pyr_pairs import lexicon as words

Pair = tuple[str, str]

BE = (("is", "are"), ("was", "were"))
OBJECT_FRAMES = (
    "{} has forgotten about {} {}.",
    "{} told us about {} {}.",
    "{} does not like {} {}.",
    "{} often talks about {} {}.",
    "{} asked me about {} {}.",
    "{} still remembers {} {}.",
)
IRREGULAR_FRAMES = (
    "{} has never seen {} {} before.",
    "{} took a picture of {} {}.",
    "{} asked a question about {} {}.",
    "{} is drawing {} {} with a pencil.",
    "{} saw {} {} in the new film.",
)
COUNT_FRAMES = (
    "{} saw {} {} in the old photograph.",
    "There were {} {} in the picture.",
    "{} drew {} {} on the paper.",
    "{} counted {} {} in the picture.",
)
SMALL_THINGS = (
    "cat spoon cup letter coin ring book pencil ticket hat shoe map candle bottle lemon toy"
)
SMALL_PLACES = words.listed("""
on the table; in the box; under the bed; on the shelf; in the drawer; behind the sofa
on the floor; in the basket; next to the door; under the chair
""")
COUNTS = "two three four five six several many".split()
REFLEXIVE_ACTS = words.listed("""
hurt {} on the stairs; saw {} in the mirror; blamed {} for the mistake
talked about {} all night; introduced {} to the guests; made {} a sandwich; was proud of {}
laughed at {}; locked {} in the bathroom; bought {} a new coat; taught {} to swim
dried {} with a towel
""")
MALE = words.listed("""
The king; The boy; My uncle; My brother; Her husband; The waiter; His father; My grandfather
""")
FEMALE = words.listed("""
The queen; The girl; My aunt; My sister; His wife; The actress; Her mother; My grandmother
""")


def _person(rng: random.Random) -> str:
    return rng.choice(words.MEN + words.WOMEN)


def _either(rng: random.Random, pair: tuple[str, ...]) -> tuple[int, str]:
    number = rng.randrange(2)
    return number, pair[number]


def subject_verb(rng: random.Random) -> Pair:
    number, subject = _either(rng, rng.choice(words.PEOPLE))
    doing = rng.choice(words.DOINGS)
    return f"The {subject} {doing[number]}.", f"The {subject} {doing[1 - number]}."


def subject_verb_attractor(rng: random.Random) -> Pair:
    row = rng.choice(words.HEADS)
    number = rng.randrange(2)
    head, preposition, attractor = row[number], row[2], row[4 - number]
    verb = rng.choice(BE)
    start = f"The {head} {preposition} the {attractor}"
    end = rng.choice(row[5:7])
    return f"{start} {verb[number]} {end}.", f"{start} {verb[1 - number]} {end}."


def subject_verb_relative(rng: random.Random) -> Pair:
    number, subject = _either(rng, rng.choice(words.PEOPLE))
    other = rng.choice([pair for pair in words.PEOPLE if subject not in pair])[1 - number]
    toward, doing = rng.choice(words.TOWARD), rng.choice(words.DOINGS)
    # In half of them the verb stands right after the other noun, in half after its own verb.
    if rng.randrange(2):
        start = f"The {subject} who {toward[number]} the {other}"
    else:
        start = f"The {subject} that the {other} {toward[1 - number]}"
    return f"{start} {doing[number]}.", f"{start} {doing[1 - number]}."


def subject_verb_irregular(rng: random.Random) -> Pair:
    number, subject = _either(rng, rng.choice(words.IRREGULAR_PEOPLE + [("person", "people")]))
    adjective = rng.choice("old young tall poor rich other".split())
    subject = subject if subject in ("child", "children") else f"{adjective} {subject}"
    doing = rng.choice(words.DOINGS)
    return f"The {subject} {doing[number]}.", f"The {subject} {doing[1 - number]}."


def irregular_plural(rng: random.Random) -> Pair:
    _, good, bad = rng.choice(words.IRREGULAR_PEOPLE + words.IRREGULAR_THINGS)
    frame, count = rng.choice(COUNT_FRAMES), rng.choice(COUNTS)
    filled = (count,) if frame.startswith("There") else (_person(rng), count)
    return frame.format(*filled, good), frame.format(*filled, bad)


def reflexive_gender(rng: random.Random) -> Pair:
    reflexives = ("himself", "herself")
    number = rng.randrange(2)
    subject = rng.choice((words.MEN + MALE, words.WOMEN + FEMALE)[number])
    frame = f"{subject} {rng.choice(REFLEXIVE_ACTS)}."
    return frame.format(reflexives[number]), frame.format(reflexives[1 - number])


def reflexive_number(rng: random.Random) -> Pair:
    single, several = rng.choice((*words.PEOPLE, ("boy", "boys"), ("girl", "girls")))
    act = rng.choice([act for act in REFLEXIVE_ACTS if not act.startswith("was")])
    wrong = {"boy": "himself", "girl": "herself"}.get(single, rng.choice(("himself", "herself")))
    frame = f"The {several} {act}."
    return frame.format("themselves"), frame.format(wrong)


def _determiner(rng: random.Random, noun: tuple[str, ...], adjective: str, frame: str) -> Pair:
    """The noun is right beside the determiner in one sentence, wrong in the other."""
    number = rng.randrange(2)
    determiner = rng.choice((("this", "these"), ("that", "those")))[number]
    who = _person(rng)
    good, bad = (f"{adjective} {noun[n]}".strip() for n in (number, 1 - number))
    return frame.format(who, determiner, good), frame.format(who, determiner, bad)


def determiner_noun(rng: random.Random) -> Pair:
    return _determiner(rng, rng.choice(words.THINGS), "", rng.choice(OBJECT_FRAMES))


def determiner_adjective_noun(rng: random.Random) -> Pair:
    thing = rng.choice(words.THINGS)
    return _determiner(rng, thing, rng.choice(thing[2:]), rng.choice(OBJECT_FRAMES))


def determiner_irregular(rng: random.Random) -> Pair:
    noun = rng.choice(words.IRREGULAR_PEOPLE + words.IRREGULAR_THINGS)
    return _determiner(rng, noun, "", rng.choice(IRREGULAR_FRAMES))


def there_is(rng: random.Random) -> Pair:
    number = rng.randrange(2)
    noun = rng.choice(SMALL_THINGS.split())
    amount = rng.choice(("two", "three", "many", "some")) if number else "a"
    verb, place = rng.choice(BE), rng.choice(SMALL_PLACES)
    end = f"{amount} {noun}{'s' * number} {place}."
    return f"There {verb[number]} {end}", f"There {verb[1 - number]} {end}"


PARADIGMS = (
    subject_verb,
    subject_verb_attractor,
    subject_verb_relative,
    subject_verb_irregular,
    irregular_plural,
    reflexive_gender,
    reflexive_number,
    determiner_noun,
    determiner_adjective_noun,
    determiner_irregular,
    there_is,
)
