"""``pyr compare BASELINE CANDIDATE...``."""

from __future__ import annotations

import argparse

from pyr.cli import show
from pyr.pipeline import assess_and_report, read_gate
from pyr.store import Store


def run(options: argparse.Namespace) -> int:
    """Compare two stored runs; with ``--gate`` judge. Several candidates count as their mean."""
    gate = read_gate(options.gate) if options.gate else None
    store = Store(options.store)
    baseline = store.run(options.baseline)
    *others, last = [store.run(each) for each in options.candidate]
    outcome = assess_and_report(store, last, baseline, gate, mean_with=others, apart=True)
    return show(outcome, as_json=options.json)
