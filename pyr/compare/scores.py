"""One run's records -> an estimate for every task and group."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pandas as pd

from pyr.compare.limits import half_width
from pyr.compare.statistics import (
    ENOUGH_ALIKE,
    Codes,
    Floats,
    Spread,
    graded,
    ratio,
    shares,
    spread,
)
from pyr.errors import MeasureError
from pyr.schema import Direction, Estimate, Kind, Run, Shares
from pyr.store import Results

Positions = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Items:
    """The items of one measure in one run: arrays of equal length.

    Keys, documents, prompts and answers are numbers that mean the same in every run; -1 for an
    unstated document or prompt. Clusters are numbered within their run.
    """

    keys: Codes
    values: Floats
    weights: Floats
    clusters: Codes
    documents: Codes
    prompts: Codes
    answers: Codes
    """Log-likelihoods, to the last digit; -1 for other answers."""

    def take(self, positions: Positions) -> Items:
        """The items at these positions."""
        return Items(
            self.keys[positions],
            self.values[positions],
            self.weights[positions],
            self.clusters[positions],
            self.documents[positions],
            self.prompts[positions],
            self.answers[positions],
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run says of one measure; `items` is None for a published mean."""

    direction: Direction
    unit: str
    group: str
    kind: Kind = "score"
    exact: bool = False
    """Health checks and bytes are counted, not sampled, so that there is no error."""
    estimate: Estimate | None = None
    items: Items | None = None
    fault: str = ""
    """Why there is no estimate."""


_USED = [
    "task",
    "metric",
    "item",
    "value",
    "weight",
    "cluster",
    "direction",
    "unit",
    "group",
    "doc_hash",
    "prompt_hash",
    "responses",
    "kind",
    "exact",
]

Measures = dict[tuple[str, str], Measured]
"""By task (or group) and metric."""


def estimate(records: pd.DataFrame) -> Estimate:
    """The score of one measure's records: weighted mean, and its clustered standard error.

    records: rows of one task and metric. Records without a cluster are each their own. `se` is
    infinite for one item or one cluster, and 0 for what is exact: a census.
    Raises MeasureError if there are no records, or naming the item that is not a finite number.
    """
    if records.empty:
        raise MeasureError("there are no records to take a mean of.")
    items = _encode(records)
    measured = _measure(records, np.arange(len(records)), items)
    if measured.estimate is None:
        name = f"{records['task'].iat[0]}/{records['metric'].iat[0]}"
        raise MeasureError(
            f"{name}: {measured.fault}.",
            remedy="a model with broken weights has no score: look at the health checks",
        )
    return measured.estimate


_SCORED: WeakKeyDictionary[Results, Measures] = WeakKeyDictionary()
"""Results are never changed, and one report compares a run with many others."""


def scores(results: Results, asked: Mapping[str, Sequence[int]] | None = None) -> Measures:
    """Every measure of a run, computed once; where there are records, published means are ignored.

    Each group has one pooled measure per metric, a mean over all its items: its clusters are its
    tasks, unless records name their own.
    asked: items asked and items there are by task, where that of another run counts: of two runs in
    stages one says what an item of a group stands for.
    Raises MeasureError if a run holds the same item of a measure twice.
    """
    if asked and asked != results.run.asked:
        return _score_run(results, asked)
    if results not in _SCORED:
        _SCORED[results] = _score_run(results, results.run.asked)
    return _SCORED[results]


def _score_run(results: Results, asked: Mapping[str, Sequence[int]]) -> Measures:
    found: Measures = dict(_published(results.aggregates))
    if results.records.empty:
        return found
    records = results.records[_USED]
    # Grouping by a few categories takes half the time of grouping by texts.
    records = records.astype(dict.fromkeys(["task", "metric", "group", "cluster"], "category"))
    items = _encode(records)
    for task, metric, rows in _slices(records, "task"):
        found[task, metric] = _measure(records, rows, items.take(rows))
    pooled = _pool(records, items)
    if asked:
        pooled = dataclasses.replace(pooled, weights=pooled.weights * _sampled(records, asked))
    for group, metric, rows in _slices(records, "group"):
        if group and group not in records["task"].cat.categories:
            found[group, metric] = _measure(records, rows, pooled.take(rows))
    return found


