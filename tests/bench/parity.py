"""Fast against stock lm-eval in one process, request by request: ``make parity``.

    python tests/bench/parity.py CHECKPOINT --datasets MIRROR [--tasks a,group:items,b:items:shots]

Stock is HFLM with `logits_cache=False` (its cache scores wrongly where two requests share a text
but split it at different points); answers in words are asked of it one at a time. Prints a line a
task or group, a table in Markdown. A request that differs by more than 2e-5 + 1e-6 |LL| is scored
again by stock in float64, and with it 64 others of its task: stock itself is off by more than that
on some requests. Exits with 1 if a request is farther from float64 than that and four times stock's
own rounding (root of the mean square over the 64), or the fast engine's rounding is over 1.5 times
stock's over all tasks so scored, or any greedy flag, ranking, text or task metric differs.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from tasks_asked import RANDOM, Asked, Entry, asked_tasks, open_both, stock

SCORED = (
    "arc_easy,arc_challenge,hellaswag,sciq,commonsense_qa,copa,boolq,lambada_openai,sst2,mrpc,"
    "mmlu:6,mmlu_continuation:2,blimp:5,pyr_bpb_prose:3"
)
"""Groups have items for each of their tasks: 38 subjects of MMLU and 44 paradigms of BLiMP."""

GENERATED = "gsm8k:4,hendrycks_math500:4,ifeval:8,bbh_zeroshot:1"

HEADER = (
    "| task | shots | items | requests | max LL | max difference | over | flags | ranks | metrics "
    "| texts | stock CPU s | fast CPU s |\n" + "| --- " + "| ---: " * 12 + "|"
)


@dataclass
class Seen:
    """What differed in a task, or in all tasks of a group."""

    shots: set[int] = field(default_factory=set)
    items: int = 0
    requests: int = 0
    largest: float = 0.0
    largest_likelihood: float = 0.0
    over: int = 0
    """Requests beyond the tolerance."""
    flags: int = 0
    rankings: int = 0
    metrics: int = 0
    texts: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"stock": 0.0, "fast": 0.0})

    @property
    def same(self) -> bool:
        return not (self.flags or self.rankings or self.metrics or self.texts)

    def row(self, name: str) -> str:
        shots = "/".join(map(str, sorted(self.shots)))
        scores = ["", "", "", "", ""]
        if self.largest_likelihood:
            scores = [f"{self.largest_likelihood:.0f}", f"{self.largest:.1e}"]
            scores += [str(each) for each in (self.over, self.flags, self.rankings)]
        texts = "" if self.largest_likelihood else str(self.texts)
        times = [f"{self.seconds[each]:.0f}" for each in ("stock", "fast")]
        cells = [name, shots, self.items, self.requests, *scores, self.metrics, texts, *times]
        return "| " + " | ".join(map(str, cells)) + " |"


@dataclass(frozen=True)
class Disputed:
    """A task, its answers by both, and the requests beyond the tolerance."""

    asked: Asked
    fast: np.ndarray
    stock: np.ndarray
    over: Sequence[int]


def compare(seen: Seen, asked: Asked, fast: Sequence[Any], reference: Sequence[Any]) -> list[int]:
    """Add to `seen` what differs; the requests beyond the tolerance."""
    ours_by_metric, theirs_by_metric = asked.metrics(fast), asked.metrics(reference)
    seen.metrics += sum(map(_differ, ours_by_metric, theirs_by_metric))
    if asked.kind == "generate_until":
        seen.texts += sum(a != b for a, b in zip(fast, reference, strict=True))
        return []
    ours, theirs = _values(fast), _values(reference)
    if asked.kind == "loglikelihood":
        seen.flags += sum(a[1] != b[1] for a, b in zip(fast, reference, strict=True))
    by_item: dict[Any, list[int]] = {}
    for index, instance in enumerate(asked.instances):
        by_item.setdefault(instance.doc_id, []).append(index)
    seen.rankings += sum(
        not np.array_equal(_order(ours[rows]), _order(theirs[rows])) for rows in by_item.values()
    )
    difference = np.abs(ours - theirs)
    over = np.flatnonzero(difference > _allowed(theirs)).tolist()
    seen.largest = max(seen.largest, float(difference.max()))
    seen.largest_likelihood = max(seen.largest_likelihood, float(np.abs(theirs).max()))
    seen.over += len(over)
    return over


def _allowed(values: np.ndarray) -> np.ndarray:
    return 2e-5 + 1e-6 * np.abs(values)


def _values(answers: Sequence[Any]) -> np.ndarray:
    return np.asarray([each[0] if isinstance(each, tuple) else each for each in answers])


@dataclass(frozen=True)
class Settled:
    near: bool
    """Whether every disputed request lies where rounding of stock's size may put it."""
    fast_off: np.ndarray
    """Of the sampled requests, how far from float64."""
    stock_off: np.ndarray


def settle(disputed: Disputed, exact: Any) -> Settled:
    """What float64 says of a task; a line for the task, a line a request."""
    asked = disputed.asked
    others = random.Random(0).sample(range(len(asked.instances)), min(64, len(asked.instances)))
    chosen = [*others, *disputed.over]
    truth = _values(asked.score(exact, [asked.instances[each] for each in chosen]))
    fast, stock_off = (np.abs(values[chosen] - truth) for values in (disputed.fast, disputed.stock))
    count = len(others)
    ours, theirs = _rounding(fast[:count]), _rounding(stock_off[:count])
    print(f"- {asked.name}: off from float64 by {ours:.1e} (fast) and {theirs:.1e} (stock), r.m.s.")
    for number, request in enumerate(disputed.over, start=count):
        print(
            f"  - request {request}: {truth[number]:.7f}, fast off by {fast[number]:.1e}, "
            f"stock off by {stock_off[number]:.1e}",
            flush=True,
        )
    near = bool((fast[count:] <= _allowed(truth[count:]) + 4 * theirs).all())
    return Settled(near, fast[:count], stock_off[:count])


