"""The last few checkpoints as one candidate.

The mean of k checkpoints' scores has a k-th of their noise (arXiv 2508.13144), for k evaluations.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from pyr.errors import MeasureError
from pyr.schema import Run
from pyr.store import Results

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