def _slices(
    records: pd.DataFrame, column: Literal["task", "group"]
) -> Iterator[tuple[str, str, Positions]]:
    """Name, metric and the positions of the rows, for each task or group and metric."""
    slices = records.groupby([column, "metric"], observed=True, sort=False).indices
    for key, rows in slices.items():
        name, metric = cast(tuple[str, str], key)
        yield name, metric, np.asarray(rows)


def _published(aggregates: pd.DataFrame) -> Iterator[tuple[tuple[str, str], Measured]]:
    for row in aggregates.to_dict("records"):
        measured = Measured(row["direction"], row["unit"], row["group"])
        n = 0 if pd.isna(row["n"]) else int(row["n"])
        # A published error of 0 says only that all items agreed.
        se = row["se"] if not pd.isna(row["se"]) and 0 < row["se"] < np.inf else np.inf
        if np.isfinite(row["value"]):
            value = float(row["value"])
            right = _of_right_answers(row["metric"], value, n) and np.isfinite(se)
            exact = Shares(value, None, n) if right else None
            found = Estimate(value, float(se), n, clusters=0, shares=exact)
            measured = dataclasses.replace(measured, estimate=found)
        else:
            measured = dataclasses.replace(measured, fault="the published value is not finite")
        yield (row["task"], row["metric"]), measured


def _of_right_answers(metric: str, value: float, n: int) -> bool:
    """Whether a published score is k right answers of n, so that its limits can be exact."""
    named = metric.partition(",")[0].startswith(("acc", "exact_match"))
    whole = n > 1 and 0 <= value <= 1 and abs(value * n - round(value * n)) < 1e-6 * n
    return named and whole


def _encode(records: pd.DataFrame) -> Items:
    """The records as arrays. Texts become numbers that mean the same in every run: 63-bit hashes.

    A cluster is only told from the others of its own run, so that it is numbered, not hashed.
    """
    clusters = pd.factorize(records["cluster"])[0].astype(np.int64)
    alone = (records["cluster"] == "").to_numpy(dtype=bool)
    places = np.arange(len(records))
    scored = records["responses"].str.startswith("[[").to_numpy(dtype=bool)
    return Items(
        keys=_hashed(records["task"]) ^ _mixed(_hashed(records["item"])),
        values=records["value"].to_numpy(dtype=np.float64),
        weights=records["weight"].to_numpy(dtype=np.float64),
        clusters=np.where(alone, places, len(records) + clusters),
        documents=_stated(records["doc_hash"]),
        prompts=_stated(records["prompt_hash"]),
        answers=np.where(scored, _hashed(records["responses"]), -1),
    )


def _hashed(texts: pd.Series) -> Codes:
    """A number from 0 for each text, the same in every run (SipHash with a fixed key)."""
    codes, uniques = pd.factorize(texts)
    hashes = pd.util.hash_array(np.asarray(uniques, dtype=object), categorize=False)
    return (hashes >> np.uint64(1)).astype(np.int64)[codes]


def _mixed(codes: Codes) -> Codes:
    """Other numbers, so that a task and an item of the same name do not cancel each other."""
    return (codes * 3 + 1) & np.int64(2**63 - 1)


def _stated(texts: pd.Series) -> Codes:
    """The same, -1 for an empty text."""
    return np.where((texts == "").to_numpy(dtype=bool), -1, _hashed(texts))


def _pool(records: pd.DataFrame, items: Items) -> Items:
    """The same items, those without a cluster clustered by their task.

    The items of a group's only task stay apart: one cluster would have no standard error.
    """
    kinds = records.groupby("group", observed=True)["task"].transform("nunique")
    by_task = ((records["cluster"] == "") & (kinds > 1)).to_numpy(dtype=bool)
    tasks = pd.factorize(records["task"])[0].astype(np.int64)
    # Negative, so that no task is taken for a cluster that records name.
    return dataclasses.replace(items, clusters=np.where(by_task, -1 - tasks, items.clusters))


