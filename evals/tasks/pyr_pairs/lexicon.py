"""The words that the paradigms draw from. Pairs are (singular, plural) or as each comment says."""

from __future__ import annotations


def table(text: str) -> list[tuple[str, ...]]:
    """Rows set apart by `;` or line ends, fields by `/`."""
    return [tuple(field.strip() for field in row.split("/")) for row in listed(text)]


def listed(text: str) -> list[str]:
    """Phrases set apart by `;` or line ends."""
    return [phrase.strip() for phrase in text.replace("\n", ";").split(";") if phrase.strip()]


def regular(words: str) -> list[tuple[str, str]]:
    """Nouns whose plural only takes an s."""
    return [(word, word + "s") for word in words.split()]


MEN = "Tom Peter John David Mark Paul James Daniel Henry Jack Simon Oliver".split()
WOMEN = "Anna Maria Susan Laura Emily Sarah Julia Nina Clara Alice Emma Helen".split()

PEOPLE = regular(
    "teacher doctor farmer driver lawyer student writer singer painter baker neighbor pilot waiter "
    "dentist engineer tailor manager plumber sailor gardener librarian musician nurse guard actor "
    "reporter scientist soldier tourist dancer"
)

# What people do: third person singular / plural.
DOINGS = table("""
walks to work every morning/walk to work every morning
works late on Fridays/work late on Fridays
lives near the station/live near the station
speaks three languages/speak three languages
drinks coffee after lunch/drink coffee after lunch
plays chess in the park/play chess in the park
sings in the church choir/sing in the church choir
wants to buy a new house/want to buy a new house
takes the bus to town/take the bus to town
knows a lot about history/know a lot about history
owns a small boat/own a small boat
likes to read before dinner/like to read before dinner
needs a longer holiday/need a longer holiday
goes to the market on Saturday/go to the market on Saturday
has two younger brothers/have two younger brothers
is waiting for the bus/are waiting for the bus
is afraid of spiders/are afraid of spiders
was born in a small village/were born in a small village
was late for the meeting/were late for the meeting
has never seen the sea/have never seen the sea
""")

# Singular / plural of nouns whose plural has its own form / the wrong plural.
IRREGULAR_PEOPLE = table(
    "child/children/childs; man/men/mans; woman/women/womans; thief/thieves/thiefs"
)
IRREGULAR_THINGS = table("""
foot/feet/foots; tooth/teeth/tooths; goose/geese/gooses; mouse/mice/mouses; knife/knives/knifes
wolf/wolves/wolfs; leaf/leaves/leafs; shelf/shelves/shelfs; loaf/loaves/loafs; calf/calves/calfs
""")

# Thing, its plural, and adjectives that fit it.
THINGS = table("""
house/houses/old/empty; book/books/new/heavy; car/cars/red/fast; shirt/shirts/clean/white
box/boxes/large/wooden; lamp/lamps/small/broken; door/doors/green/heavy; chair/chairs/old/wooden
picture/pictures/beautiful/strange; bottle/bottles/empty/green; ticket/tickets/cheap/expensive
letter/letters/long/secret; garden/gardens/quiet/beautiful; coat/coats/warm/gray
bag/bags/heavy/yellow; table/tables/round/large; song/songs/sad/popular; street/streets/narrow/quiet
story/stories/funny/strange; window/windows/dirty/open; horse/horses/brown/young
camera/cameras/expensive/old; blanket/blankets/soft/blue; watch/watches/golden/cheap
""")

# Subject head, preposition and attractor (each singular, plural), then two predicates.
HEADS = table("""
key/keys/to/cabinet/cabinets/missing/old
label/labels/on/bottle/bottles/hard to read/green
picture/pictures/of/actor/actors/famous/on the wall
handle/handles/of/drawer/drawers/broken/loose
price/prices/of/ticket/tickets/too high/printed here
cover/covers/of/book/books/torn/blue
owner/owners/of/shop/shops/very rich/on holiday
author/authors/of/poem/poems/unknown/still alive
color/colors/of/curtain/curtains/too bright/ugly
roof/roofs/of/house/houses/red/covered with snow
road/roads/to/village/villages/closed/narrow
letter/letters/from/lawyer/lawyers/on the desk/very long
report/reports/about/accident/accidents/finished/in the newspaper
photograph/photographs/of/bridge/bridges/blurred/beautiful
answer/answers/to/question/questions/wrong/simple
window/windows/of/room/rooms/open/dirty
friend/friends/of/singer/singers/outside/waiting
guard/guards/behind/door/doors/asleep/nervous
tree/trees/behind/school/schools/tall/almost dead
lamp/lamps/above/table/tables/too dim/expensive
""")

# Transitive verb for what one person does to another: third person / plural / base.
TOWARD = table("""
helps/help; likes/like; admires/admire; knows/know; visits/visit; trusts/trust
""")

# Verbs that take an object: base / past / participle / object.
TRANSITIVE = table("""
open/opened/opened/window; break/broke/broken/plate; paint/painted/painted/fence
steal/stole/stolen/bicycle; write/wrote/written/letter; build/built/built/wall
sell/sold/sold/house; wash/washed/washed/car; repair/repaired/repaired/radio
cook/cooked/cooked/dinner; hide/hid/hidden/key; find/found/found/wallet
throw/threw/thrown/ball; drive/drove/driven/truck; draw/drew/drawn/map
choose/chose/chosen/gift; eat/ate/eaten/cake; bite/bit/bitten/apple
wear/wore/worn/hat; sing/sang/sung/song; ride/rode/ridden/horse; tear/tore/torn/paper
shake/shook/shaken/bottle; drink/drank/drunk/juice; forget/forgot/forgotten/password
take/took/taken/umbrella; see/saw/seen/accident; give up/gave up/given up/plan
""")

# Verbs that take none: base / past, with something that can follow.
INTRANSITIVE = table("""
arrive/arrived; sleep/slept; laugh/laughed; smile/smiled; disappear/disappeared; sneeze/sneezed
fall/fell; cough/coughed; exist/existed; happen/happened; die/died; wait/waited
""")

PLACES = listed("""
in the kitchen; at the station; near the river; behind the school; in the garden
at the market; after dinner; before noon; last week; on Sunday; in the evening; two days ago
""")
