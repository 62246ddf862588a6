"""Paradigms of word forms and usage: each function draws one (good, bad) pair of sentences."""

from __future__ import annotations

import random

from pyr_pairs import lexicon as words

Pair = tuple[str, str]

# Base adjective / comparative / superlative.
GRADED = words.table("""
tall/taller/tallest; old/older/oldest; strong/stronger/strongest; fast/faster/fastest
young/younger/youngest; rich/richer/richest; kind/kinder/kindest; brave/braver/bravest
funny/funnier/funniest; short/shorter/shortest; happy/happier/happiest; smart/smarter/smartest
""")
LONG_GRADED = (
    "careful patient generous famous honest curious serious creative intelligent polite".split()
)
GROUPS = words.listed("""
in the class; in the family; in the village; of them all; in the team; on the ship
""")
# Adjectives in their usual order (size or opinion or age, then color or origin), then a noun.
ORDERED = words.table("""
big red ball; small white house; old green car; beautiful black horse; long blue coat; new gray hat
large brown bear; little yellow bird; expensive Italian shoes; delicious French cheese
strange wooden box; ugly plastic chair; young Spanish teacher; tall German tourist; cute little dog
big round table; nice old man; huge stone wall; tiny golden key; pretty silk dress
""")
# Words that call for one preposition: phrase / right / wrong / continuation.
PREPOSITIONS = words.table("""
depends/on/of/the weather; is good/at/on/chess; is afraid/of/from/spiders
is interested/in/on/history; is waiting/for/to/the train; listens/to/at/the radio
belongs/to/at/a club; is proud/of/on/the garden; is married/to/on/a doctor
suffers/from/at/headaches; is looking/for/on/the keys; relies/on/of/the map
is famous/for/of/the soup; is tired/of/for/the noise; laughed/at/on/the joke
agrees/with/at/the plan; is responsible/for/to/the garden; is similar/to/at/a cousin
is full/of/with/good ideas; succeeded/in/at/finding a job; arrived/at/to/the airport
is used/to/of/hard work; complained/about/on/the food; dreams/of/at/a long holiday
apologized/for/of/the mistake
""")
# Time words: preposition / wrong preposition / time.
TIMES = words.table("""
on/at/Monday; on/in/Friday; in/on/July; in/at/the morning; at/on/noon; at/in/midnight; on/at/Sunday
in/on/the summer; at/on/five o'clock; in/at/1998; on/in/the first of May; in/on/the evening
""")
TIMED_ACTS = words.listed("""
visited the museum; left the city; finished the work; called the doctor; met the manager
""")
LENGTHS = words.listed("""
three weeks; a whole year; several days; six months; two days; many weeks
""")
LONG_ACTS = words.listed("""
has been waiting; has lived here; has been away; has worked here; has been ill
""")
VOWEL_WORDS = (
    "apple orange egg umbrella island elephant onion engine uncle artist insect office oven idea "
    "actor owl ant elevator angel envelope hour"
).split()
CONSONANT_WORDS = (
    "banana lemon carrot tiger castle doctor window guitar pencil kitten bridge garden horse "
    "pillow ticket rabbit uniform university"
).split()
ARTICLE_FRAMES = (
    "{} has never drawn {} {} before.",
    "{} is talking about {} {}.",
    "{} was thinking of {} {}.",
    "{} wrote a poem about {} {}.",
)
UNCOUNTED = "water milk money rice sugar bread furniture traffic music time salt work".split()
COUNTED = "bottles coins apples chairs cars songs hours letters friends cups books tickets".split()
AMOUNTS = (("much", "many"), ("little", "few"), ("less", "fewer"))
# Verb with its own kind of complement: verb / good / bad.
COMPLEMENTS = words.table("""
wants/to leave/leaving; enjoys/reading/to read; decided/to wait/waiting; avoided/talking/to talk
hopes/to win/winning; finished/writing/to write; promised/to help/helping; agreed/to pay/paying
refused/to answer/answering; suggested/walking/to walk; managed/to escape/escaping
denied/stealing/to steal; plans/to travel/traveling; kept/singing/to sing; learned/to drive/driving
gave up/smoking/to smoke; offered/to drive/driving; admitted/lying/to lie
""")
COMPLEMENT_ENDS = words.listed("""
after lunch; this week; with a friend; in the end; last night; in the city
""")
# Subject form / object form.
CASES = words.table("he/him; she/her; we/us; they/them; I/me")
OBJECT_ACTS = words.listed("helped; saw; invited; called; thanked; followed; remembered; visited")
SUBJECT_ACTS = words.listed("""
went home; played cards; lost the game; told a story; sang a song; ate dinner
""")
# Before a noun / alone.
POSSESSIVES = words.table("my/mine; your/yours; her/hers; our/ours; their/theirs")
OWNED = "coat bag watch ticket camera key hat umbrella ring phone book wallet".split()
# Verbs with two objects / verbs with only one, and the gift.
DOUBLE = words.table("""
told/explained/the answer; gave/donated/some money; showed/described/the house; told/said/the truth
sent/announced/the news; taught/explained/the rules; showed/mentioned/the plan
offered/suggested/a job; told/described/a story; taught/demonstrated/a trick
""")
# Thing with which, person with who: noun / continuation.
WHICH = words.table("""
book/won the prize; car/broke down; house/stands on the hill; letter/came today; bus/goes to town
train/left at noon; song/made him famous; store/sells shoes; machine/makes coffee; tree/fell down
""")
WHO = words.table("""
man/lives next door; woman/won the prize; boy/broke the window; girl/sings so well; doctor/saved him
teacher/helped us; driver/was late; farmer/sells eggs; actor/became famous; child/found the key
""")
NOTICED = words.listed("""
is talking about; remembers; has never forgotten; saw; was looking at; wrote about
""")
LIKED = words.listed("likes; knows; trusts; needs; wants; remembers")
LIKED_THINGS = words.listed("""
the neighbors; the new teacher; the answer; the plan; the old song; the doctor
""")


