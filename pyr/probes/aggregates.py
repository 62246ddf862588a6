"""Metrics that are no mean of items: lm-eval's own aggregate, and its error by a jackknife.

F1, Matthews' correlation, corpus BLEU and the like are functions of all items at once. Their error
is that of a delete-a-group jackknife: the items are dealt into G groups, the aggregate is computed
without each of them, and se^2 = (G - 1) / G * sum over g of (theta_(g) - mean)^2 (Shao & Tu 1995,
The Jackknife and Bootstrap, 2.3; Kott 2001, Journal of Official Statistics 17). Whole groups are
left out as that also serves aggregates that are not smooth, such as a median (Shao & Wu 1989,
Annals of Statistics 17).

Every item of group g is given the value theta + (G - 1) (mean - theta_(g)), and all groups the
same weight. The weighted mean of these values is theta, and the clustered standard error of that
mean (`pyr.compare.statistics.spread`) is the jackknife's, of one run and of a paired difference
alike: the groups are the same for every checkpoint.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

GROUPS = 100
"""As many groups as items or clusters, at the most so many."""
_MOST_SECONDS = 900.0
"""What the jackknife may take: some tasks' aggregates ask another model about every item."""


@dataclass(frozen=True, slots=True)
class Influence:
    """What one item contributes: a value, a weight, and the group it is left out with."""

    value: float
    weight: float
    group: str


def groups_of(order: Sequence[str], clusters: Mapping[str, str]) -> dict[str, int]:
    """Deal items into groups in the suite's fixed random order; a cluster stays together.

    clusters: by item; empty for an item that stands alone.
    """
    units: dict[str, int] = {}
    return {
        item: units.setdefault(clusters[item] or f"\0{item}", len(units)) % GROUPS for item in order
    }


def influences(
    aggregate: Callable[[list[Any]], Any], raws: Mapping[str, Any], groups: Mapping[str, int]
) -> dict[str, Influence] | None:
    """Every item's influence on the aggregate; None if the aggregate is no number.

    raws: what process_results gave, by item. Where the aggregate fails or is no number without one
    of the groups, where it takes too long, or there is one group only, all items are one group: the
    error is not known.
    """
    start = time.monotonic()
    whole = _number(aggregate, list(raws.values()))
    if whole is None:
        return None
    unknown = {item: Influence(whole, 1.0, "all") for item in raws}
    members: dict[int, list[str]] = {}
    for item in raws:
        members.setdefault(groups[item], []).append(item)
    of_some = _from_sentences(aggregate, raws, whole)
    if of_some is None:
        if (time.monotonic() - start) * len(members) > _MOST_SECONDS:
            return unknown

        def of_some(items: Sequence[str]) -> float | None:
            return _number(aggregate, [raws[item] for item in items])

    left = {}
    for group in members:
        others = [item for item in raws if groups[item] != group]
        value = of_some(others) if others else None
        if value is None or not math.isfinite(value):
            return unknown
        left[group] = value
    count, mean = len(left), float(np.mean(list(left.values())))
    found: dict[str, Influence] = {}
    for group, items in members.items():
        value = whole + (count - 1) * (mean - left[group])
        weight = len(raws) / count / len(items)
        found |= {item: Influence(value, weight, str(group)) for item in items}
    return {item: found[item] for item in raws}


def _from_sentences(
    aggregate: Callable[[list[Any]], Any], raws: Mapping[str, Any], whole: float
) -> Callable[[Sequence[str]], float | None] | None:
    """For lm-eval's BLEU, chrF and TER: the score of some items, from sums over sentences.

    TER of 1,000 sentences takes a minute, and would be computed a hundred times. None for another
    aggregate, or where these sums do not give lm-eval's score of all items.
    """
    from lm_eval.api import metrics
    from sacrebleu.metrics import BLEU, CHRF, TER

    known = {metrics.bleu: BLEU, metrics.chrf: CHRF, metrics.ter: TER}
    if aggregate is metrics.chrfpp:
        metric: Any = CHRF(word_order=2)
    elif aggregate in known:
        metric = known[aggregate]()
    else:
        return None
    references, answers = metrics._sacreformat(*zip(*raws.values(), strict=True))
    counts = metric._extract_corpus_statistics(answers, references)
    by_item = dict(zip(raws, counts, strict=True))

    def of_some(items: Sequence[str]) -> float:
        return float(metric._aggregate_and_compute([by_item[item] for item in items]).score)

    return of_some if math.isclose(of_some(list(raws)), whole, abs_tol=1e-9) else None


def _number(aggregate: Callable[[list[Any]], Any], raws: list[Any]) -> float | None:
    """The aggregate of these items; None if it cannot be had, or is no number."""
    try:
        return float(aggregate(raws))
    # A task's own code, run on fewer items than it may expect, can raise anything.
    except Exception:
        return None
