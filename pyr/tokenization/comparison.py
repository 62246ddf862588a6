"""One tokenizer beside others over the same texts."""

from __future__ import annotations

import dataclasses
import gc
import math
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyr.errors import UsageError
from pyr.tokenization import forms, measure, train
from pyr.tokenization.anatomy import NASTY, Anatomy, anatomy, shown
from pyr.tokenization.forms import Ids, Named
from pyr.tokenization.measure import DomainScore, Passages, Relation, Score
from pyr.tokenization.recipe import BYTES, Recipe
from pyr.tokenization.train import Merge, learn, training_texts

_ONE_CORE_BYTES = 200_000
_PASSAGE_LETTERS = 280
_MAX_PASSAGES = 6
_UNUSED_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Options:
    """What the numbers that are not measured depend on."""

    hidden: int = 768
    """Width of the embeddings."""
    context: int = 2048
    """Tokens that a model sees at once."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Million bytes of text a second."""

    encode_one: float
    """On one core, by its CPU seconds, which a busy machine changes less than the clock."""
    encode_all: float
    """All texts in one call a domain, by the wall clock."""
    encode_cores: float
    """How many cores that call had: its CPU seconds over those of the wall."""
    decode_one: float
    """On one core, by its CPU seconds."""
    decode_all: float
    """All texts in one call a domain, by the wall clock."""
    decode_cores: float


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Whether decoding gave every text back."""

    lossless: bool
    changed: int
    """Texts that came back changed."""
    texts: int
    example: str = ""
    """The first of them: what stood there, and what came back."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A passage as one tokenizer cuts it."""

    ids: Sequence[int]
    pieces: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Passage:
    """The beginning of a document, for the side-by-side."""

    domain: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """Everything measured of one tokenizer."""

    name: str
    path: str
    vocab_size: int
    domains: Sequence[DomainScore]
    mean: Score
    """Bytes per token, the mean over domains."""
    tokens_per_word: float
    """Mean over domains, as the next."""
    whole_words: float
    """nan where no text comes back at its length."""
    renyi_efficiency: float
    never_used: int
    """Tokens of the vocabulary that do not occur in these texts."""
    never_used_examples: Sequence[str]
    embedding_parameters: int
    context_bytes: int
    speed: Speed
    round_trip: RoundTrip
    anatomy: Anatomy
    cuts: Sequence[Cut]
    relations: Sequence[Relation] = ()
    """Of the first tokenizer to this one; none for the first itself."""


@dataclass(frozen=True, slots=True)
class Report:
    """The first tokenizer beside the others."""

    rows: Sequence[Row]
    passages: Sequence[Passage]
    options: Options
    cores: int
    """What this process may use of the machine that was measured on."""

    @property
    def own(self) -> Row:
        """The tokenizer that the others are beside."""
        return self.rows[0]


def compare(
    tokenizers: Sequence[Named],
    texts: Sequence[Passages],
    options: Options | None = None,
    *,
    on_done: Callable[[str], None] = lambda name: None,
) -> Report:
    """Every tokenizer over the same texts; the first is held against each of the others.

    on_done: called with the name of each tokenizer when it is through.
    """
    options = options or Options()
    shown_passages = _samples(texts)
    rows: list[Row] = []
    own: list[list[Ids]] = []
    for one in tokenizers:
        with _no_collection():
            row, coded = _measure(one, texts, shown_passages, options)
        if not rows:
            own = coded
        else:
            row = dataclasses.replace(row, relations=measure.relations(texts, own, coded))
        rows.append(row)
        on_done(one.name)
    return Report(rows, shown_passages, options, _cores())


