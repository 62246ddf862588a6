"""What the shipped tokenizer must reach on real text. Minutes long: ``pytest -m slow -s`` with
the shared corpora beside the repository; every figure is printed.
"""

from __future__ import annotations

import importlib.util
import itertools
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from pyr import content
from pyr.data.filters import read_documents
from pyr.tokenization import comparison, forms, listed, measure, recipe
from pyr.tokenization.encode import Encoder
from pyr.tokenization.train import QWEN2_PATTERN, learn

SHARED = Path(__file__).parent.parent.parent.parent / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason="the corpora are not on this machine"),
]


def needs(library: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(library) is None
    return pytest.mark.skipif(missing, reason=f"{library} is not installed")


@dataclass
class Clock:
    """CPU seconds, of all threads, and seconds of the wall."""

    cpu: float = 0.0
    wall: float = 0.0

    def __enter__(self) -> Clock:
        self._start = (cpu_seconds(), time.perf_counter())
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu = cpu_seconds() - self._start[0]
        self.wall = time.perf_counter() - self._start[1]


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def corpus(megabytes: float) -> list[str]:
    """Documents of every source in turn, whole, until so much is there."""
    asked = recipe.read(content.path("train/pyr-135m/tokenizer.yaml"))
    streams = [read_documents(source, SHARED) for source in asked.texts]
    turns = itertools.zip_longest(*streams)
    found, size = [], 0
    for document in itertools.chain.from_iterable(turns):
        if document is None:
            continue
        raw = document.text.encode("utf-8", "replace")
        size += len(raw)
        if size > megabytes * 1e6:
            break
        found.append(raw.decode())
    return found


def num_bytes(found: list[str]) -> int:
    return sum(len(text.encode()) for text in found)


@pytest.fixture(scope="module")
def hundred() -> list[str]:
    return corpus(100)


def test_100_megabytes_come_back(shipped: Path, hundred: list[str]) -> None:
    tokenizer = tokenizers.Tokenizer.from_file(str(shipped / "tokenizer.json"))
    for batch in batches(hundred, 500):
        ids = [each.ids for each in tokenizer.encode_batch_fast(batch, add_special_tokens=False)]
        assert tokenizer.decode_batch(ids, skip_special_tokens=False) == batch
        plain = [text for text in batch if "<|" not in text]
        kept = [each for each, text in zip(ids, batch, strict=True) if "<|" not in text]
        assert tokenizer.decode_batch(kept, skip_special_tokens=True) == plain
    print(f"\n{num_bytes(hundred) / 1e6:.1f} MB in {len(hundred)} documents came back")


def batches(found: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(found), size):
        yield found[start : start + size]


@needs("fastokens")
def test_bulk_encoding_is_identical_and_twenty_times_as_fast(
    shipped: Path, hundred: list[str]
) -> None:
    file = shipped / "tokenizer.json"
    fast, stock = Encoder.from_file(file), Encoder.from_file(file, fast=False)
    assert fast.library == "fastokens"
    with Clock() as quick:
        found = fast.encode(hundred)
    with Clock() as slow:
        wanted = stock.encode(hundred)
    np.testing.assert_array_equal(found.ids, wanted.ids)
    np.testing.assert_array_equal(found.offsets, wanted.offsets)
    size = num_bytes(hundred) / 1e6
    print(
        f"\n{size:.1f} MB, {len(found.ids)} tokens, all ids the same; MB per CPU second: "
        f"{size / quick.cpu:.1f} fastokens, {size / slow.cpu:.2f} tokenizers: "
        f"{slow.cpu / quick.cpu:.1f} times"
    )
    assert slow.cpu > 20 * quick.cpu


@needs("rustbpe")
def test_training_on_300_megabytes_is_as_fast_as_the_fastest_trainer() -> None:
    import rustbpe

    found = corpus(300)
    size = num_bytes(found) / 1e6
    with Clock() as public:
        learner = rustbpe.Tokenizer()
        learner.train_from_iterator(iter(found), 16374, pattern=QWEN2_PATTERN)
    with Clock() as ours:
        merges = learn(found, "qwen2", 16374 - 256)
    ranks = sorted(learner.get_mergeable_ranks(), key=lambda entry: entry[1])
    assert [bytes(token) for token, _ in ranks[256:]] == [left + right for left, right in merges]
    print(
        f"\n{size:.1f} MB: rustbpe {public.cpu:.1f} CPU s ({public.wall:.1f} s), "
        f"learn {ours.cpu:.1f} CPU s ({ours.wall:.1f} s), peak {peak_gigabytes():.2f} GB"
    )
    assert ours.cpu < 1.10 * public.cpu
    assert peak_gigabytes() < 6


def test_it_beats_the_earlier_tokenizer_and_nears_one_of_three_times_its_size(
    shipped: Path,
) -> None:
    listing = content.path("evals/tokenizer-texts.yaml")
    domains = measure.passages(listed.read_texts([listing], SHARED))
    names = [shipped, SHARED / "tokenizers" / "pyr16k", SHARED / "tokenizers" / "smollm2"]
    report = comparison.compare([forms.load(each) for each in names], domains)
    for row in report.rows[1:]:
        print(f"\nover {row.name}:")
        for each in row.relations:
            low, high = each.gain.low, each.gain.high
            print(f"  {each.domain or 'mean':14}{each.gain.value:+.3f} [{low:+.3f}, {high:+.3f}]")
    earlier, smollm2 = report.rows[1:]
    gains = [each.gain.value for each in earlier.relations if each.domain]
    assert len(gains) == 12
    assert sum(gain > 0 for gain in gains) >= 10
    assert earlier.relations[-1].gain.value >= 0.05
    assert smollm2.relations[-1].gain.value >= -0.05


@needs("tiktoken")
@needs("sentencepiece")
def test_twelve_tokenizers_over_two_megabytes_take_less_than_a_minute(shipped: Path) -> None:
    listing = content.path("evals/tokenizer-texts.yaml")
    with Clock() as clock:
        domains = measure.passages(listed.read_texts([listing], SHARED))
        others = listed.references("evals/tokenizers.yaml", [SHARED], on_note=print)
        comparison.compare([forms.load(shipped), *others], domains)
    size = sum(int(each.bytes.sum()) for each in domains) / 1e6
    print(
        f"\n{1 + len(others)} tokenizers over {size:.2f} MB: {clock.cpu:.1f} CPU s, "
        f"{clock.wall:.1f} s"
    )
    assert len(others) == 12
    # CPU seconds of all threads: on idle cores it takes no longer than that.
    assert clock.cpu < 60