def bears_out(settled: Sequence[Settled]) -> bool:
    """Whether float64 bears out the fast engine over all disputed tasks; a line that says so.

    A task may have ten requests, whose rounding is known too badly to be judged alone.
    """
    ours = _rounding(np.concatenate([each.fast_off for each in settled]))
    theirs = _rounding(np.concatenate([each.stock_off for each in settled]))
    print(f"- all of these: off from float64 by {ours:.1e} (fast) and {theirs:.1e} (stock), r.m.s.")
    return all(each.near for each in settled) and ours <= 1.5 * theirs


def _rounding(off: np.ndarray) -> float:
    return float(np.sqrt((off**2).mean()))


def _order(values: np.ndarray) -> np.ndarray:
    return np.argsort(-values, kind="stable")


def _differ(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether a metric of an item differs; likelihoods inside a metric may differ by rounding."""
    for name, value in theirs.items():
        if not np.allclose(_numbers(ours[name]), _numbers(value), rtol=1e-6, atol=2e-5):
            return True
    return False


def _numbers(value: Any) -> np.ndarray:
    if isinstance(value, (tuple, list)):
        return np.concatenate([_numbers(each) for each in value]) if value else np.zeros(0)
    return np.asarray([float(value)]) if np.isscalar(value) else np.asarray(value, float).ravel()


def with_budgets(fast: Any, model: Any, budgets: Sequence[int]) -> list[Any]:
    """The fast engine by packs of so many tokens; the given one where none are named."""
    from pyr.engines.fast.lm import FastLM
    from pyr.engines.fast.plan import Budget
    from pyr.engines.loading import Loaded

    made = [
        FastLM(Loaded(model, fast.tokenizer), budget=Budget(tokens=tokens, scored=tokens))
        for tokens in budgets
    ]
    return made or [fast]


def timed(seen: Seen, who: str, asked: Asked, lm: Any) -> list[Any]:
    started = time.process_time()
    answers = asked.score(lm)
    seen.seconds[who] += time.process_time() - started
    return answers


def count(entries: Sequence[Entry], options: argparse.Namespace, fast: Any) -> int:
    """Print what each entry would cost: input tokens of its requests one by one."""
    for entry in entries:
        tokens = requests = 0
        for asked in asked_tasks(entry, mirrors=options.datasets, lm=fast, chat=options.chat):
            requests += len(asked.instances)
            texts = ["".join(map(str, each.args[:2])) for each in asked.instances]
            tokens += sum(len(ids) for ids in fast.encode(texts).values())
        print(f"{entry.name:28} {requests:6} requests {tokens:8} tokens", flush=True)
    return 0


def options_given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--datasets", type=Path, nargs="+", required=True)
    parser.add_argument("--tasks", default=f"{SCORED},{GENERATED}")
    parser.add_argument("--limit", type=int, default=20, help="items a task where none are named")
    parser.add_argument("--fewshot", type=int, default=None)
    parser.add_argument("--chat", action="store_true")
    parser.add_argument("--batch-size", type=int, default=8, help="of stock")
    parser.add_argument("--max-gen-toks", type=int, default=48)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--random", choices=sorted(RANDOM), default="", help="such a model instead")
    parser.add_argument("--budgets", type=int, nargs="*", default=[], help="tokens a pack; all run")
    parser.add_argument("--count", action="store_true", help="only count the tokens")
    options = parser.parse_args()
    options.datasets = [each.resolve() for each in options.datasets]
    return options


def main() -> int:
    options = options_given()
    names = options.tasks.split(",")
    entries = [Entry.read(each, options.limit, options.fewshot) for each in names]
    fast, reference, model = open_both(
        options.checkpoint,
        threads=options.threads,
        batch_size=options.batch_size,
        kind=options.random,
    )
    if options.count:
        return count(entries, options, fast)
    alone = stock(model, fast.tokenizer, 1, False)
    engines = with_budgets(fast, model, options.budgets)
    print(HEADER, flush=True)
    same, disputed = True, []
    for entry in entries:
        seen = Seen()
        for asked in asked_tasks(
            entry,
            mirrors=options.datasets,
            lm=fast,
            chat=options.chat,
            max_gen_toks=options.max_gen_toks,
        ):
            seen.shots.add(int(asked.task.get_config("num_fewshot") or 0))
            seen.items += asked.num_items
            seen.requests += len(asked.instances)
            said = asked.kind == "generate_until"
            theirs = timed(seen, "stock", asked, alone if said else reference)
            for engine in engines:
                ours = timed(seen, "fast", asked, engine)
                over = compare(seen, asked, ours, theirs)
                if over:
                    disputed.append(Disputed(asked, _values(ours), _values(theirs), over))
        same &= seen.same
        print(seen.row(entry.name), flush=True)
    if disputed:
        print()
        exact = stock(model.double(), fast.tokenizer, 1, False)
        same &= bears_out([settle(each, exact) for each in disputed])
    print("\nsame" if same else "\nDIFFERENT")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
