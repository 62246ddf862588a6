"""Scoring speed of the fast engine beside stock lm-eval, in one process: ``make bench``.

    python tests/bench/bench_scoring.py CHECKPOINT --datasets MIRROR... [--tasks name:items:shots,]

Measured is process CPU time of the LM's method over ready-made requests, encoding included. Stock
is HFLM as installed (its logits cache on, freed memory returned to the system) at the best of batch
sizes 1, 8 and 32; then stock and fast alternate, and medians are printed, a table in Markdown.
`physics allows` is the ratio at equal efficiency: the floating-point operations of stock, padding
included, over the least that any engine needs for the same requests. `peak` is the best rate of a
matrix product of the model's own shapes, measured between the turns. `products alone` is what the
products of the model's body reach of it one after the other, `modules alone` what transformers'
own body of the model does, given one row of 1024 tokens and no head: more no engine can reach that
runs it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from tasks_asked import Asked, Entry, asked_tasks, open_both, return_freed_memory, stock

from pyr.engines.fast.lm import FastLM
from pyr.engines.fast.plan import Budget, arrange
from pyr.engines.fast.score import Shape, Work
from pyr.engines.loading import Loaded
from pyr.errors import DataMissing
from pyr.hardware import keep_freed_memory

DEFAULT_TASKS = (
    "mmlu_anatomy:12:5,arc_easy:24:0,arc_challenge:24:0,hellaswag:16:0,"
    "blimp_causative:48:0,lambada_openai:16:0,pyr_bpb_prose:12:0,piqa:32:0"
)
COLUMNS = (
    "task",
    "shots",
    "requests",
    "stock CPU s",
    "at batch",
    "fast CPU s",
    "ratio",
    "physics allows",
    "of unique-work limit",
    "fast GFLOP/s",
    "of peak",
    "products alone",
    "modules alone",
    "stock GFLOP/s",
)


@dataclass(frozen=True)
class Measured:
    stock_seconds: float
    stock_batch: int
    stock_flops: float
    fast_seconds: float
    flops: float
    least_flops: float
    peak: float
    products: float
    modules: float

    def row(self, asked: Asked) -> str:
        rate = self.flops / self.fast_seconds
        cells = (
            asked.name,
            asked.task.get_config("num_fewshot"),
            len(asked.instances),
            f"{self.stock_seconds:.2f}",
            self.stock_batch,
            f"{self.fast_seconds:.2f}",
            f"**{self.stock_seconds / self.fast_seconds:.2f}**",
            f"{self.stock_flops / self.least_flops:.2f}",
            f"{self.least_flops / self.flops:.3f}",
            f"{rate / 1e9:.1f}",
            f"{rate / self.peak:.2f}",
            f"{self.products / self.peak:.2f}",
            f"{self.modules / self.peak:.2f}",
            f"{self.stock_flops / self.stock_seconds / 1e9:.1f}",
        )
        return _line(cells)


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def measure(asked: Asked, model: Any, tokenizer: Any, options: argparse.Namespace) -> Measured:
    return_freed_memory()
    stocks = {size: stock(model, tokenizer, size, True) for size in options.batch_sizes}
    seconds = {size: clock(lambda lm=lm: asked.score(lm)) for size, lm in stocks.items()}
    best = min(seconds, key=seconds.__getitem__)
    budget = Budget(tokens=options.tokens) if options.tokens else None
    stock_seconds, fast_seconds = [seconds[best]], []
    peaks, products, modules = [], [], []
    for turn in range(options.repetitions):
        keep_freed_memory()
        # A new engine each time: nothing is kept from the turn before.
        fast = FastLM(Loaded(model, tokenizer), budget=budget)
        fast_seconds.append(clock(lambda fast=fast: asked.score(fast)))
        peaks.append(matrix_peak(model))
        products.append(products_rate(model))
        modules.append(modules_rate(model, fast.scorer.work.shape))
        return_freed_memory()
        if turn:
            stock_seconds.append(clock(lambda: asked.score(stocks[best])))
    work = fast.scorer.work
    return Measured(
        stock_seconds=statistics.median(stock_seconds),
        stock_batch=best,
        stock_flops=min(stock_flops(asked, fast, size) for size in options.batch_sizes),
        fast_seconds=statistics.median(fast_seconds),
        flops=work.flops,
        least_flops=work.least_flops,
        peak=statistics.median(peaks),
        products=statistics.median(products),
        modules=statistics.median(modules),
    )


def clock(act: Callable[[], Any]) -> float:
    started = time.process_time()
    act()
    return time.process_time() - started


def matrix_peak(model: Any) -> float:
    """The best rate of a matrix product of the model's own shapes, 512 rows, in FLOP/CPU s."""
    import torch

    shapes = {tuple(each.shape) for each in model.parameters() if each.ndim == 2}
    best = 0.0
    for rows, columns in shapes:
        if rows * columns > 4_000_000:
            continue
        left, right = torch.randn(512, columns), torch.randn(rows, columns)
        seconds = [
            clock(lambda: [torch.nn.functional.linear(left, right) for _ in range(20)])  # noqa: B023
            for _ in range(3)
        ]
        best = max(best, 20 * 2 * 512 * rows * columns / max(min(seconds), 1e-9))
    return best


