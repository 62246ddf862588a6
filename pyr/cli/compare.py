"""``pyr compare BASELINE CANDIDATE``."""

from __future__ import annotations

import argparse

from pyr.cli.conclude import conclude, read_gate, show
from pyr.store import Store


def run(options: argparse.Namespace) -> int:
    """Compare two stored runs; with ``--gate`` judge."""
    gate = read_gate(options.gate) if options.gate else None
    store = Store(options.store)
    baseline, candidate = store.run(options.baseline), store.run(options.candidate)
    return show(conclude(store, candidate, baseline, gate), as_json=options.json)
