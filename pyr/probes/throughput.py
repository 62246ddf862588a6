"""The throughput probe: prefill and decode rate as llama-bench states them, first token, memory.

``pp512`` and ``tg128`` of llama-bench (llama.cpp, tools/llama-bench): a prompt of fixed length in
one pass, and single tokens from an empty cache on; fixed tokens, nothing is sampled, one warm-up
that does not count, then repetitions with their spread. Both at batch 1; decoding also at the batch
that decodes most. Rates are records with the value in tokens (or bytes) a second and the seconds as
weight, so that a task's score is sum(tokens) / sum(seconds).
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from pyr import content, hardware
from pyr.data.filters import read_shipped_passages
from pyr.engines import cache_keyword
from pyr.errors import MeasureError
from pyr.probes import Chunk, Subject
from pyr.schema import Direction, Kind, Record, Skipped, Strict

_TRIAL_STEPS = 4
_WORTH_IT = 1.1
"""A batch twice as large must decode this many times as much to be the better one."""


class ThroughputOptions(Strict):
    """Lengths in tokens."""

    prefill: int = Field(default=512, gt=1)
    decode: int = Field(default=128, gt=0)
    repetitions: int = Field(default=5, gt=1)
    largest_batch: int = Field(default=64, gt=0)
    """Where the search for the best batch ends; 1 does not search."""
    batch_decode: int = Field(default=16, gt=0)
    """Tokens that every row of the best batch decodes."""


class Throughput:
    """Times the model itself, on real prose."""

    def __init__(self, options: dict[str, Any], *, name: str) -> None:
        self.name = name
        self.options = content.check(options, ThroughputOptions, where=f"probe '{name}'")

    def writes(self) -> bool:
        """Nothing is generated."""
        return False

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
        longest = max(options.prefill, options.decode)
        if longest > subject.lm.max_length:
            reason = f"the model holds {subject.lm.max_length} tokens, {longest} are asked"
            yield Chunk(skipped=[Skipped(self.name, reason, missing=False)])
            return
        bench = _bench(subject.lm, longest)
        if isinstance(bench, str):
            yield Chunk(skipped=[Skipped(self.name, bench, missing=False)])
            return
        steps = options.repetitions + 2
        subject.progress(self.name, 0, steps)
        records = bench.peaks()
        bench.prefill(options.prefill)
        bench.decode(1, options.decode)
        for number in range(options.repetitions):
            subject.progress(self.name, 1 + number, steps)
            records += bench.prefill(options.prefill).records(str(number), bench)
            records += bench.decode(1, options.decode).records(str(number), bench)
        subject.progress(self.name, steps - 1, steps)
        best = bench.best_batch(options.largest_batch)
        for number in range(options.repetitions):
            found = bench.decode(best, options.batch_decode)
            records.append(found.rate(str(number), "decode_tokens_per_second_best_batch"))
        records.append(_record("best_batch", "0", float(best), 1.0, unit="rows"))
        records.append(
            _record(
                "peak_memory",
                "0",
                _peak_memory_bytes(),
                1.0,
                direction="lower",
                unit="bytes",
                kind="memory",
                exact=True,
            )
        )
        yield Chunk(records=records)
        subject.progress(self.name, steps, steps)


@dataclass(frozen=True, slots=True)
class Timed:
    """One pass, or one row of steps."""

    kind: str
    """prefill or decode."""
    rows: int
    tokens: int
    """Of every row."""
    num_bytes: int
    """Of the text that one row's tokens are."""
    seconds: float

    def rate(self, item: str, metric: str) -> Record:
        """Tokens a second over all rows."""
        value = self.rows * self.tokens / self.seconds
        return _record(metric, item, value, self.seconds, unit="tokens/s")

    def records(self, item: str, bench: Bench) -> list[Record]:
        """The rates, and their share of what the machine can do."""
        bytes_rate = self.rows * self.num_bytes / self.seconds
        found = [
            self.rate(item, f"{self.kind}_tokens_per_second"),
            _record(
                f"{self.kind}_bytes_per_second", item, bytes_rate, self.seconds, unit="bytes/s"
            ),
        ]
        if self.kind == "prefill":
            share = bench.flops(self.tokens) / self.seconds / bench.matrix_peak
            found.append(_record("prefill_matrix_share", item, share, self.seconds))
            found.append(
                _record("first_token_seconds", item, self.seconds, 1.0, direction="lower", unit="s")
            )
        else:
            share = bench.weight_bytes * self.tokens / self.seconds / bench.bandwidth
            found.append(_record("decode_bandwidth_share", item, share, self.seconds))
        return found


