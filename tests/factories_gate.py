"""Gates of one rule, and their verdicts, for the tests of the gate."""

from __future__ import annotations

import dataclasses

import numpy as np
from factories_stats import published, records, results

from pyr.compare import compare
from pyr.gate import judge
from pyr.schema import Aggregate, Gate, Rule


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
