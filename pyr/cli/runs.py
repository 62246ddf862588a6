"""``pyr ls``, ``pyr compare BASELINE CANDIDATE...`` and ``pyr report RUN... -o FILE``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from pyr.cli import show
from pyr.errors import UsageError
from pyr.pipeline import assess_and_report, read_gate
from pyr.store import Store


def ls(options: argparse.Namespace) -> int:
    """List the stored runs, oldest first."""
    runs = Store(options.store).runs()
    if options.json:
        print(json.dumps([asdict(each) for each in runs], indent=2, sort_keys=True))
        return 0
    if not runs:
        print(f"no runs in {options.store}")
    for each in runs:
        state = "finished" if each.finished else "UNFINISHED"
        if any(skipped.missing for skipped in each.skipped):
            state = "INCOMPLETE"
        print(f"{each.id}  {state}  {each.suite}  {each.engine}  {each.started}")
    return 0


def compare(options: argparse.Namespace) -> int:
    """Compare two stored runs; with ``--gate`` judge. Several candidates count as their mean."""
    gate = read_gate(options.gate) if options.gate else None
    store = Store(options.store)
    baseline = store.run(options.baseline)
    *others, last = [store.run(each) for each in options.candidate]
    outcome = assess_and_report(store, last, baseline, gate, mean_with=others, apart=True)
    return show(outcome, as_json=options.json)


def report(options: argparse.Namespace) -> int:
    """One report of the last run against the first, with the trajectory of all of them."""
    place = Path(options.output)
    file = place / "report.html" if place.is_dir() else place
    if file.suffix not in (".html", ".htm"):
        raise UsageError(
            f"-o {options.output}: the report is one HTML file.",
            remedy="name it so: -o report.html (report.md and verdict.json go beside it)",
        )
    gate = read_gate(options.gate) if options.gate else None
    store = Store(options.store)
    runs = [store.run(reference) for reference in options.runs]
    outcome = assess_and_report(
        store,
        runs[-1],
        runs[0] if len(runs) > 1 else None,
        gate,
        history=runs,
        output=file,
    )
    return show(outcome, as_json=options.json)