def _sampled(records: pd.DataFrame, asked: Mapping[str, Sequence[int]]) -> Floats:
    """How many items of its task each record stands for, where a run in stages asked only some.

    What all items of a group would give: of a task of 6,000 and one of 100 items 32 were asked.
    """
    factors = {task: total / n for task, (n, total) in asked.items() if n}
    found = records["task"].astype(str).map(factors).fillna(1.0)
    return np.asarray(found, dtype=np.float64)


def _measure(records: pd.DataFrame, rows: Positions, items: Items) -> Measured:
    first = records.iloc[rows[0]]
    measured = Measured(
        first["direction"], first["unit"], str(first["group"]), first["kind"], bool(first["exact"])
    )
    _refuse_twins(records, rows, items)
    broken = ~(np.isfinite(items.values) & np.isfinite(items.weights) & (items.weights >= 0))
    if broken.any():
        item = records["item"].iat[rows[np.argmax(broken)]]
        fault = f"{broken.sum()} of {len(rows)} values are not finite numbers (first: item {item})"
        return dataclasses.replace(measured, fault=fault)
    if not items.weights.any():
        return dataclasses.replace(measured, fault="all weights are zero")
    found = _score(items, census=measured.exact, aggregate=measured.kind == "aggregate")
    return dataclasses.replace(measured, estimate=found, items=items)


def _score(items: Items, *, census: bool, aggregate: bool) -> Estimate:
    found = ratio(items.values, items.weights)
    error = spread(items.clusters, found)
    n = len(items.values)
    if census:
        return Estimate(found.mean, 0.0, n, error.clusters)
    plain = estimated(found.mean, error, n)
    if aggregate:
        # Its values are of groups, on whatever scale: they are no grades, whatever they look like.
        unknown = error.se == 0 and error.effective < ENOUGH_ALIKE
        return dataclasses.replace(plain, se=float(np.inf)) if unknown else plain
    if not (np.isfinite(error.se) and graded(items.values)):
        return plain
    counted = shares(items.values, items.weights, items.clusters, error, paired=False)
    return with_shares(plain, counted)


def estimated(value: float, error: Spread, n: int) -> Estimate:
    """The value with its error; `effective` where clusters do not weigh the same."""
    uneven = error.effective < error.clusters * (1 - 1e-9)
    effective = error.effective if uneven else None
    return Estimate(value, error.se, n, error.clusters, skew=error.skew, effective=effective)


def with_shares(estimate: Estimate, found: Shares) -> Estimate:
    """The estimate with exact limits, and the standard error that goes with them."""
    return dataclasses.replace(estimate, se=half_width(found), skew=0.0, shares=found)


def _refuse_twins(records: pd.DataFrame, rows: Positions, items: Items) -> None:
    _, first = np.unique(items.keys, return_index=True)
    if len(first) == len(rows):
        return
    twin = rows[np.setdiff1d(np.arange(len(rows)), first)[0]]
    task, metric, item = (str(records[name].iat[twin]) for name in ("task", "metric", "item"))
    raise MeasureError(
        f"{task}/{metric}: item {item} is recorded twice in one run.",
        remedy="records of one run must differ in task, metric or item",
    )


# ------------------------------------------------------------------ the last few checkpoints as one
# The mean of k checkpoints' scores has a k-th of their noise (arXiv 2508.13144), for k evaluations.


_KEY = ["task", "metric", "item"]
_AVERAGE_OF = "average_of"
"""The key of `Run.environment` that lists the runs a mean is made of."""


def averaged(run: Run) -> int:
    """How many checkpoints a run stands for."""
    return max(1, len(run.environment.get(_AVERAGE_OF, ())))


def average_of(run: Run) -> tuple[str, ...]:
    """The runs that a mean is made of; empty for a run of one checkpoint."""
    return tuple(run.environment.get(_AVERAGE_OF, ()))


