"""``pyr bisect GOOD BAD --rule R``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pyr import content
from pyr.checkpoint import identify
from pyr.cli.eval import measure
from pyr.compare import compare, lineage
from pyr.errors import UsageError
from pyr.evaluate import Conditions
from pyr.gate import judge
from pyr.gate.bisect import bisect, read_rule
from pyr.report.outline import title
from pyr.schema import Run, State, Suite
from pyr.store import Store


@dataclass(frozen=True, slots=True)
class _Stop:
    """A checkpoint on the way, whose run may have to be made first."""

    name: str
    run: Callable[[], Run]


def run(options: argparse.Namespace) -> int:
    """Find the first checkpoint between GOOD and BAD that fails the rule."""
    gate = read_rule(options.rule)
    store = Store(options.store)
    way = _way(options, store)
    good = store.results(way[0].run())

    def state(position: int) -> State:
        found = store.results(way[position].run())
        return judge(gate, found, good, compare(found, good)).findings[0].state

    turn = bisect(len(way), state)
    before, after = way[turn.last_good].run(), way[turn.first_bad].run()
    between = turn.first_bad - turn.last_good - 1
    if options.json:
        found = {
            "rule": options.rule,
            "last_good": before.id,
            "first_bad": after.id,
            "between": between,
            "judged": turn.asked,
            "checkpoints": len(way),
        }
        print(json.dumps(found, indent=2))
        return 0
    print(f"last that passes:  {title(before)}")
    if between:
        print(f"unclear:           {between} between them")
    print(f"first that fails:  {title(after)}")
    sentence = judge(gate, store.results(after), good, compare(store.results(after), good))
    print(f"{sentence.findings[0].sentence}")
    print(f"FOUND  {after.id}  ({turn.asked} of {len(way)} checkpoints judged)")
    return 0


def _way(options: argparse.Namespace, store: Store) -> list[_Stop]:
    """From the good to the bad checkpoint, by step: folders beside them, or stored runs."""
    good, bad = Path(options.good), Path(options.bad)
    if (good / "config.json").is_file() and (bad / "config.json").is_file():
        return _folders(options, store, good, bad)
    return _stored(store, store.run(options.good), store.run(options.bad))


def _stored(store: Store, good: Run, bad: Run) -> list[_Stop]:
    start, end = good.checkpoint.step, bad.checkpoint.step
    if start is None or end is None or start >= end:
        raise UsageError(
            "the bad checkpoint does not come after the good one.",
            where=f"steps {start} and {end}",
            remedy="name the earlier one first; both must know their step",
        )
    between = [
        each
        for each in store.runs()
        if each.finished
        and not each.asked
        and (each.suite_digest, each.engine) == (good.suite_digest, good.engine)
        and lineage(each.checkpoint) == lineage(good.checkpoint)
        and start < (each.checkpoint.step or 0) < end
    ]
    between.sort(key=lambda each: each.checkpoint.step or 0)
    return [_Stop(each.id, partial(store.run, each.id)) for each in (good, *between, bad)]


def _folders(options: argparse.Namespace, store: Store, good: Path, bad: Path) -> list[_Stop]:
    """Checkpoint folders beside the two, evaluated when they are asked for."""
    siblings = sorted(
        (folder for folder in good.resolve().parent.glob("checkpoint-*") if _step(folder)),
        key=_step,
    )
    if bad.resolve() not in siblings or good.resolve() not in siblings:
        raise UsageError(
            "the two checkpoints are not of one training.",
            where=f"looked for checkpoint-N folders in: {good.resolve().parent}",
            remedy="name two of its checkpoint-N folders, or two stored runs",
        )
    first, last = siblings.index(good.resolve()), siblings.index(bad.resolve())
    if first >= last:
        raise UsageError("the bad checkpoint does not come after the good one.")
    suite_file = content.find(options.suite, kind="suite", folder="evals/suites")
    suite = content.read(suite_file, Suite)
    conditions = Conditions(mirror=Path(options.datasets).resolve() if options.datasets else None)

    def evaluated(folder: Path) -> Run:
        return measure(identify(folder), suite, store, conditions)

    return [_Stop(folder.name, partial(evaluated, folder)) for folder in siblings[first : last + 1]]


def _step(folder: Path) -> int:
    number = folder.name.rpartition("-")[2]
    return int(number) if number.isdigit() and (folder / "config.json").is_file() else 0
