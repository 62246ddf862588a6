"""What guessing would score: below it there is nothing to lose, and nothing to keep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pandas as pd

from pyr.schema import Comparison


def chances(documents: pd.DataFrame, comparisons: Sequence[Comparison]) -> dict[str, float]:
    """By measure, for accuracies: the mean of 1 / number of choices, 0 where none is offered.

    documents: as `Store.documents` gives them. A group's chance is that of all its items; where
    only some of them have choices it is not known.
    """
    if documents.empty:
        return {}
    counted = documents["choices"].map(lambda written: len(json.loads(written)) if written else 0)
    share = (1 / counted.where(counted > 1)).rename("share")
    groups = {row.task: row.group for row in comparisons if row.group}
    by_task = _means(documents["task"], share)
    named = documents["task"].map(lambda task: groups.get(task, ""))
    by_group = _means(named, share)
    known: Mapping[str, float] = {**by_group, **by_task}
    return {
        row.measure: known[row.task]
        for row in comparisons
        if row.metric.partition("_")[0] == "acc" and row.task in known
    }


def _means(names: pd.Series, shares: pd.Series) -> dict[str, float]:
    means = shares.groupby(names).agg(
        lambda values: 0.0 if values.isna().all() else values.mean(skipna=False)
    )
    return {str(name): float(mean) for name, mean in means.items() if mean == mean}
