"""The numbers, against hand computation and against a bootstrap."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from pyr.compare import estimate
from pyr.data.filters import Document
from pyr.errors import MeasureError
from pyr.tokenization import forms, measure


class Letters:
    """Cuts after every `width` bytes; id = what the piece is."""

    def __init__(self, width: int, *, space_in_front: bool = False) -> None:
        self.width = width
        self.front = " " if space_in_front else ""
        self.table: list[bytes | None] = []

    @property
    def vocab_size(self) -> int:
        return 1000

    @property
    def token_bytes(self):
        return self.table

    def encode(self, text: str) -> list[int]:
        raw = (self.front + text).encode()
        ids = []
        for start in range(0, len(raw), self.width):
            piece = raw[start : start + self.width]
            if piece not in self.table:
                self.table.append(piece)
            ids.append(self.table.index(piece))
        return ids

    def encode_all(self, texts):
        return [np.array(self.encode(text), dtype=np.int64) for text in texts]

    def decode(self, ids) -> str:
        return b"".join(self.table[i] or b"" for i in ids).decode()


def texts(**by_domain: list[str]) -> list[measure.Passages]:
    return measure.passages(
        Document(domain, str(number), (text,))
        for domain, found in by_domain.items()
        for number, text in enumerate(found)
    )


def test_bytes_per_token_is_all_bytes_over_all_tokens() -> None:
    [each] = texts(a=["abcdef", "caf\u00e9", "x"])
    tokenizer = Letters(2)
    found = measure.domain_score(tokenizer, each, tokenizer.encode_all(each.texts))
    assert found.bytes == 6 + 5 + 1
    assert found.tokens == 3 + 3 + 1
    assert found.bytes_per_token.value == pytest.approx(12 / 7)


def test_the_interval_is_that_of_the_probes_records() -> None:
    [each] = texts(a=[f"{'word ' * n}end" for n in range(1, 30)])
    tokenizer = Letters(3)
    coded = tokenizer.encode_all(each.texts)
    found = measure.domain_score(tokenizer, each, coded)
    import dataclasses

    import pandas as pd

    records = measure.records(each, measure.token_counts(coded))
    frame = pd.DataFrame([dataclasses.asdict(record) for record in records])
    assert found.bytes_per_token.value == estimate(frame).value
    assert measure.score(estimate(frame)) == found.bytes_per_token


def test_tokens_per_word_counts_runs_without_blanks() -> None:
    [each] = texts(a=["one two\nthree"])
    tokenizer = Letters(1)
    found = measure.domain_score(tokenizer, each, tokenizer.encode_all(each.texts))
    assert found.tokens_per_word == pytest.approx(13 / 3)


@pytest.mark.parametrize("space_in_front", [False, True])
def test_a_word_is_whole_if_no_cut_falls_inside(space_in_front: bool) -> None:
    text = "ab cd abc d" if not space_in_front else "a bc ab cdef"
    [each] = texts(a=[text])
    tokenizer = Letters(3, space_in_front=space_in_front)
    found = measure.domain_score(tokenizer, each, tokenizer.encode_all(each.texts))
    # Without: |ab |cd |abc| d|: all four. With: | a |bc |ab |cde|f|: three of four.
    assert found.whole_words == pytest.approx(0.75 if space_in_front else 1.0)


def test_words_of_letters_that_take_more_bytes_are_found() -> None:
    [each] = texts(a=["\u00e9t\u00e9 a\u0153b"])
    assert each.spans[0].tolist() == [[0, 5], [6, 10]]


def test_renyi_efficiency_is_one_for_a_flat_use_of_the_vocabulary() -> None:
    assert measure.renyi_efficiency(np.full(64, 7), 64) == pytest.approx(1)
    assert measure.renyi_efficiency(np.array([10, 0, 0, 0]), 4) == pytest.approx(0)


def test_renyi_efficiency_is_its_formula() -> None:
    shares = np.array([0.5, 0.3, 0.2])
    entropy = math.log((shares**2.5).sum()) / (1 - 2.5)
    found = measure.renyi_efficiency(np.array([50, 30, 20]), 8)
    assert found == pytest.approx(entropy / math.log(8))


def test_the_mean_counts_each_domain_the_same() -> None:
    both = texts(a=["abcd"] + [f"abcd{n}" for n in range(4)], b=[f"{n}" for n in range(3)])
    tokenizer = Letters(4)
    coded = [tokenizer.encode_all(each.texts) for each in both]
    each = [measure.domain_score(tokenizer, t, c) for t, c in zip(both, coded, strict=True)]
    wanted = (each[0].bytes_per_token.value + each[1].bytes_per_token.value) / 2
    assert measure.mean_score(both, coded).value == pytest.approx(wanted)


def noisy(seed: int) -> tuple[list[measure.Passages], list, list]:
    """Two domains with token counts of two tokenizers that rise and fall together."""
    draw = np.random.default_rng(seed)
    sizes = {"a": draw.integers(200, 4000, 60), "b": draw.integers(200, 4000, 90)}
    both = texts(**{name: ["x" * size for size in found] for name, found in sizes.items()})
    ours, theirs = [], []
    for each in both:
        base = each.bytes / draw.normal(4, 0.3, len(each.items))
        ours.append([np.zeros(max(1, int(n)), dtype=np.int64) for n in base])
        other = base * draw.normal(1.06, 0.02, len(each.items))
        theirs.append([np.zeros(max(1, int(n)), dtype=np.int64) for n in other])
    return both, ours, theirs


def test_gains_and_their_intervals_agree_with_a_paired_bootstrap() -> None:
    both, ours, theirs = noisy(1)
    found = {each.domain: each.gain for each in measure.relations(both, ours, theirs)}
    draw = np.random.default_rng(2)
    gains: dict[str, list[float]] = {"a": [], "b": [], "": []}
    for _ in range(3000):
        means = []
        for each, mine, other in zip(both, ours, theirs, strict=True):
            picked = draw.integers(0, len(each.items), len(each.items))
            size = each.bytes[picked].sum()
            own = size / measure.token_counts(mine)[picked].sum()
            reference = size / measure.token_counts(other)[picked].sum()
            gains[each.domain].append(own / reference - 1)
            means.append((own, reference))
        gains[""].append(sum(m[0] for m in means) / sum(m[1] for m in means) - 1)
    for domain, sample in gains.items():
        low, high = np.quantile(sample, [0.025, 0.975])
        assert found[domain].value == pytest.approx(np.mean(sample), abs=2e-4)
        assert found[domain].low == pytest.approx(low, abs=8e-4)
        assert found[domain].high == pytest.approx(high, abs=8e-4)


def test_a_tokenizer_gains_nothing_over_itself() -> None:
    both, ours, _ = noisy(3)
    for relation in measure.relations(both, ours, ours):
        assert relation.gain.value == pytest.approx(0, abs=1e-12)
        assert relation.gain.low == pytest.approx(0, abs=1e-9)
        assert relation.sequence_length == pytest.approx(1)


def test_the_same_text_is_counted_once_in_a_domain() -> None:
    both = texts(a=["same", "same", "other"], b=["same"])
    assert [list(each.texts) for each in both] == [["same", "other"], ["same"]]


def test_without_text_there_is_nothing_to_measure() -> None:
    with pytest.raises(MeasureError, match="no text"):
        texts(a=[""])


def test_counts_are_those_of_the_library(small: Path) -> None:
    import tokenizers

    stock = tokenizers.Tokenizer.from_file(str(small / "tokenizer.json"))
    [each] = texts(a=["The cat sat.", "return x == 12"])
    coded = forms.load(small).tokenizer.encode_all(each.texts)
    assert [ids.tolist() for ids in coded] == [stock.encode(text).ids for text in each.texts]