def products_rate(model: Any) -> float:
    """The rate of all products of the model's body in their order, 1024 rows, in FLOP/CPU s."""
    import torch

    linears = [each.weight for each in model.base_model.modules() if _is_linear(each)]
    rows = {width: torch.randn(1024, width) for width in {each.shape[1] for each in linears}}

    def multiply() -> None:
        for each in linears:
            torch.nn.functional.linear(rows[each.shape[1]], each)

    with torch.inference_mode():
        seconds = min(clock(multiply) for _ in range(2))
    return 2 * 1024 * sum(each.numel() for each in linears) / seconds


def modules_rate(model: Any, shape: Shape) -> float:
    """The rate of the model's body over one row of 1024 tokens, in FLOP/CPU s."""
    import torch

    ids = torch.arange(1024)[None]
    pairs = 1024 * 1025 / 2
    with torch.inference_mode():
        seconds = min(
            clock(lambda: model.base_model(input_ids=ids, use_cache=False)) for _ in range(2)
        )
    return (1024 * shape.token + pairs * shape.pair) / seconds


def _is_linear(module: Any) -> bool:
    import torch

    return isinstance(module, torch.nn.Linear)


def stock_flops(asked: Asked, fast: FastLM, batch_size: int) -> float:
    """What HFLM computes for the same requests: padded rows, logits everywhere, whole squares.

    One-token continuations of one context are one row (its logits cache).
    """
    shape: Shape = fast.scorer.work.shape
    if asked.kind == "loglikelihood_rolling":
        rows = [window for each in asked.instances for window in _windows(fast, each.args[0])]
        batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    else:
        encoded = fast.encode_pairs([each.args for each in asked.instances])
        inputs = {(*context, *answer[:-1]) for _, context, answer in encoded}
        lengths = sorted((min(len(each), fast.max_length) for each in inputs), reverse=True)
        batches = [
            lengths[start : start + batch_size] for start in range(0, len(lengths), batch_size)
        ]
    total = 0.0
    for batch in batches:
        tokens = len(batch) * max(batch)
        total += tokens * (shape.token + shape.scored + shape.pair * max(batch))
    return total


def allowed(asked: Asked, fast: FastLM, batch_sizes: Sequence[int]) -> str:
    """What physics allows, counted without running anything; log-likelihoods alone."""
    encoded = fast.encode_pairs([each.args for each in asked.instances])
    requests = [fast._request(context, answer) for _, context, answer in encoded]
    work = Work(fast.scorer.work.shape)
    work.need(arrange(requests), 0)
    least = min(stock_flops(asked, fast, size) for size in batch_sizes)
    shots = asked.task.get_config("num_fewshot")
    cells = (asked.name, shots, len(requests), f"{least / work.least_flops:.2f}")
    return _line(cells)


def profile(asked: Asked, fast: FastLM) -> str:
    """Where the fast engine's time goes, by operation; a run before it does not count."""
    import torch

    keep_freed_memory()
    asked.score(FastLM(Loaded(fast.model, fast.tokenizer)))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        asked.score(FastLM(Loaded(fast.model, fast.tokenizer)))
    return str(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=24))


def _windows(fast: FastLM, text: str) -> Sequence[int]:
    length = len(fast.tok_encode(text))
    full, rest = divmod(length, fast.max_length)
    # The last window is filled up with tokens before it.
    return [fast.max_length] * (full + (rest > 0)) if full else [rest] * (rest > 0)


def asked_where_there(entry: Entry, mirrors: Sequence[Path], fast: FastLM) -> list[Asked]:
    """The tasks of the entry; none, and a line that says so, where no mirror has their data."""
    try:
        return list(asked_tasks(entry, mirrors=mirrors, lm=fast))
    except DataMissing as error:
        print(f"{entry.name} is not measured: {error.what}", file=sys.stderr)
        return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--datasets", type=Path, nargs="+", required=True)
    parser.add_argument("--tasks", default=DEFAULT_TASKS, help="name:items:shots, comma-separated")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=0, help="tokens a pack; 0 is the default")
    parser.add_argument(
        "--batch-sizes", type=lambda text: [int(n) for n in text.split(",")], default=[1, 8, 32]
    )
    parser.add_argument("--profile", action="store_true", help="only profile the fast engine")
    parser.add_argument("--count", action="store_true", help="only count what physics allows")
    options = parser.parse_args()
    fast, _, model = open_both(options.checkpoint, threads=options.threads)
    columns = ("task", "shots", "requests", "physics allows") if options.count else COLUMNS
    print(
        f"{options.checkpoint.name}, {options.threads} thread(s), "
        f"medians of {options.repetitions}:\n\n{_line(columns)}\n|"
        + " --- |"
        + " ---: |" * (len(columns) - 1),
        flush=True,
    )
    mirrors = [each.resolve() for each in options.datasets]
    for text in options.tasks.split(","):
        for asked in asked_where_there(Entry.read(text, 16, None), mirrors, fast):
            if options.profile:
                print(profile(asked, fast), flush=True)
                continue
            if options.count:
                print(allowed(asked, fast, options.batch_sizes), flush=True)
                continue
            print(measure(asked, model, fast.tokenizer, options).row(asked), flush=True)
    print()


if __name__ == "__main__":
    main()
