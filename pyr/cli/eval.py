"""``pyr eval`` and ``pyr-eval``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from pyr import content
from pyr.checkpoint import identify
from pyr.cli.conclude import conclude, read_gate, show
from pyr.cli.progress import shown
from pyr.cli.settings import settle
from pyr.engines.resident import Resident
from pyr.errors import DataMissing, UsageError
from pyr.evaluate import Conditions, evaluate
from pyr.schema import Checkpoint, Run, Suite
from pyr.store import Store


def run(options: argparse.Namespace) -> int:
    """Evaluate every checkpoint named, then conclude on each; the worst exit code counts."""
    if options.json and len(options.checkpoint) > 1:
        raise UsageError("--json takes one checkpoint.", remedy="evaluate them one at a time")
    suite_file = content.find(options.suite, kind="suite", folder="evals/suites")
    settled = settle(content.read(suite_file, Suite), options.engine, options.set)
    gate = read_gate(options.gate)
    store = Store(options.store)
    conditions = Conditions(
        settings=settled.engine,
        mirror=_mirror(options.datasets or settled.suite.datasets),
        skip_missing=options.skip_missing,
        opener=Resident(),
    )
    checkpoints = [identify(path, allow_pickle=options.allow_pickle) for path in options.checkpoint]
    baseline = _baseline(options, settled.suite, store, conditions)
    runs = [measure(each, settled.suite, store, conditions) for each in checkpoints]
    concluded = [
        conclude(store, each, baseline, gate, history=_history(store, each)) for each in runs
    ]
    return max((show(each, as_json=options.json) for each in concluded), key=[0, 3, 1].index)


def measure(checkpoint: Checkpoint, suite: Suite, store: Store, conditions: Conditions) -> Run:
    """`evaluate` with its progress shown on stderr."""
    with shown(f"{checkpoint.name} under suite {suite.name}") as seen:
        seen_here = replace(conditions, progress=seen.progress, say=seen.say)
        return evaluate(checkpoint, suite, store, seen_here)


def _mirror(folder: str) -> Path | None:
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise DataMissing(
            f"no mirror of data sets at {folder}.", remedy=f"lay one: pyr datasets mirror {folder}"
        )
    # lm-eval would read a relative path as a hub name.
    return Path(folder).resolve()


def _baseline(
    options: argparse.Namespace, suite: Suite, store: Store, conditions: Conditions
) -> Run | None:
    """The run to compare with: a checkpoint is evaluated like the candidate, else a stored run."""
    if options.baseline is None:
        return None
    path = Path(options.baseline)
    if path.exists() and not (path / "run.json").is_file():
        checkpoint = identify(path, allow_pickle=options.allow_pickle)
        return measure(checkpoint, suite, store, conditions)
    return store.run(options.baseline)


def _history(store: Store, candidate: Run) -> list[Run]:
    """Finished runs of the same suite and engine, for the trajectory."""
    return [
        run
        for run in store.runs()
        if run.finished
        and run.suite_digest == candidate.suite_digest
        and run.engine == candidate.engine
    ]
