"""``pyr eval`` and ``pyr-eval``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from pyr import content
from pyr.checkpoint import identify
from pyr.cli import show
from pyr.cli.options import Settled, budget, settle
from pyr.cli.progress import shown
from pyr.compare import same_question
from pyr.engines.model_reuse import ModelReuse
from pyr.errors import DataMissing, UsageError
from pyr.evaluate import Conditions, evaluate
from pyr.gate import read_verdict
from pyr.gate.spec import Gate
from pyr.pipeline import VERDICT, assess_and_report, read_gate
from pyr.refresh import refreshed
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
        mirror=local_mirror(options.datasets or settled.suite.datasets),
        skip_missing=options.skip_missing,
        models=ModelReuse(),
        shown=shown,
    )
    checkpoints = [identify(path, allow_pickle=settled.allow_pickle) for path in options.checkpoint]
    baseline = _baseline(options, settled, store, conditions)
    runs = [
        evaluate(each, settled.suite, store, _in_stages(options, each, gate, baseline, conditions))
        for each in checkpoints
    ]
    outcomes = []
    for each in runs:
        outcomes.append(assess_and_report(store, each, baseline, gate))
        _say_what_stands(store.folder(each), outcomes[-1].html)
    return max((show(each, as_json=options.json) for each in outcomes), key=[0, 3, 1].index)


def local_mirror(folder: str | None) -> Path | None:
    """The mirror at `folder`, None if none is named. Raises DataMissing if it is not there."""
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise DataMissing(
            f"no mirror of data sets at {folder}.", remedy=f"lay one: pyr datasets mirror {folder}"
        )
    # lm-eval would read a relative path as a hub name.
    return Path(folder).resolve()


def _baseline(
    options: argparse.Namespace, settled: Settled, store: Store, conditions: Conditions
) -> Run | None:
    """The run to compare with: a checkpoint is evaluated like the candidate, else a stored run."""
    if options.baseline is None:
        return None
    path = Path(options.baseline)
    if path.exists() and not (path / "run.json").is_file():
        checkpoint = identify(path, allow_pickle=settled.allow_pickle)
        return evaluate(checkpoint, settled.suite, store, conditions)
    found = refreshed(store.run(options.baseline), settled.suite, store, conditions)
    if found.said:
        print(found.said, file=sys.stderr)
    return found.run


def _say_what_stands(folder: Path, html: Path) -> None:
    """Name the verdict that the run's folder keeps, where this report is a second one beside it."""
    standing = folder / VERDICT
    if html.parent == folder or not standing.is_file():
        return
    verdict = read_verdict(standing)
    against = f" against {verdict.baseline}" if verdict.baseline else ""
    print(
        f"{verdict.state.upper()} by gate {verdict.gate}{against} stands: {standing}\n"
        f"  this report is a second one beside it: {html}",
        file=sys.stderr,
    )


def _in_stages(
    options: argparse.Namespace,
    checkpoint: Checkpoint,
    gate: Gate,
    baseline: Run | None,
    conditions: Conditions,
) -> Conditions:
    """The conditions, with the stages of a budget if one is given."""
    if options.budget is None:
        return conditions
    store = Store(options.store)
    history = same_question(baseline, store.runs()) if baseline else []
    place = Path(checkpoint.path)
    plan = budget(options.budget, place, gate, baseline, store=store, history=history)
    return replace(conditions, budget=plan)
