from __future__ import annotations

import random

from pyr.data.ngrams import Blocked, holds_an_item, texts_in

ITEM = "the quick brown fox jumps over the lazy dog and then it runs away again"


def test_a_text_with_a_test_item_is_found_whatever_its_case_and_marks() -> None:
    blocked = Blocked.of(texts_in({"question": ITEM, "choices": ["a", "b"]}))
    assert holds_an_item({"text": f"Before. {ITEM.upper()}! After."}, blocked)
    assert not holds_an_item({"text": ITEM.replace("lazy", "old")}, blocked)


def runs(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[at : at + 13]) for at in range(len(words) - 12)}


def test_a_run_is_found_wherever_it_stands_and_nothing_else_is() -> None:
    """Beside a plain comparison of all runs, on texts of three words, which share much."""
    draw = random.Random(1)
    made = [" ".join(draw.choices("abc", k=draw.randrange(10, 40))) for _ in range(400)]
    items, texts = made[:100], [f"{text} {draw.choice(made)[:30]}" for text in made[100:]]
    thirteen = " ".join(ITEM.split()[:13])
    items.append(thirteen)
    texts += [f"{'x ' * before}{thirteen}{' x' * (before % 3)}" for before in range(20)]
    blocked = Blocked.of(items)
    known = set().union(*map(runs, items))
    found = [holds_an_item({"text": text}, blocked) for text in texts]
    assert found == [not known.isdisjoint(runs(text)) for text in texts]
    assert 0.1 < sum(found[:300]) / 300 < 0.9


def test_what_is_blocked_is_the_same_in_another_process() -> None:
    blocked = Blocked.of([ITEM])
    assert Blocked.from_bytes(blocked.to_bytes()) == blocked


def test_twelve_words_are_not_enough() -> None:
    assert Blocked.of([" ".join(ITEM.split()[:12])]) == Blocked()
    assert len(Blocked.of([" ".join(ITEM.split()[:14])]).grams) == 2