class Bench:
    """The model with its fixed tokens, on a machine whose peaks are known."""

    def __init__(self, lm: Any, length: int) -> None:
        """Measures the machine's peaks. Raises MeasureError if the texts are too short."""
        self.model = lm.model
        self.device = lm.model.device
        self.ids_L = _tokens(lm.tokenizer, length).to(self.device)
        self._tokenizer = lm.tokenizer
        self.matrix_peak = hardware.matrix_peak(self.device, lm.model.dtype)
        self.bandwidth = hardware.memory_bandwidth(self.device)
        head = lm.model.get_output_embeddings().weight
        self._body = _num_parameters(lm.model) - _num_embedding(lm.model)
        self.weight_bytes = (self._body + head.numel()) * head.element_size()
        """Read at every decoding step: everything but the rows of the input embedding."""

    def peaks(self) -> list[Record]:
        """What the machine did at best."""
        return [
            _record("matrix_peak", "0", self.matrix_peak, 1.0, unit="FLOP/s", kind="machine"),
            _record("memory_bandwidth", "0", self.bandwidth, 1.0, unit="bytes/s", kind="machine"),
        ]

    def flops(self, length: int) -> float:
        """Operations of a prefill: 2 a weight and token, and causal attention.

        Kaplan et al. 2020, arXiv 2001.08361, table 1; the head is asked for the last token alone.
        """
        config = self.model.config.get_text_config()
        attention = 2 * config.num_hidden_layers * config.hidden_size * length
        head = 2 * self.model.get_output_embeddings().weight.numel()
        return float(length * (2 * self._body + attention) + head)

    def prefill(self, length: int) -> Timed:
        """One pass over a prompt, up to its first new token."""
        import torch

        ids_1L = self.ids_L[None, :length]
        with torch.inference_mode():
            hardware.synchronise(self.device)
            began = time.perf_counter()
            out = self.model(ids_1L, use_cache=True, logits_to_keep=1)
            int(out.logits[0, -1].argmax())
            hardware.synchronise(self.device)
            return self._timed("prefill", 1, length, time.perf_counter() - began)

    def decode(self, rows: int, length: int) -> Timed:
        """Single tokens from an empty cache on, `rows` at a time."""
        import torch
        from transformers import DynamicCache

        ids_BL = self.ids_L[None, :length].expand(rows, -1)
        with torch.inference_mode():
            cache = DynamicCache(config=self.model.config)
            keyword = cache_keyword(self.model)
            hardware.synchronise(self.device)
            began = time.perf_counter()
            for place in range(length):
                step_B1 = ids_BL[:, place : place + 1]
                self.model(step_B1, **{keyword: cache}, use_cache=True, logits_to_keep=1)
            hardware.synchronise(self.device)
            return self._timed("decode", rows, length, time.perf_counter() - began)

    def best_batch(self, largest: int) -> int:
        """The batch that decodes most tokens a second, doubled for as long as it is worth it."""
        import torch

        best, rows, most = 1, 1, 0.0
        while rows <= largest:
            try:
                self.decode(rows, 1)
                found = self.decode(rows, _TRIAL_STEPS)
            except torch.OutOfMemoryError:
                break
            rate = rows * found.tokens / found.seconds
            if rate < most * _WORTH_IT:
                break
            best, most, rows = rows, rate, 2 * rows
        return best

    def _timed(self, kind: str, rows: int, length: int, seconds: float) -> Timed:
        if seconds <= 0:
            raise MeasureError(f"the clock did not move in {kind}.", remedy="ask for more tokens")
        num_bytes = len(self._tokenizer.decode(self.ids_L[:length]).encode())
        return Timed(kind, rows, length, num_bytes, seconds)


def _bench(lm: Any, length: int) -> Bench | str:
    """The bench of the model, or why it cannot be timed as decoders are.

    Models without keys and values, and types whose forward is older than transformers' common
    one, are not driven a token at a time here.
    """
    if lm.backend != "causal":
        return "an encoder-decoder is not timed"
    try:
        bench = Bench(lm, length)
        bench.prefill(_TRIAL_STEPS)
        bench.flops(_TRIAL_STEPS)
        bench.decode(1, 2)
    except (RuntimeError, ValueError, TypeError, AttributeError, LookupError) as error:
        return f"{type(lm.model).__name__} cannot be timed a token at a time: {error}"
    return bench


def _tokens(tokenizer: Any, length: int) -> Any:
    """ids_L: `length` tokens of the shipped texts."""
    import torch

    text = " ".join(text for document in read_shipped_passages() for text in document.pieces)
    ids = tokenizer.encode(text, add_special_tokens=False)[:length]
    if len(ids) < length:
        raise MeasureError(f"the shipped texts hold {len(ids)} tokens, fewer than {length}.")
    return torch.tensor(ids)


def _num_parameters(model: Any) -> int:
    """Each tensor once, however many names it has."""
    return sum(parameter.numel() for parameter in model.parameters())


def _num_embedding(model: Any) -> int:
    """Of the input embedding and the output head, once if they are tied."""
    ends = (model.get_input_embeddings().weight, model.get_output_embeddings().weight)
    tied = ends[0] is ends[1]
    return int(ends[0].numel() if tied else ends[0].numel() + ends[1].numel())


def _peak_memory_bytes() -> float:
    """Of the device's allocator on a GPU, of the whole process on a CPU (ru_maxrss is in KiB)."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def _record(
    metric: str,
    item: str,
    value: float,
    weight: float,
    *,
    direction: Direction = "higher",
    unit: str = "",
    kind: Kind = "speed",
    exact: bool = False,
) -> Record:
    return Record(
        task="throughput",
        metric=metric,
        item=item,
        value=value,
        weight=weight,
        direction=direction,
        unit=unit,
        kind=kind,
        exact=exact,
    )
