"""Texts under tokenizers: the counts of every document, and what follows from them.

Bytes per token and everything relative to a reference are weighted means of records, estimated by
`pyr.compare`: the numbers of the suite's `tokenizer` probe are these numbers.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pyr.compare import Interval, estimate, interval
from pyr.compare.scores import estimated
from pyr.compare.statistics import Floats, Ratio, ratio, spread
from pyr.data.filters import Document
from pyr.errors import MeasureError
from pyr.schema import Estimate, Record
from pyr.tokenization.forms import Ids, Tokenizer

RENYI_ORDER = 2.5
_WORD = re.compile(r"[^\W\d_]+")

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Passages:
    """The documents of one domain, with what does not depend on the tokenizer."""

    domain: str
    items: Sequence[str]
    texts: Sequence[str]
    bytes: Counts
    words: Counts
    """Runs of anything but white space, in each document."""
    spans: Sequence[Counts]
    """Begin and end, in bytes, of each run of letters."""


@dataclass(frozen=True, slots=True)
class Score:
    """A number with its 95% interval over documents."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class DomainScore:
    """What one tokenizer does to the texts of one domain."""

    domain: str
    documents: int
    bytes: int
    tokens: int
    bytes_per_token: Score
    tokens_per_word: float
    whole_words: float
    """Share of runs of letters without a cut inside."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Bytes per token over a reference's, minus one: +0.05 is 5% fewer tokens' worth of text."""

    domain: str
    """Empty for the mean over domains."""
    gain: Score
    sequence_length: float
    """Mean over documents of own tokens / the reference's (Dagan, Synnaeve & Roziere 2024)."""


def passages(documents: Iterable[Document]) -> list[Passages]:
    """The documents by domain, in the order of their first appearance.

    Raises MeasureError if there is none.
    """
    by_domain: dict[str, dict[str, str]] = {}
    for document in documents:
        known = by_domain.setdefault(document.domain, {})
        text = document.text.encode("utf-8", "replace").decode()
        if text and text not in known.values():
            name = document.id if document.id not in known else f"{document.id} {len(known)}"
            known[name] = text
    if not any(by_domain.values()):
        raise MeasureError("there is no text to measure on.", remedy="name texts with --texts")
    return [_passages(domain, texts) for domain, texts in by_domain.items() if texts]


def _passages(domain: str, texts: Mapping[str, str]) -> Passages:
    return Passages(
        domain=domain,
        items=list(texts),
        texts=list(texts.values()),
        bytes=np.array([len(text.encode()) for text in texts.values()], dtype=np.int64),
        words=np.array([len(text.split()) for text in texts.values()], dtype=np.int64),
        spans=[_word_spans(text) for text in texts.values()],
    )


def _word_spans(text: str) -> Counts:
    spans = np.array([match.span() for match in _WORD.finditer(text)], dtype=np.int64)
    if text.isascii() or not len(spans):
        return spans.reshape(-1, 2)
    sizes = [len(letter.encode()) for letter in text]
    places = np.concatenate([[0], np.cumsum(sizes)])
    return np.asarray(places[spans], dtype=np.int64)


# ------------------------------------------------------------------ records


def records(texts: Passages, tokens: Counts) -> list[Record]:
    """Bytes per token of each document, weighted by its tokens: sum bytes / sum tokens."""
    return [
        Record(
            task=f"tokenizer:{texts.domain}",
            metric="bytes_per_token",
            item=item,
            value=float(size / count),
            weight=float(count),
            unit="bytes/token",
            kind="compression",
        )
        for item, size, count in zip(texts.items, texts.bytes, tokens, strict=True)
    ]


def named(found: Iterable[Record], reference: str) -> list[Record]:
    """The same records as those of a reference tokenizer."""
    metric = f"bytes_per_token@{reference}"
    return [dataclasses.replace(record, metric=metric, kind="reference") for record in found]


def _estimated(texts: Passages, tokens: Counts) -> Estimate:
    found = records(texts, tokens)
    return estimate(pd.DataFrame([dataclasses.asdict(record) for record in found]))


def score(found: Estimate) -> Score:
    """An estimate with its 95% limits."""
    limits: Interval = interval(found, 0.95)
    return Score(found.value, limits.low, limits.high)


# ------------------------------------------------------------------ one tokenizer


def token_counts(coded: Sequence[Ids]) -> Counts:
    """The number of tokens of each document."""
    return np.array([len(ids) for ids in coded], dtype=np.int64)


def domain_score(tokenizer: Tokenizer, texts: Passages, coded: Sequence[Ids]) -> DomainScore:
    """What the tokenizer does to these texts; `coded` are their ids."""
    tokens = token_counts(coded)
    found = _estimated(texts, tokens)
    return DomainScore(
        domain=texts.domain,
        documents=len(texts.items),
        bytes=int(texts.bytes.sum()),
        tokens=int(tokens.sum()),
        bytes_per_token=score(found),
        tokens_per_word=float(tokens.sum() / max(1, texts.words.sum())),
        whole_words=_whole_words(tokenizer, texts, coded),
    )


