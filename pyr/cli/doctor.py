"""``pyr doctor [CHECKPOINT]``: what a suite needs that is not here, before any minute is spent."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from pyr import content
from pyr.checkpoint import identify
from pyr.cli import USAGE
from pyr.cli.eval import local_mirror
from pyr.cli.options import settle
from pyr.probes import make_probe
from pyr.probes.needs import Need, of_probes
from pyr.schema import Suite

_ROOM_BYTES = 1_000_000_000
"""Records and bundles take some MB; the copies that `datasets` makes of the data, hundreds."""


def run(options: argparse.Namespace) -> int:
    """One line a thing that is missing; exit code 2 if one of them stops an evaluation."""
    suite_file = content.find(options.suite, kind="suite", folder="evals/suites")
    suite = settle(content.read(suite_file, Suite), "fast", options.set).suite
    checkpoint = identify(options.checkpoint) if options.checkpoint else None
    probes = [make_probe(spec) for spec in suite.probes]
    mirror = local_mirror(options.datasets or suite.datasets)
    needs = [*of_probes(probes, checkpoint, mirror), *_room(Path(options.store))]
    if options.json:
        print(json.dumps([asdict(need) for need in needs], indent=2))
    else:
        for need in needs:
            print(f"{'MISSING' if need.blocks else 'note   '}  {need.what}: {need.remedy}")
        if not any(need.blocks for need in needs):
            gone = "nothing that is missing stops" if needs else "nothing is missing for"
            print(f"{gone} suite {suite.name}")
    return USAGE if any(need.blocks for need in needs) else 0


def _room(store: Path) -> Iterator[Need]:
    """Disk space where the results go."""
    there = next(folder for folder in (store, *store.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if free < _ROOM_BYTES:
        yield Need(f"{free / 1e9:.1f} GB free at {there}", "free some, or name another --store")
