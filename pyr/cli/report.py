"""``pyr report RUN... -o FILE``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pyr.cli import show
from pyr.errors import UsageError
from pyr.pipeline import assess_and_report, read_gate
from pyr.store import Store


def run(options: argparse.Namespace) -> int:
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
