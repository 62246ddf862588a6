"""``pyr compare BASELINE CANDIDATE...``."""

from __future__ import annotations

import argparse

from pyr.cli.conclude import conclude, history_of, read_gate, show
from pyr.store import Store


def run(options: argparse.Namespace) -> int:
    """Compare two stored runs; with ``--gate`` judge. Several candidates count as their mean."""
    gate = read_gate(options.gate) if options.gate else None
    store = Store(options.store)
    baseline = store.run(options.baseline)
    *others, last = [store.run(each) for each in options.candidate]
    known = history_of(store, last)
    concluded = conclude(store, last, baseline, gate, mean_with=others, history=known, apart=True)
    return show(concluded, as_json=options.json)
