"""Training: deterministic, whichever trainer is installed, and cut as llama.cpp cuts."""

from __future__ import annotations

import importlib.util
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from factories_tokenization import TEXTS, build_small, small_recipe

from pyr import content
from pyr.errors import ContentError, MeasureError
from pyr.tokenization import recipe, train
from pyr.tokenization.train import (
    Fed,
    byte_letters,
    learn,
    parts,
    pre_tokenizer,
    training_texts,
)

needs_rustbpe = pytest.mark.skipif(
    importlib.util.find_spec("rustbpe") is None, reason="rustbpe is not installed"
)


def naive_merges(words: Counter[bytes], count: int) -> list[tuple[bytes, bytes]]:
    """BPE as it is defined: the most frequent pair, ties by the lower ids; slowly."""
    ids = {bytes([byte]): byte for byte in range(256)}
    cut = {word: [bytes([byte]) for byte in word] for word in words}
    found = []
    for _ in range(count):
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, pieces in cut.items():
            for pair in zip(pieces, pieces[1:], strict=False):
                pairs[pair] += words[word]
        best = min(pairs, key=lambda p: (-pairs[p], ids[p[0]], ids[p[1]]))
        found.append(best)
        ids.setdefault(best[0] + best[1], len(ids))
        for word, pieces in cut.items():
            place, merged = 0, []
            while place < len(pieces):
                if tuple(pieces[place : place + 2]) == best:
                    merged.append(best[0] + best[1])
                    place += 2
                else:
                    merged.append(pieces[place])
                    place += 1
            cut[word] = merged
    return found


def test_merges_are_those_of_the_definition() -> None:
    letters = {letter: byte for byte, letter in enumerate(byte_letters())}
    cutter = pre_tokenizer("qwen2")
    words = Counter(
        bytes(letters[c] for c in piece)
        for text in TEXTS
        for piece, _ in cutter.pre_tokenize_str(text)
    )
    assert learn(TEXTS, "qwen2", 60, trainer="tokenizers") == naive_merges(words, 60)


@needs_rustbpe
@pytest.mark.parametrize("cut", ["qwen2", "smollm"])
def test_both_trainers_give_the_same_merges(cut) -> None:
    words = "  the 12 cats' tails, \n\n\treturn x==y;  9 don't \u00e9t\u00e9 \u0664\u0665 "
    draw = random.Random(0)
    texts = ["".join(draw.choices(words.split(" "), k=30)) + words for _ in range(200)]
    texts += [*TEXTS, "a  1", "a   b", "  12  34\n 5", "\u00a0\u00a07", "x\r\n\r\n  y"]
    first = learn(texts, cut, 250, trainer="rustbpe")
    assert first == learn(texts, cut, 250, trainer="tokenizers")


def test_the_order_of_the_texts_does_not_matter() -> None:
    first = learn(TEXTS, "qwen2", 100, trainer="tokenizers")
    assert first == learn(TEXTS[::-1], "qwen2", 100, trainer="tokenizers")


def test_too_little_text_is_said() -> None:
    with pytest.raises(MeasureError, match="merges, and 500 were asked for"):
        learn(["abc"], "qwen2", 500, trainer="tokenizers")


def test_parts_are_the_pair_that_was_merged() -> None:
    alphabet = [bytes([byte]) for byte in range(256)]
    tokens = [*alphabet, b"ab", b"cd", b"abcd", b"abcde"]
    assert parts(tokens) == [(b"a", b"b"), (b"c", b"d"), (b"ab", b"cd"), (b"abcd", b"e")]


def test_a_token_that_is_there_twice_is_refused() -> None:
    alphabet = [bytes([byte]) for byte in range(256)]
    with pytest.raises(MeasureError, match="twice"):
        parts([*alphabet, b"ab", b"ab"])


@pytest.mark.parametrize("cut", ["qwen2", "smollm"])
def test_digits_are_never_joined(cut) -> None:
    cutter = pre_tokenizer(cut)
    for text in ("2024-01-31", "x12y345", "1,234,567", " 42 ", "\u0663\u0664\u0665"):
        for piece, span in cutter.pre_tokenize_str(text):
            inside = text[span[0] : span[1]]
            assert not any(c.isnumeric() for c in inside) or len(inside) == 1, piece


def test_the_vocabulary_is_fixed_tokens_then_bytes_then_merges() -> None:
    tokenizer = build_small()
    recipe = small_recipe()
    assert tokenizer.get_vocab_size() == recipe.vocab_size == 400
    for number, token in enumerate(recipe.fixed_tokens):
        assert tokenizer.token_to_id(token) == number
    first = len(recipe.fixed_tokens)
    for byte, letter in enumerate(byte_letters()):
        assert tokenizer.token_to_id(letter) == first + byte


def test_ids_of_fixed_tokens_and_bytes_do_not_depend_on_the_size() -> None:
    small, large = build_small(), build_small(vocab_size=450)
    same = {token: number for token, number in large.get_vocab().items() if number < 400}
    assert same == small.get_vocab()


def test_the_same_recipe_and_data_give_the_same_file(corpus: Path) -> None:
    recipe = small_recipe(vocab_size=330, held_out=0.1)

    def once() -> str:
        texts = training_texts(recipe, corpus)
        merges = learn(texts, "qwen2", train.num_merges(recipe), trainer="tokenizers")
        return train.build(recipe, merges).to_str()

    assert once() == once()


def test_training_reads_only_its_side_and_counts_it(corpus: Path) -> None:
    source = {"name": "cats", "files": ["cats.jsonl"], "weight": 2}
    recipe = small_recipe(held_out=0.25, texts=[source])
    seen: list[Fed] = []
    texts = list(training_texts(recipe, corpus, on_source=lambda name, fed: seen.append(fed)))
    [fed] = seen
    assert 20 < fed.documents < 40
    assert len(texts) == 2 * fed.documents
    assert fed.bytes_trained == 2 * fed.bytes == sum(len(text.encode()) for text in texts)


def test_a_lone_surrogate_does_not_stop_training(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x \\ud800 y"}\n')
    recipe = small_recipe(held_out=0)
    assert list(training_texts(recipe, tmp_path)) == ["x ? y"]


def test_a_long_line_counts_once_whatever_repeats_it(tmp_path: Path) -> None:
    rows = ["same long line\nfirst\n", "same long line\nsecond\n", "tiny\ntiny\n"]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": row}) for row in rows))
    found = "".join(training_texts(small_recipe(held_out=0, lines_once=10), tmp_path))
    assert found == "same long line\nfirst\nsecond\ntiny\ntiny\n"


def test_a_tokenizer_refuses_what_only_a_phase_reads(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.yaml"
    shipped = content.path("train/pyr-135m/tokenizer.yaml").read_text()
    file.write_text(shipped.replace("weight: 20", "column: messages", 1))
    with pytest.raises(ContentError, match="a tokenizer has no key 'column'"):
        recipe.read(file)