def _measure(
    one: Named, texts: Sequence[Passages], samples: Sequence[Passage], options: Options
) -> tuple[Row, list[list[Ids]]]:
    tokenizer = one.tokenizer
    encode_one = _one_core(one, texts)
    with _Clock() as encoding:
        coded = [tokenizer.encode_all(each.texts) for each in texts]
    start = time.thread_time()
    round_trip = _round_trip(one, texts, coded)
    decode_one = _megabytes(texts) / (time.thread_time() - start)
    with _Clock() as decoding:
        for ids in coded:
            tokenizer.decode_all(ids)
    scores = [
        measure.domain_score(tokenizer, each, ids) for each, ids in zip(texts, coded, strict=True)
    ]
    counts = measure.id_counts(coded)
    unused = _unused(one, counts)
    mean = measure.mean_score(texts, coded)
    row = Row(
        name=one.name,
        path=one.path,
        vocab_size=tokenizer.vocab_size,
        domains=scores,
        mean=mean,
        tokens_per_word=float(np.mean([each.tokens_per_word for each in scores])),
        whole_words=_mean_known([each.whole_words for each in scores]),
        renyi_efficiency=measure.renyi_efficiency(counts, tokenizer.vocab_size),
        never_used=tokenizer.vocab_size - int((counts > 0).sum()),
        never_used_examples=unused,
        embedding_parameters=tokenizer.vocab_size * options.hidden,
        context_bytes=round(mean.value * options.context),
        speed=Speed(
            encode_one=encode_one,
            encode_all=_megabytes(texts) / encoding.seconds,
            encode_cores=encoding.cores,
            decode_one=decode_one,
            decode_all=_megabytes(texts) / decoding.seconds,
            decode_cores=decoding.cores,
        ),
        round_trip=round_trip,
        anatomy=anatomy(tokenizer),
        cuts=[_cut(one, each.text) for each in samples],
    )
    return row, coded


def _cores() -> int:
    # macOS does not say what a process may use.
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _mean_known(values: Sequence[float]) -> float:
    """The mean of what could be measured; nan where nothing could."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


@contextmanager
def _no_collection() -> Iterator[None]:
    # As timeit does: a full collection in the midst of decoding made 45 MB/s look like 16.
    before = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


class _Clock:
    """Seconds of the wall, and how many cores all threads of this process had meanwhile."""

    def __enter__(self) -> _Clock:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._wall
        self.cores = (time.process_time() - self._cpu) / self.seconds


def _megabytes(texts: Sequence[Passages]) -> float:
    return sum(int(each.bytes.sum()) for each in texts) / 1e6


def _one_core(one: Named, texts: Sequence[Passages]) -> float:
    """MB/s of one call a text, over the first texts of every domain, before anything is cached."""
    limit = _ONE_CORE_BYTES / len(texts)
    some = [
        text
        for each in texts
        for text, until in zip(each.texts, np.cumsum(each.bytes), strict=True)
        if until <= limit
    ] or [texts[0].texts[0]]
    start = time.thread_time()
    for text in some:
        one.tokenizer.encode(text)
    seconds = max(time.thread_time() - start, 1e-9)
    return sum(len(text.encode()) for text in some) / 1e6 / seconds


def _round_trip(one: Named, texts: Sequence[Passages], coded: Sequence[Sequence[Ids]]) -> RoundTrip:
    pairs = [
        (f"{each.domain} {item}", text, ids)
        for each, found in zip(texts, coded, strict=True)
        for item, text, ids in zip(each.items, each.texts, found, strict=True)
    ]
    pairs += [("a hard case", text, np.array(one.tokenizer.encode(text))) for text in NASTY]
    changed = 0
    example = ""
    for where, text, ids in pairs:
        back = one.tokenizer.decode(ids.tolist())
        if back != text:
            changed += 1
            example = example or f"{where}: {_difference(text, back)}"
    return RoundTrip(changed == 0, changed, len(pairs), example)


def _difference(text: str, back: str) -> str:
    """The first place where two texts part, from a few letters before it.

    Texts may part and look alike, so the code points of that letter stand beside it.
    """
    at = next(
        (place for place, (a, b) in enumerate(zip(text, back, strict=False)) if a != b),
        min(len(text), len(back)),
    )
    while at and any(
        unicodedata.combining(letter) for letter in text[at : at + 1] + back[at : at + 1]
    ):
        at -= 1
    begin = max(0, at - 8)
    before, after = (shown(each[begin : at + 12].encode()) for each in (text, back))
    return f"'{before}' came back as '{after}', {_letter(text, at)} as {_letter(back, at)}"


def _letter(text: str, at: int) -> str:
    """``U+0065 U+0301``: a letter with the marks on it, as code points."""
    if at >= len(text):
        return "the end"
    end = at + 1
    while end < len(text) and unicodedata.combining(text[end]):
        end += 1
    return " ".join(f"U+{ord(letter):04X}" for letter in text[at:end])


def _unused(one: Named, counts: measure.Counts) -> list[str]:
    table = one.tokenizer.token_bytes
    ids = (number for number in range(len(table)) if number >= len(counts) or not counts[number])
    found = (shown(table[number] or b"") for number in ids)
    return [token for _, token in zip(range(_UNUSED_SHOWN), found, strict=False)]


def _samples(texts: Sequence[Passages]) -> list[Passage]:
    """The first document of every other domain, so that no more than a few are shown."""
    step = max(1, math.ceil(len(texts) / _MAX_PASSAGES))
    return [Passage(each.domain, each.texts[0][:_PASSAGE_LETTERS]) for each in texts[::step]]


def _cut(one: Named, text: str) -> Cut:
    table = one.tokenizer.token_bytes
    ids = [int(number) for number in one.tokenizer.encode(text)]
    return Cut(ids, [table[number] or b"" for number in ids])


def as_json(report: Report) -> dict[str, Any]:
    """The report without the passages: plain values, for json.dumps."""
    rows = []
    for row in report.rows:
        written = dataclasses.asdict(row)
        del written["cuts"]
        rows.append(written)
    return {
        "options": dataclasses.asdict(report.options),
        "cores": report.cores,
        "tokenizers": finite(rows),
    }


def finite(value: Any) -> Any:
    """The same with None for limits that are infinite, which JSON has no word for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value


