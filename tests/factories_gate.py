"""Gates of one rule, and their verdicts, for the tests of the gate."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
from factories_stats import published, records, results

from pyr.compare import compare
from pyr.gate import judge
from pyr.gate.sequential import Budget
from pyr.gate.spec import Gate, Rule
from pyr.schema import Aggregate
from pyr.store import Results


def a_gate(*rules, **changes):
    """A gate whose rules stand as guards, where every word may stand."""
    return Gate(name="gate", guards=[Rule(**rule) for rule in rules], **changes)


def verdict(rule, candidate, baseline=None, **changes):
    return judge(a_gate(rule, **changes), candidate, baseline, compare(candidate, baseline))


def finding(rule, candidate, baseline=None, **changes):
    (only,) = verdict(rule, candidate, baseline, **changes).findings
    return only


def mean(value, se, task="arc", metric="acc", **columns):
    """A published score, so that a test can say exactly what is known."""
    return published(Aggregate(task, metric, value, se, **columns))


KEEP = {"measure": "arc/acc", "not_worse_by": 0.02}


def sure(name="run", **run):
    """A run that passes KEEP against itself, if nothing stands in the way."""
    values = np.linspace(0, 2, 60)
    return results(records(values, doc_hash="d", prompt_hash="p"), name=name, **run)


def asked(candidate, **columns):
    return dataclasses.replace(candidate, records=candidate.records.assign(**columns))


def replay_in_stages(judge, whole, orders):
    """What a stored run would have asked, had it been made in stages without a limit of time.

    orders: the items of every task in the order they are asked. What does not stand there (health,
    throughput) is there from the first stage on.
    """
    place = {
        (task, item): number for task, items in orders.items() for number, item in enumerate(items)
    }
    keys = zip(whole.records["task"], whole.records["item"], strict=True)
    places = pd.Series([place.get(key, -1) for key in keys], index=whole.records.index)
    budget = Budget(judge, "replay")
    asked: dict[str, tuple[int, int]] = {}
    while True:
        for task, items in orders.items():
            asked[task] = (min(budget.wanted(task), len(items)), len(items))
        limits = whole.records["task"].map({task: n for task, (n, _) in asked.items()})
        taken = whole.records[places < limits.fillna(math.inf)]
        run = dataclasses.replace(whole.run, asked=dict(asked))
        so_far = Results(run, taken, whole.aggregates)
        if not budget.more(so_far):
            return so_far
