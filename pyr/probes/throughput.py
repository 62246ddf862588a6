"""The throughput probe: prefill and decode rate, first token, peak memory, at batch 1.

Rates are records with the value in tokens (or bytes) a second and the seconds as weight, so that
a task's score is sum(tokens) / sum(seconds). Lengths are fixed and one warm-up is not counted.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from pyr import content
from pyr.errors import MeasureError
from pyr.probes import Chunk, Subject
from pyr.schema import Better, Record, Skipped, Strict
from pyr.tokenization import listed


class ThroughputOptions(Strict):
    """Lengths in tokens."""

    prefill: int = Field(default=256, gt=0)
    decode: int = Field(default=32, gt=0)
    repetitions: int = Field(default=5, gt=1)


class Throughput:
    """Times the model itself, on real prose."""

    def __init__(self, options: dict[str, Any], *, name: str) -> None:
        self.name = name
        self.options = content.check(options, ThroughputOptions, where=f"probe '{name}'")

    def run(self, subject: Subject) -> Iterator[Chunk]:
        """One chunk: half a set of repetitions says nothing."""
        from lm_eval.models.huggingface import HFLM

        if not subject.earlier.empty:
            return
        if not isinstance(subject.lm, HFLM):
            reason = f"engine '{subject.settings.engine}' does not show its model to be timed"
            yield Chunk(skipped=[Skipped(self.name, reason, missing=False)])
            return
        options = self.options
        prompt = _prompt(subject.lm.tokenizer, options.prefill)
        _repetition(subject.lm, prompt, options.decode, "warm-up")
        records: list[Record] = []
        for number in range(options.repetitions):
            subject.progress(self.name, number, options.repetitions)
            records += _repetition(subject.lm, prompt, options.decode, str(number))
        memory = _record(
            "peak_memory", "0", _peak_memory_bytes(), 1.0, better="lower", unit="bytes"
        )
        yield Chunk(records=[*records, memory])
        subject.progress(self.name, options.repetitions, options.repetitions)


def _prompt(tokenizer: Any, length: int) -> Any:
    """ids_1L: `length` tokens of the shipped texts."""
    import torch

    text = " ".join(text for document in listed.shipped() for text in document.pieces)
    ids = tokenizer.encode(text, add_special_tokens=False)[:length]
    if len(ids) < length:
        raise MeasureError(f"the shipped texts hold {len(ids)} tokens, fewer than {length}.")
    return torch.tensor([ids])


def _repetition(lm: Any, prompt_1L: Any, num_decoded: int, item: str) -> list[Record]:
    """One prefill with its first token, and one generation of `num_decoded` more."""
    ids_1L = prompt_1L.to(lm.model.device)
    first = _generate(lm, ids_1L, 1)
    whole = _generate(lm, ids_1L, 1 + num_decoded)
    seconds = whole.seconds - first.seconds
    if seconds <= 0:
        raise MeasureError("the clock did not move while decoding.", remedy="set decode higher")
    decoded = whole.ids[ids_1L.shape[1] + 1 :]
    prompt_bytes = len(lm.tokenizer.decode(prompt_1L[0]).encode())
    decoded_bytes = len(lm.tokenizer.decode(decoded).encode())
    prefill, spent = prompt_1L.shape[1], first.seconds
    return [
        _record("first_token_seconds", item, spent, 1.0, better="lower", unit="s"),
        _record(
            "prefill_tokens_per_second",
            item,
            prefill / spent,
            spent,
            better="higher",
            unit="tokens/s",
        ),
        _record(
            "prefill_bytes_per_second",
            item,
            prompt_bytes / spent,
            spent,
            better="higher",
            unit="bytes/s",
        ),
        _record(
            "decode_tokens_per_second",
            item,
            num_decoded / seconds,
            seconds,
            better="higher",
            unit="tokens/s",
        ),
        _record(
            "decode_bytes_per_second",
            item,
            decoded_bytes / seconds,
            seconds,
            better="higher",
            unit="bytes/s",
        ),
    ]


class _Generated:
    """ids of prompt and continuation, and the wall time in seconds."""

    def __init__(self, ids: list[int], seconds: float) -> None:
        self.ids = ids
        self.seconds = seconds


def _generate(lm: Any, ids_1L: Any, num_new: int) -> _Generated:
    """Greedy, exactly `num_new` tokens: an end token early would flatter the rate."""
    import torch

    _synchronise(ids_1L.device)
    started = time.perf_counter()
    with torch.inference_mode():
        ids = lm.model.generate(
            ids_1L,
            attention_mask=torch.ones_like(ids_1L),
            max_new_tokens=num_new,
            min_new_tokens=num_new,
            do_sample=False,
            pad_token_id=0,
        )
    _synchronise(ids_1L.device)
    return _Generated(ids[0].tolist(), time.perf_counter() - started)


def _synchronise(device: Any) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_memory_bytes() -> float:
    """Of the device's allocator on a GPU, of the whole process on a CPU (ru_maxrss is in KiB)."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def _record(
    metric: str, item: str, value: float, weight: float, *, better: Better, unit: str
) -> Record:
    return Record(
        task="throughput",
        metric=metric,
        item=item,
        value=value,
        weight=weight,
        better=better,
        unit=unit,
    )