# ------------------------------------------------------------------
# How large a vocabulary should be: one training, many sizes.
#
# A byte-level BPE of k merges is the first k of a longer training, so that the largest size is
# trained and the others are cut from it.


@dataclass(frozen=True, slots=True)
class Model:
    """The model that the vocabulary is for."""

    hidden: int
    """Width of the embeddings."""
    body: float
    """Parameters besides the embeddings."""


@dataclass(frozen=True, slots=True)
class Size:
    """What one size of the vocabulary costs and gives."""

    vocab_size: int
    embedding_parameters: int
    """Vocabulary times width, once; an untied model has them twice."""
    bytes_per_token: Score
    """Mean over domains of unseen text."""
    tokens_per_byte: float
    """Tokens that a byte costs: all tokens / all bytes of the same texts."""
    flops_per_byte: float
    """To train on: 6 for each parameter and token (Kaplan et al. 2020, arXiv 2001.08361), of the
    body and the output embeddings; the input embeddings are only looked up."""
    domains: dict[str, float]
    """Bytes per token by domain."""


def train_sizes(recipe: Recipe, root: Path, sizes: Sequence[int]) -> list[Merge]:
    """The merges of the largest size.

    Raises UsageError if a size is too small to hold the fixed tokens and the bytes.
    """
    least = BYTES + len(recipe.fixed_tokens)
    if min(sizes) <= least:
        raise UsageError(
            f"a vocabulary of {min(sizes)} is too small.",
            remedy=f"the bytes and the fixed tokens alone are {least}",
        )
    return learn(training_texts(recipe, root), recipe.pre_tokenizer, max(sizes) - least)


def measure_sizes(
    recipe: Recipe,
    merges: Sequence[Merge],
    sizes: Sequence[int],
    texts: Sequence[Passages],
    model: Model,
) -> list[Size]:
    """Every size over the same texts, the smallest first."""
    found = []
    for size in sorted(set(sizes)):
        part = recipe.model_copy(update={"vocab_size": size})
        tokenizer = train.build(part, merges[: train.num_merges(part)])
        coded = [forms.HuggingFace(tokenizer).encode_all(each.texts) for each in texts]
        counts = [measure.token_counts(each) for each in coded]
        total = sum(int(each.bytes.sum()) for each in texts)
        tokens_per_byte = sum(int(each.sum()) for each in counts) / total
        found.append(
            Size(
                vocab_size=size,
                embedding_parameters=size * model.hidden,
                bytes_per_token=measure.mean_score(texts, coded),
                tokens_per_byte=tokens_per_byte,
                flops_per_byte=6 * (model.body + size * model.hidden) * tokens_per_byte,
                domains={
                    each.domain: float(each.bytes.sum() / count.sum())
                    for each, count in zip(texts, counts, strict=True)
                },
            )
        )
    return found
