"""``pyr noise CHECKPOINT...``: the smallest difference worth reading."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

from pyr import content
from pyr.checkpoint import identify
from pyr.cli.eval import local_mirror
from pyr.cli.options import settle
from pyr.cli.progress import shown
from pyr.compare.noise import Jitter, jitter
from pyr.errors import UsageError
from pyr.evaluate import Conditions, evaluate
from pyr.schema import Checkpoint, Suite
from pyr.store import Results, Store

_DTYPES = ("float32", "bfloat16")


def run(options: argparse.Namespace) -> int:
    """Measure the last checkpoint under other arithmetic, and the neighbours under the same."""
    checkpoints = [identify(path) for path in options.checkpoint]
    suite_file = content.find(options.suite, kind="suite", folder="evals/suites")
    settled = settle(content.read(suite_file, Suite), options.engine, options.set)
    if settled.engine.batch_size < 2:
        raise UsageError("a batch size of 1 has no smaller one.", remedy="--set batch_size=8")
    plain = Conditions(
        settings=settled.engine.resolved(),
        mirror=local_mirror(options.datasets or settled.suite.datasets),
        shown=shown,
    )
    root = Path(options.store)

    def results(checkpoint: Checkpoint, conditions: Conditions, folder: Path) -> Results:
        store = Store(folder)
        return store.results(evaluate(checkpoint, settled.suite, store, conditions))

    neighbours = [results(each, plain, root) for each in checkpoints]
    variants = {}
    for conditions in _variants(plain):
        folder = root / "noise" / conditions.how.replace(" ", "-")
        variants[conditions.how] = results(checkpoints[-1], conditions, folder)
    found = jitter(neighbours[-1], variants, neighbours)
    if options.json:
        print(json.dumps([asdict(each) for each in found], indent=2, sort_keys=True))
    else:
        for each in found:
            print(_line(each))
        print(f"NOISE  {checkpoints[-1].name} under suite {settled.suite.name}")
    return 0


def _variants(plain: Conditions) -> list[Conditions]:
    """The same settings but for the batch size, and but for the number format.

    A run's identity does not hold the batch size, so that each goes to a store of its own.
    """
    settings = plain.settings
    other = next(dtype for dtype in _DTYPES if dtype != settings.dtype)
    double = 2 * settings.batch_size
    changed = {
        "batch size 1": replace(settings, batch_size=1),
        f"batch size {double}": replace(settings, batch_size=double),
        other: replace(settings, dtype=other),
    }
    return [replace(plain, settings=each, how=how) for how, each in changed.items()]


def _line(found: Jitter) -> str:
    parts = [f"{name} {delta:.2g}" for name, delta in found.arithmetic.items()]
    if found.neighbours is not None:
        of = f", noise of {found.checkpoints} checkpoints in it" if found.checkpoints else ""
        parts.append(f"neighbours \u00b1{found.neighbours:.2g}{of}")
    return f"{found.measure}  smallest {found.smallest:.2g}  ({', '.join(parts)})"
