"""Turn lm-eval's metrics into records, and back into lm-eval's aggregates for the check.

A record's task score is sum(value * weight) / sum(weight). A metric that is no weighted mean of
its items, or a fixed function of one (F1, MCC, corpus BLEU), has no paired standard error and is
refused when the suite is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pyr.errors import ContentError, MeasureError
from pyr.schema import Direction


@dataclass(frozen=True, slots=True)
class Measured:
    """One item's value and weight under one metric."""

    value: float
    weight: float


@dataclass(frozen=True, slots=True)
class Aggregation:
    """How one of lm-eval's aggregation functions becomes a weighted mean of items."""

    metric: Callable[[str], str]
    """lm-eval's metric name -> ours; different where the scale is."""
    item: Callable[[Any], Measured]
    """What process_results returned for one document -> value and weight."""
    score: Callable[[float], float]
    """Our weighted mean -> lm-eval's aggregate."""
    direction: Direction | None = None
    """Set where the change of scale also turns the direction."""
    unit: str = ""


def _same(name: str) -> str:
    return name


def _log(name: str) -> str:
    return f"log_{name}"


AGGREGATIONS: dict[str, Aggregation] = {
    "mean": Aggregation(_same, lambda raw: Measured(float(raw), 1.0), float),
    # exp(-mean log-likelihood): paired on the log scale, in nats a target.
    "perplexity": Aggregation(
        _log, lambda raw: Measured(-float(raw), 1.0), math.exp, "lower", "nats"
    ),
    # exp(-sum ll / sum words or bytes): nats a word or byte.
    "weighted_perplexity": Aggregation(
        _log, lambda raw: Measured(-raw[0] / raw[1], raw[1]), math.exp, "lower", "nats"
    ),
    "bits_per_byte": Aggregation(
        _same,
        lambda raw: Measured(-raw[0] / raw[1] / math.log(2), raw[1]),
        float,
        "lower",
        "bits/byte",
    ),
    # IFEval, instruction level: a list of followed-or-not for every prompt.
    "agg_inst_level_acc": Aggregation(
        _same, lambda raw: Measured(sum(raw) / len(raw), float(len(raw))), float
    ),
}


def aggregations(task: Any, name: str) -> dict[str, Aggregation]:
    """The aggregation of every metric of an lm-eval task.

    Raises ContentError for a metric that is no weighted mean of items.
    """
    found: dict[str, Aggregation] = {}
    for metric, function in task.aggregation().items():
        known = AGGREGATIONS.get(getattr(function, "__name__", ""))
        if known is None:
            label = getattr(function, "__name__", repr(function))
            raise ContentError(
                f"metric '{metric}' of task '{name}' cannot be used: its aggregate ({label}) is no "
                "mean of items, so that two checkpoints cannot be compared in pairs.",
                remedy=f"set metric_list for {name} in the suite to metrics with aggregation: mean",
            )
        found[metric] = known
    return found


def check_aggregate(
    task: str, metric: str, aggregation: Aggregation, function: Any, raw: Sequence[Any]
) -> None:
    """Raise MeasureError if our weighted mean differs from lm-eval's aggregate by over 1e-6.

    The tolerance is relative for values over 1, as perplexities are.
    """
    items = [aggregation.item(value) for value in raw]
    mean = sum(item.value * item.weight for item in items) / sum(item.weight for item in items)
    ours, theirs = aggregation.score(mean), float(function(list(raw)))
    if not math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-6):
        raise MeasureError(
            f"{task}/{metric}: the records give {ours}, lm-eval's aggregate is {theirs}.",
            remedy="this is a fault of Pyr or a changed lm-eval: please report it",
        )