def _whole_words(tokenizer: Tokenizer, texts: Passages, coded: Sequence[Ids]) -> float:
    """Share of words without a cut inside, over documents whose tokens add up to the text.

    A tokenizer that puts a space in front of the text is off by that one byte.
    """
    sizes = np.array([len(token or b"") for token in tokenizer.token_bytes], dtype=np.int64)
    whole = total = 0
    for size, spans, ids in zip(texts.bytes, texts.spans, coded, strict=True):
        ends = np.cumsum(sizes[ids])
        surplus = int(ends[-1] - size) if len(ends) else 1
        if surplus not in (0, 1) or not len(spans):
            continue
        cuts = ends - surplus
        first = np.searchsorted(cuts, spans[:, 0], side="right")
        whole += int((cuts[np.minimum(first, len(cuts) - 1)] >= spans[:, 1]).sum())
        total += len(spans)
    return whole / total if total else math.nan


def renyi_efficiency(counts: Counts, vocab_size: int) -> float:
    """Renyi entropy of order 2.5 of the token frequencies, over log of the vocabulary's size.

    Zouhar et al. 2023, Tokenization and the Noiseless Channel, arXiv 2306.16842.
    counts: how often each id occurs.
    """
    shares = counts[counts > 0] / counts.sum()
    entropy = np.log(np.sum(shares**RENYI_ORDER)) / (1 - RENYI_ORDER)
    return float(entropy / np.log(vocab_size))


def id_counts(coded: Iterable[Sequence[Ids]]) -> Counts:
    """How often each id occurs in all texts."""
    every = [ids for texts in coded for ids in texts]
    return np.bincount(np.concatenate(every)).astype(np.int64)


def mean_score(texts: Sequence[Passages], coded: Sequence[Sequence[Ids]]) -> Score:
    """The mean over domains of bytes per token, each domain counting the same."""
    found = [_estimated(each, token_counts(ids)) for each, ids in zip(texts, coded, strict=True)]
    se = math.sqrt(sum(one.se**2 for one in found)) / len(found)
    value = sum(one.value for one in found) / len(found)
    return score(Estimate(value, se, sum(one.n for one in found), clusters=0))


# ------------------------------------------------------------------ beside a reference


def relations(
    texts: Sequence[Passages], ours: Sequence[Sequence[Ids]], theirs: Sequence[Sequence[Ids]]
) -> list[Relation]:
    """The gain over a reference in each domain, and (domain "") of the mean over domains.

    Paired by document: bytes per token over the reference's is sum of its tokens / sum of ours.
    """
    found = []
    for each, mine, other in zip(texts, ours, theirs, strict=True):
        own, reference = token_counts(mine), token_counts(other)
        gain = _gain(_ratio(reference, own))
        found.append(Relation(each.domain, gain, float(np.mean(own / reference))))
    lengths = float(np.mean([one.sequence_length for one in found]))
    return [*found, Relation("", _mean_gain(texts, ours, theirs), lengths)]


def _ratio(above: Counts, below: Counts) -> Ratio:
    """sum(above) / sum(below) over documents."""
    values: Floats = above / below
    return ratio(values, below.astype(np.float64))


def _gain(found: Ratio) -> Score:
    """Of one domain; not by `estimate`, which takes ratios of 1 for right answers."""
    n = len(found.residuals)
    return _less_one(score(estimated(found.mean, spread(np.arange(n), found), n)))


def _times(found: Ratio, factor: float) -> Ratio:
    return Ratio(factor * found.mean, factor * found.residuals, found.weights)


def _less_one(found: Score) -> Score:
    return Score(found.value - 1, found.low - 1, found.high - 1)


def _mean_gain(
    texts: Sequence[Passages], ours: Sequence[Sequence[Ids]], theirs: Sequence[Sequence[Ids]]
) -> Score:
    """Mean over domains of bytes per token, over the reference's mean, minus one.

    A ratio of two means over the same documents: its linearised error is that of own - R * theirs
    over the reference's mean (Cochran 1977, section 6.4), independent from domain to domain.
    """
    pairs = [
        (_ratio(each.bytes, token_counts(mine)), _ratio(each.bytes, token_counts(other)))
        for each, mine, other in zip(texts, ours, theirs, strict=True)
    ]
    others = sum(other.mean for _, other in pairs)
    gain = sum(own.mean for own, _ in pairs) / others
    errors = [
        spread(np.arange(len(own.residuals)), own, _times(other, gain)).se for own, other in pairs
    ]
    se = math.sqrt(sum(error**2 for error in errors)) / others
    return _less_one(score(Estimate(gain, se, sum(len(each.items) for each in texts), clusters=0)))