def _name(rng: random.Random) -> str:
    return rng.choice(words.MEN + words.WOMEN)


def _person(rng: random.Random) -> str:
    return rng.choice((_name(rng), f"The {rng.choice(words.PEOPLE)[0]}"))


def past_form(rng: random.Random) -> Pair:
    verb = rng.choice([row for row in words.TRANSITIVE if row[1] != row[2]])
    start = _person(rng)
    end = f"the {verb[3]} {rng.choice(('yesterday', 'last night', 'on Sunday', 'this morning'))}."
    return f"{start} {verb[1]} {end}", f"{start} {verb[2]} {end}"


def participle_form(rng: random.Random) -> Pair:
    verb = rng.choice([row for row in words.TRANSITIVE if row[1] != row[2]])
    start = f"{_person(rng)} {rng.choice(('has already', 'had', 'has just', 'had never'))}"
    return f"{start} {verb[2]} the {verb[3]}.", f"{start} {verb[1]} the {verb[3]}."


def comparative(rng: random.Random) -> Pair:
    first, second = rng.sample(words.MEN + words.WOMEN, 2)
    short, more, most = rng.choice(GRADED)
    verb = rng.choice(("is", "was", "looks", "seems"))
    if rng.randrange(2):
        return f"{first} {verb} {more} than {second}.", f"{first} {verb} {short} than {second}."
    long = rng.choice(LONG_GRADED)
    return (
        f"{first} {verb} more {long} than {second}.",
        f"{first} {verb} most {long} than {second}.",
    )


def superlative(rng: random.Random) -> Pair:
    short, _, most = rng.choice(GRADED)
    verb = rng.choice(("is", "was"))
    start, group = f"{_person(rng)} {verb} the", rng.choice(GROUPS)
    return f"{start} {most} {group}.", f"{start} {short} {group}."


def adjective_order(rng: random.Random) -> Pair:
    first, second, noun = rng.choice(ORDERED)[0].split()
    start = f"{_name(rng)} {rng.choice(('saw the', 'pointed at the', 'talked about the'))}"
    return f"{start} {first} {second} {noun}.", f"{start} {second} {first} {noun}."


def preposition(rng: random.Random) -> Pair:
    phrase, right, wrong, end = rng.choice(PREPOSITIONS)
    start = f"{_person(rng)} {phrase}"
    return f"{start} {right} {end}.", f"{start} {wrong} {end}."


