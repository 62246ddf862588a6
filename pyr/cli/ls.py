"""``pyr ls``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from pyr.store import Store


def run(options: argparse.Namespace) -> int:
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
