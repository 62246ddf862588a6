"""The throughput probe: what it counts is counted right; how fast a machine is, no test can say."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from factories_probes import Holding

from pyr.engines import cache_keyword
from pyr.probes import Subject
from pyr.probes.throughput import Bench, Throughput

SHORT = {"prefill": 24, "decode": 6, "repetitions": 2, "largest_batch": 4, "batch_decode": 3}


@pytest.fixture(scope="module")
def bench(lm: Any) -> Bench:
    return Bench(lm, 24)


def test_every_rate_is_tokens_over_seconds(subject: Subject) -> None:
    [chunk] = Throughput(SHORT, name="throughput").run(subject)
    found: dict[str, list] = {}
    for record in chunk.records:
        found.setdefault(record.metric, []).append(record)
    tokens = {
        "prefill_tokens_per_second": 24,
        "decode_tokens_per_second": 6,
        "decode_tokens_per_second_best_batch": 3 * found["best_batch"][0].value,
    }
    for metric, count in tokens.items():
        rates = found[metric]
        assert len(rates) == 2
        assert [rate.value * rate.weight for rate in rates] == pytest.approx([count] * 2)
    shares = [*found["prefill_matrix_share"], *found["decode_bandwidth_share"]]
    assert all(0 < share.value < 2 for share in shares)
    assert found["peak_memory"][0].value > 1e7
    assert found["best_batch"][0].value in (1, 2, 4)
    assert [r.value for r in found["first_token_seconds"]] == [
        r.weight for r in found["prefill_tokens_per_second"]
    ]


def test_the_weights_read_a_step_are_all_but_the_input_embedding(bench: Bench) -> None:
    """By hand, of the tiny Llama: D 32, I 64, V 600, two layers, one key/value head of 16."""
    layer = 32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 64 + 2 * 32
    vocabulary = bench.model.config.vocab_size
    assert bench.weight_bytes == 4 * (2 * layer + 32 + 32 * vocabulary)
    attention = 2 * 2 * 32 * 24
    body = 2 * layer + 32
    assert bench.flops(24) == 24 * (2 * body + attention) + 2 * 32 * vocabulary


def test_decoding_steps_say_what_one_pass_says(bench: Bench) -> None:
    """Oracle: the same tokens in one pass, so that the cache is really used."""
    import torch
    from transformers import DynamicCache

    cache = DynamicCache(config=bench.model.config)
    with torch.inference_mode():
        whole = bench.model(bench.ids_L[None, :8]).logits[0, -1]
        for place in range(8):
            step = bench.ids_L[None, place : place + 1]
            out = bench.model(
                step, **{cache_keyword(bench.model): cache}, use_cache=True, logits_to_keep=1
            )
    torch.testing.assert_close(out.logits[0, -1], whole, rtol=1e-4, atol=1e-4)


def test_a_batch_that_is_not_worth_it_ends_the_search(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {1: 10.0, 2: 19.0, 4: 30.0, 8: 31.0, 16: 400.0}

    def decode(rows: int, length: int):
        return SimpleNamespace(tokens=length, seconds=rows * length / rates[rows])

    monkeypatch.setattr(bench, "decode", decode)
    assert bench.best_batch(16) == 4
    assert bench.best_batch(2) == 2
    assert bench.best_batch(1) == 1


def test_a_model_that_is_too_short_is_skipped_and_says_so(subject: Subject) -> None:
    [chunk] = Throughput({**SHORT, "prefill": 4096}, name="throughput").run(subject)
    assert chunk.skipped[0].reason == "the model holds 2048 tokens, 4096 are asked"


def test_an_engine_that_hides_its_model_is_skipped_and_says_so(subject: Subject) -> None:
    hidden = replace(subject, models=Holding(SimpleNamespace()))
    [chunk] = Throughput(SHORT, name="throughput").run(hidden)
    assert not chunk.records
    assert not chunk.skipped[0].missing