def time_preposition(rng: random.Random) -> Pair:
    if rng.randrange(3) == 0:
        start, length = f"{_person(rng)} {rng.choice(LONG_ACTS)}", rng.choice(LENGTHS)
        return f"{start} for {length}.", f"{start} since {length}."
    right, wrong, time = rng.choice(TIMES)
    start = f"{_person(rng)} {rng.choice(TIMED_ACTS)}"
    return f"{start} {right} {time}.", f"{start} {wrong} {time}."


def article(rng: random.Random) -> Pair:
    right, wrong, nouns = rng.choice((("an", "a", VOWEL_WORDS), ("a", "an", CONSONANT_WORDS)))
    frame, who, noun = rng.choice(ARTICLE_FRAMES), _name(rng), rng.choice(nouns)
    return frame.format(who, right, noun), frame.format(who, wrong, noun)


def amount(rng: random.Random) -> Pair:
    number = rng.randrange(2)
    noun = rng.choice((UNCOUNTED, COUNTED)[number])
    pair = rng.choice(AMOUNTS)
    verb = rng.choice(("need", "have"))
    start = {"much": f"We do not {verb}", "less": f"Now we {verb}", "little": f"We {verb} very"}[
        pair[0]
    ]
    end = f"{noun} {rng.choice(('at home', 'here', 'this year', 'now'))}."
    return f"{start} {pair[number]} {end}", f"{start} {pair[1 - number]} {end}"


def complement(rng: random.Random) -> Pair:
    verb, right, wrong = rng.choice(COMPLEMENTS)
    start, end = f"{_person(rng)} {verb}", rng.choice(COMPLEMENT_ENDS)
    return f"{start} {right} {end}.", f"{start} {wrong} {end}."


def pronoun_case(rng: random.Random) -> Pair:
    subject, other = rng.choice(CASES)
    who = _name(rng)
    if rng.randrange(2):
        act, end = (
            rng.choice(OBJECT_ACTS),
            rng.choice(("yesterday", "at once", "last week", "again")),
        )
        return f"{who} {act} {other} {end}.", f"{who} {act} {subject} {end}."
    end = rng.choice(SUBJECT_ACTS)
    start = rng.choice(("Yesterday", "After that", "Then", "On Sunday"))
    return f"{start} {subject} {end}.", f"{start} {other} {end}."


def possessive(rng: random.Random) -> Pair:
    before, alone = rng.choice(POSSESSIVES)
    thing, who = rng.choice(OWNED), _name(rng)
    if rng.randrange(2):
        start = f"{who} found {{}} {thing} in the park."
        return start.format(before), start.format(alone)
    start = f"{who} said that the old {thing} was {{}}."
    return start.format(alone), start.format(before)


def double_object(rng: random.Random) -> Pair:
    right, wrong, thing = rng.choice(DOUBLE)
    who, (_, other) = _person(rng), rng.choice(CASES)
    return f"{who} {right} {other} {thing}.", f"{who} {wrong} {other} {thing}."


def who_or_which(rng: random.Random) -> Pair:
    right, wrong, rows = rng.choice((("who", "which", WHO), ("which", "who", WHICH)))
    noun, end = rng.choice(rows)
    start = f"{_name(rng)} {rng.choice(NOTICED)} the {noun}"
    return f"{start} {right} {end}.", f"{start} {wrong} {end}."


def negation(rng: random.Random) -> Pair:
    verb, thing = rng.choice(LIKED), rng.choice(LIKED_THINGS)
    base = verb[:-1]
    if rng.randrange(2):
        who = _name(rng)
        return f"{who} does not {base} {thing}.", f"{who} {verb} not {thing}."
    people = rng.choice(words.PEOPLE)[1]
    return f"The {people} do not {base} {thing}.", f"The {people} {base} not {thing}."


PARADIGMS = (
    past_form,
    participle_form,
    comparative,
    superlative,
    adjective_order,
    preposition,
    time_preposition,
    article,
    amount,
    complement,
    pronoun_case,
    possessive,
    double_object,
    who_or_which,
    negation,
)