def average(runs: Sequence[Results]) -> Results:
    """The mean of several checkpoints' results, item by item; the last one gives its name.

    A value is sum(value * weight) / sum(weight) over the runs, a weight the mean of theirs; of a
    health check the worst counts. Raises MeasureError unless all were asked the same.
    """
    if not runs:
        raise MeasureError("there is nothing to take a mean of.")
    if len(runs) == 1:
        return runs[0]
    last = runs[-1].run
    counts = Counter(each.run.id for each in runs)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise MeasureError(
            "a mean of checkpoints has one of them twice.",
            where=", ".join(sorted(twice)),
            remedy="name each once: repeating one takes away no noise",
        )
    if len({each.run.suite_digest for each in runs}) > 1:
        raise MeasureError(
            "the runs to take a mean of were asked different suites.",
            where=", ".join(each.run.id for each in runs),
            remedy="evaluate all of them under one suite",
        )
    return Results(_run(runs), _records(runs), _aggregates(runs, last.id))


def _run(runs: Sequence[Results]) -> Run:
    whole = [each.run for each in runs]
    last = whole[-1]
    digest = hashlib.sha256("".join(run.checkpoint.digest for run in whole).encode()).hexdigest()
    name = f"{last.checkpoint.name} (mean of {len(runs)})"
    checkpoint = dataclasses.replace(last.checkpoint, name=name, digest=digest, digests={})
    skipped = dict.fromkeys(skip for run in whole for skip in run.skipped)
    return dataclasses.replace(
        last,
        id=f"{last.id}--mean-of-{len(runs)}",
        checkpoint=checkpoint,
        environment={**last.environment, _AVERAGE_OF: [run.id for run in whole]},
        skipped=tuple(skipped),
        finished=last.finished if all(run.finished for run in whole) else "",
    )


def _records(runs: Sequence[Results]) -> pd.DataFrame:
    """One record an item; refuses items that only some hold, or that were asked differently."""
    stacked = pd.concat([each.records for each in runs], ignore_index=True)
    if stacked.empty:
        return runs[-1].records
    stacked["total"] = stacked["value"] * stacked["weight"]
    by_item = stacked.groupby(_KEY, sort=False)
    counts = by_item.size()
    asked = by_item[["doc_hash", "prompt_hash"]].nunique().max(axis=1)
    odd = counts.index[(counts != len(runs)) | (asked > 1)]
    if len(odd):
        task, metric, item = odd[0]
        raise MeasureError(
            f"{task}/{metric}: item {item} is not the same in all {len(runs)} runs.",
            remedy="take a mean of runs that are complete, of one suite and one tokenizer",
        )
    sums = by_item[["total", "weight", "value"]].agg(
        {"total": "sum", "weight": "sum", "value": "min"}
    )
    worst = stacked.loc[by_item["value"].idxmin()].set_index(_KEY)
    found = runs[-1].records.set_index(_KEY)
    check = found["kind"] == "check"
    mean = (sums["total"] / sums["weight"]).where(sums["weight"] > 0, sums["value"])
    found["value"] = mean.where(~check, sums["value"]).reindex(found.index)
    found["weight"] = (sums["weight"] / len(runs)).reindex(found.index)
    found["responses"] = worst["responses"].reindex(found.index).where(check, "")
    return found.reset_index()[list(runs[-1].records.columns)]


def _aggregates(runs: Sequence[Results], last: str) -> pd.DataFrame:
    """Published means of all runs; their errors, as if the items erred alike each time."""
    stacked = pd.concat([each.aggregates for each in runs], ignore_index=True)
    if stacked.empty:
        return runs[-1].aggregates
    by_measure = stacked.groupby(["task", "metric"], sort=False)
    if (by_measure.size() != len(runs)).any():
        raise MeasureError(f"not every published score of {last} stands in all {len(runs)} runs.")
    found = runs[-1].aggregates.set_index(["task", "metric"])
    means = by_measure[["value", "se"]].mean().reindex(found.index)
    found[["value", "se"]] = means
    return found.reset_index()[list(runs[-1].aggregates.columns)]
