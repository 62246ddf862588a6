"""Paradigms of sentence structure: each function draws one (good, bad) pair of sentences."""

from __future__ import annotations

import random

from pyr_pairs import lexicon as words

Pair = tuple[str, str]

AUXILIARIES = "will can must should did may could might would".split()
NEGATIVES = ("None of the {}", "Some of the {}")
NEVER_DONE = words.table("""
visited the museum; seen a whale; eaten raw fish; been to Paris; driven a truck; played the violin
read that book; worked at night; lived abroad; met the president; learned to swim; broken a bone
flown in a balloon; slept in a tent; won a prize; complained about the food
""")
ANY_ACTS = words.table("""
bought any bread; made any mistakes; heard any noise; found any money; asked any questions
wrote any letters; took any pictures; told any jokes; ate any vegetables; drank any coffee
had any problems; saw any ships
""")
CONTACTS = "call visit thank meet hug help greet warn invite interview".split()
# Verbs that cannot do without an object, with their gerund; all go with all the objects.
DEEDS = words.table("""
buy/buying; fix/fixing; find/finding; bring/bringing; repair/repairing; carry/carrying
use/using; lose/losing; borrow/borrowing; sell/selling; damage/damaging; lift/lifting
""")
HANDLED = words.listed("""
the car; the radio; the bicycle; the lamp; the camera; the chair; the piano
""")
THINGS_GOT = words.listed("""
the cheese; a bottle; the newspaper; a lamp; some bread; a map; the tickets; a chair
""")
KNOWERS = "knows remembers forgot discovered guessed noticed explained".split()
WANTED = words.table("""
bought/the camera; found/the key; made/the soup; borrowed/the car; needed/the ladder
took/the money; wanted/the job; brought/the cake; fixed/the engine; carried/the box
""")
QUESTIONS = words.table("""
Where/did/go after dinner; Where/does/buy fresh bread; When/will/leave the office
Why/did/sell the house; How/can/find the station; What/is/eating for lunch
What/was/reading last night; Where/is/hiding the present; Why/was/crying in the kitchen
When/did/learn to drive; How/does/travel to work; What/should/do next
Where/will/spend the summer; Why/is/laughing so loudly
""")
PARALLEL = words.table("""
reading/painting/painted; swimming/dancing/danced; cooking/singing/sang; fishing/hunting/hunted
writing/drawing/drew; running/climbing/climbed; walking/talking/talked; skating/skiing/skied
gardening/knitting/knitted; camping/sailing/sailed
""")
PARALLEL_VERBS = "enjoys likes hates prefers loves".split()
SIZED = words.table("""
big bag/big bags; red apple/red apples; old coin/old coins; small box/small boxes
long letter/long letters; fresh egg/fresh eggs; wooden chair/wooden chairs; blue shirt/blue shirts
empty bottle/empty bottles; heavy book/heavy books; warm coat/warm coats; new lamp/new lamps
""")
GOT = "bought found sold brought took saw".split()
FREQUENT = words.table("""
always/drinks/coffee; often/reads/the newspaper; never/eats/meat; usually/takes/the bus
sometimes/plays/the piano; rarely/watches/films; always/wears/a hat; often/visits/the museum
never/tells/lies; usually/cooks/dinner
""")
WORD_ORDER = words.listed("""
in the evening; on Sunday; in summer; at home; after work; before lunch
""")
WITHOUT_OBJECT = words.table("""
devoured; brought; fixed; discussed; praised; avoided; bought; mentioned; needed; found; carried
""")


def _two(rng: random.Random) -> tuple[str, str]:
    first, second = rng.sample(words.MEN + words.WOMEN, 2)
    return first, second


def _people(rng: random.Random) -> tuple[str, str]:
    return rng.choice(words.PEOPLE)  # type: ignore[return-value]


def npi_ever(rng: random.Random) -> Pair:
    people, (done,) = _people(rng)[1], rng.choice(NEVER_DONE)
    good, bad = (f"{start.format(people)} have ever {done}." for start in NEGATIVES)
    return good, bad


def npi_any(rng: random.Random) -> Pair:
    (act,) = rng.choice(ANY_ACTS)
    end = (
        f"{act} {rng.choice(('yesterday', 'last week', 'this morning', 'on Sunday', 'that day'))}."
    )
    start = rng.choice(
        (("Nobody", "Everybody"), ("No one", "Someone"), ("Neither of them", "Both of them"))
    )
    return f"{start[0]} {end}", f"{start[1]} {end}"


def adjunct_island(rng: random.Random) -> Pair:
    (deed, _), (_, later) = rng.sample(DEEDS, 2)
    link, thing = rng.choice(("before", "after", "without")), rng.choice(HANDLED)
    start = f"What {rng.choice(('did', 'should', 'will'))} {_two(rng)[0]} {deed}"
    return f"{start} {link} {later} {thing}?", f"{start} {thing} {link} {later}?"


def coordination_island(rng: random.Random) -> Pair:
    first, second = _two(rng)
    if rng.randrange(2):
        start, deed = rng.choice(("did", "should", "will")), rng.choice(CONTACTS)
        return (
            f"Who {start} {first} and {second} {deed}?",
            f"Who {start} {first} {deed} and {second}?",
        )
    thing, deed = rng.choice(THINGS_GOT), rng.choice(("bring", "buy", "pack", "carry"))
    start = f"What {rng.choice(('did', 'should', 'will'))} {first} {deed}"
    return f"{start} with {thing}?", f"{start} and {thing}?"


