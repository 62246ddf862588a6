"""Fast against stock lm-eval in one process, request by request: ``make parity``.

    python tests/bench/parity.py CHECKPOINT --datasets MIRROR [--tasks a,b] [--limit 20]

Stock is HFLM with `logits_cache=False` (its cache scores wrongly where two requests share a text
but split it at different points). Prints a line a task. A request that differs by more than
2e-5 + 1e-6 |LL| is scored again by stock in float64, to see which of the two is off: stock itself
moves by more than that between batch sizes on some requests. Exits with 1 if the fast engine is
farther than that from float64, or any greedy flag, ranking or task metric differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from tasks_asked import Asked, asked_tasks, open_both, stock

DEFAULT_TASKS = (
    "arc_easy,arc_challenge,hellaswag,sciq,commonsense_qa,copa,boolq,lambada_openai,"
    "mmlu_anatomy,mmlu_virology_continuation,blimp_causative,blimp_npi_present_2"
)


@dataclass(frozen=True)
class Seen:
    requests: int
    largest: float
    largest_likelihood: float
    over: Sequence[int]
    """Requests beyond the tolerance."""
    flips: int
    rankings: int
    metrics: int

    @property
    def same(self) -> bool:
        return not (self.flips or self.rankings or self.metrics)


@dataclass(frozen=True)
class Disputed:
    asked: Asked
    request: int
    fast: float
    stock: float


def compare(asked: Asked, fast: Sequence[Any], reference: Sequence[Any]) -> Seen:
    rolling = asked.kind == "loglikelihood_rolling"
    ours, theirs = _values(fast), _values(reference)
    difference = np.abs(ours - theirs)
    flips = 0 if rolling else sum(a[1] != b[1] for a, b in zip(fast, reference, strict=True))
    by_item: dict[Any, list[int]] = {}
    for index, instance in enumerate(asked.instances):
        by_item.setdefault(instance.doc_id, []).append(index)
    rankings = sum(
        not np.array_equal(np.argsort(-ours[rows], kind="stable"), _order(theirs[rows]))
        for rows in by_item.values()
    )
    changed = sum(
        _differ(a, b) for a, b in zip(asked.metrics(fast), asked.metrics(reference), strict=True)
    )
    return Seen(
        requests=len(ours),
        largest=float(difference.max()),
        largest_likelihood=float(np.abs(theirs).max()),
        over=np.flatnonzero(difference > _allowed(theirs)).tolist(),
        flips=flips,
        rankings=rankings,
        metrics=changed,
    )


def _allowed(values: np.ndarray) -> np.ndarray:
    return 2e-5 + 1e-6 * np.abs(values)


def _values(answers: Sequence[Any]) -> np.ndarray:
    return np.asarray([each[0] if isinstance(each, tuple) else each for each in answers])


def settle(disputed: Sequence[Disputed], exact: Any) -> bool:
    """Whether float64 bears out the fast engine in every dispute; a line for each."""
    borne_out = True
    for each in disputed:
        (truth,) = _values(each.asked.score(exact, [each.asked.instances[each.request]]))
        off = abs(each.fast - truth)
        borne_out &= bool(off <= _allowed(truth))
        print(
            f"  {each.asked.name} request {each.request}: float64 {truth:.7f}, "
            f"fast off by {off:.1e}, stock off by {abs(each.stock - truth):.1e}"
        )
    return borne_out


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--datasets", type=Path, required=True)
    parser.add_argument("--tasks", default=DEFAULT_TASKS)
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--fewshot", type=int, default=None)
    parser.add_argument("--chat", action="store_true")
    parser.add_argument("--batch-size", type=int, default=8, help="of stock")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    fast, reference, model = open_both(
        options.checkpoint, threads=options.threads, batch_size=options.batch_size
    )
    print(
        f"{'task':32} {'requests':>8} {'max|LL|':>9} {'max|dLL|':>9} {'over':>5} {'flags':>5} "
        f"{'ranks':>5} {'metrics':>7}"
    )
    same, disputed = True, []
    for asked in asked_tasks(
        options.tasks.split(","),
        mirror=options.datasets.resolve(),
        limit=options.limit,
        num_fewshot=options.fewshot,
        lm=fast,
        chat=options.chat,
    ):
        ours, theirs = asked.score(fast), asked.score(reference)
        seen = compare(asked, ours, theirs)
        same &= seen.same
        disputed += [
            Disputed(asked, index, _values(ours)[index], _values(theirs)[index])
            for index in seen.over
        ]
        print(
            f"{asked.name:32} {seen.requests:8} {seen.largest_likelihood:9.1f} "
            f"{seen.largest:9.2g} {len(seen.over):5} {seen.flips:5} "
            f"{seen.rankings:5} {seen.metrics:7}",
            flush=True,
        )
    if disputed:
        same &= settle(disputed, stock(model.double(), fast.tokenizer, 1, False))
    print("same" if same else "DIFFERENT")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