def filler_gap(rng: random.Random) -> Pair:
    who, other = _two(rng)
    deed, thing = rng.choice(WANTED)
    start = f"{who} {rng.choice(KNOWERS)}"
    if rng.randrange(2):
        return f"{start} what {other} {deed}.", f"{start} that {other} {deed}."
    return f"{start} that {other} {deed} {thing}.", f"{start} what {other} {deed} {thing}."


def transitive(rng: random.Random) -> Pair:
    verb, wrong = rng.choice(words.TRANSITIVE), rng.choice(words.INTRANSITIVE)
    start, end = f"The {_people(rng)[rng.randrange(2)]}", f"the {verb[3]}."
    return f"{start} {verb[1]} {end}", f"{start} {wrong[1]} {end}"


def intransitive(rng: random.Random) -> Pair:
    wrong = rng.choice(WITHOUT_OBJECT)[0]
    verb = rng.choice([row for row in words.INTRANSITIVE if row[1] not in ("existed", "happened")])
    start, end = f"The {_people(rng)[rng.randrange(2)]}", rng.choice(words.PLACES)
    return f"{start} {verb[1]} {end}.", f"{start} {wrong} {end}."


def passive(rng: random.Random) -> Pair:
    verb, wrong = rng.choice(words.TRANSITIVE), rng.choice(words.INTRANSITIVE)
    participle = {"fell": "fallen"}.get(wrong[1], wrong[1])
    start, end = f"The {verb[3]} was", f"by the {_people(rng)[0]}."
    return f"{start} {verb[2]} {end}", f"{start} {participle} {end}"


def ellipsis(rng: random.Random) -> Pair:
    first, second = _two(rng)
    one, several = rng.choice(SIZED)
    adjective, noun = one.split()
    start, middle = f"{first} {rng.choice(GOT)}", f"and {second} {rng.choice(GOT)}"
    count = rng.choice(("two", "three", "several", "four"))
    article = "an" if adjective[0] in "aeiou" else "a"
    noun_article = "an" if noun[0] in "aeiou" else "a"
    good = f"{start} {article} {one} {middle} {count}."
    return good, f"{start} {noun_article} {noun} {middle} {count} {adjective}."


def inversion(rng: random.Random) -> Pair:
    asked, auxiliary, rest = rng.choice(QUESTIONS)
    who = rng.choice((rng.choice(words.MEN + words.WOMEN), f"the {_people(rng)[0]}"))
    return f"{asked} {auxiliary} {who} {rest}?", f"{asked} {who} {auxiliary} {rest}?"


def parallel_coordination(rng: random.Random) -> Pair:
    first, second, wrong = rng.choice(PARALLEL)
    start = f"{rng.choice(words.MEN + words.WOMEN)} {rng.choice(PARALLEL_VERBS)} {first} and"
    return f"{start} {second}.", f"{start} {wrong}."


def adverb_place(rng: random.Random) -> Pair:
    adverb, verb, thing = rng.choice(FREQUENT)
    who, end = rng.choice(words.MEN + words.WOMEN), rng.choice(WORD_ORDER)
    return f"{who} {adverb} {verb} {thing} {end}.", f"{who} {verb} {adverb} {thing} {end}."


def noun_phrase_order(rng: random.Random) -> Pair:
    thing = rng.choice(words.THINGS)
    number, adjective = rng.randrange(2), rng.choice(thing[2:])
    verb = rng.choice(("described", "mentioned", "photographed", "recognized"))
    start = f"{rng.choice(words.MEN + words.WOMEN)} {verb} the"
    return f"{start} {adjective} {thing[number]}.", f"{start} {thing[number]} {adjective}."


def base_after_auxiliary(rng: random.Random) -> Pair:
    verb = rng.choice([row for row in words.TRANSITIVE if row[0] != row[1]])
    auxiliary = f"{rng.choice(AUXILIARIES)}{rng.choice((' not', ''))}"
    start = f"{rng.choice(words.MEN + words.WOMEN)} {auxiliary}"
    end = f"the {verb[3]} {rng.choice(('again', 'today', 'after lunch', 'this week'))}."
    return f"{start} {verb[0]} {end}", f"{start} {verb[1]} {end}"


def there_quantifier(rng: random.Random) -> Pair:
    weak, strong = rng.choice((("a", "every"), ("a", "each"), ("many", "all"), ("some", "most")))
    noun = rng.choice("boy girl bird horse tree tourist farmer sailor dog chair".split())
    place = rng.choice(("in the garden", "near the river", "on the island", "behind the house"))
    verb, end = ("was", noun) if weak == "a" else ("were", noun + "s")
    return f"There {verb} {weak} {end} {place}.", f"There {verb} {strong} {end} {place}."


PARADIGMS = (
    npi_ever,
    npi_any,
    adjunct_island,
    coordination_island,
    filler_gap,
    transitive,
    intransitive,
    passive,
    ellipsis,
    inversion,
    parallel_coordination,
    adverb_place,
    noun_phrase_order,
    base_after_auxiliary,
    there_quantifier,
)
