"""``pyr bisect GOOD BAD --rule R``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from pyr import content
from pyr.checkpoint import MARKER, identify, marked
from pyr.cli.eval import local_mirror
from pyr.cli.options import settle
from pyr.cli.progress import shown
from pyr.compare import axis_of, compare, phase_of, same_question
from pyr.engines.model_reuse import ModelReuse
from pyr.errors import UsageError
from pyr.evaluate import Conditions, evaluate, suite_digest
from pyr.gate import judge
from pyr.gate.bisect import bisect, narrowed, read_rule
from pyr.gate.spec import Finding, Rule
from pyr.report.outline import title
from pyr.schema import Axis, Checkpoint, Run, Suite
from pyr.store import Store


@dataclass(frozen=True, slots=True)
class _Stop:
    """A checkpoint on the way, whose run may have to be made first."""

    name: str
    runs: Callable[[], tuple[Run, Run]]
    """Its run, and the good checkpoint's that asked the same."""


def run(options: argparse.Namespace) -> int:
    """Find the first checkpoint between GOOD and BAD that fails the rule."""
    gate = read_rule(options.rule)
    store = Store(options.store)
    way = _way(options, gate.rules[0], store)

    @cache
    def judged(position: int) -> Finding:
        found, good = map(store.results, way[position].runs())
        verdict = judge(gate, found, good, compare(found, good))
        # A pattern is about several measures: the worst of them counts.
        return min(verdict.findings, key=lambda each: ("fail", "unclear", "pass").index(each.state))

    turn = bisect(len(way), judged)
    before, after = (way[each].runs()[0] for each in (turn.last_good, turn.first_bad))
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
    print(judged(turn.first_bad).sentence)
    print(f"FOUND  {after.id}  ({turn.asked} of {len(way)} checkpoints judged)")
    return 0


def _way(options: argparse.Namespace, rule: Rule, store: Store) -> list[_Stop]:
    """From the good to the bad checkpoint: folders, evaluated when asked for, or stored runs."""
    good, bad = Path(options.good).resolve(), Path(options.bad).resolve()
    if not ((good / "config.json").is_file() and (bad / "config.json").is_file()):
        return _stored(store, store.run(options.good), store.run(options.bad))
    suite_file = content.find(options.suite, kind="suite", folder="evals/suites")
    settled = settle(content.read(suite_file, Suite), options.engine, options.set)
    conditions = Conditions(
        settings=settled.engine,
        mirror=local_mirror(options.datasets or settled.suite.datasets),
        models=ModelReuse(),
        shown=shown,
    )

    suite, digest = settled.suite, suite_digest(settled.suite)
    settings = settled.engine.resolved()

    @cache
    def known(folder: Path) -> Checkpoint:
        return identify(folder, allow_pickle=settled.allow_pickle)

    @cache
    def whole() -> Run:
        """The good checkpoint under the whole suite, which tells what the rule needs of it."""
        return evaluate(known(good), suite, store, conditions)

    @cache
    def part(folder: Path) -> Run:
        needed = narrowed(suite, rule.measure, store.results(whole()))
        return evaluate(known(folder), needed, store, conditions)

    def runs(folder: Path) -> tuple[Run, Run]:
        found = known(folder)
        stored = store.find(found, digest, settings.label(found))
        return (stored, whole()) if stored else (part(folder), part(good))

    return [_Stop(each.name, partial(runs, each)) for each in _folders(good, bad)]


def _stored(store: Store, good: Run, bad: Run) -> list[_Stop]:
    """Runs of one phase, or of all phases of a training, under one suite."""
    across = good.checkpoint.phase != bad.checkpoint.phase
    axis = axis_of([good, bad])
    start, end = good.checkpoint.reached(axis), bad.checkpoint.reached(axis)
    if start is None or end is None or start >= end:
        raise UsageError(
            "the bad checkpoint does not come after the good one.",
            where=f"{axis} {start} and {end}",
            remedy=f"name the earlier one first; both must know their {axis}",
        )
    between = []
    for each in same_question(good, store.runs()):
        related = across or phase_of(each.checkpoint) == phase_of(good.checkpoint)
        inside = start < (each.checkpoint.reached(axis) or 0) < end
        if related and inside and not each.asked:
            between.append(each)
    between.sort(key=lambda each: each.checkpoint.reached(axis) or 0)
    return [_Stop(each.id, partial(_pair, each, good)) for each in (good, *between, bad)]


def _pair(run: Run, good: Run) -> tuple[Run, Run]:
    return run, good


def _folders(good: Path, bad: Path) -> list[Path]:
    """The checkpoints beside the two, or those of all phases between theirs, each place once."""
    phases = {good.parent, bad.parent}
    axis: Axis = "step"
    if len(phases) > 1:
        axis = "tokens"
        found = good.parent.parent.glob("*/*/" + MARKER)
        # An attempt that was laid aside bears another name than its phase.
        phases = {each.parents[1] for each in found if _phase(each.parent) == each.parts[-3]}
    beside = [each for phase in sorted(phases) for each in phase.glob("*") if _is_stop(each)]
    places: dict[int, Path] = {}
    for folder in (good, bad, *sorted(beside)):
        # A phase's result is its last checkpoint over again.
        places.setdefault(_reached(folder, axis) or 0, folder)
    start, end = _reached(good, axis), _reached(bad, axis)
    if not start or not end or {good.parent, bad.parent} - phases:
        raise UsageError(
            "the two checkpoints are not of one training.",
            where=f"looked beside: {good} and {bad}",
            remedy="name two checkpoint-N folders of one folder, two checkpoints of one "
            "`pyr train`, or two stored runs",
        )
    if start >= end:
        raise UsageError(
            "the bad checkpoint does not come after the good one.",
            where=f"{axis} {start} and {end}",
            remedy="name the earlier one first",
        )
    return [places[place] for place in sorted(places) if start <= place <= end]


def _is_stop(folder: Path) -> bool:
    named = folder.name.startswith("checkpoint-") or bool(marked(folder))
    return named and (folder / "config.json").is_file()


def _phase(folder: Path) -> str:
    return str(marked(folder).get("phase", ""))


def _reached(folder: Path, axis: Axis) -> int | None:
    """The step, or the tokens of all phases; None where nothing tells."""
    mark = marked(folder)
    if mark:
        return int(mark[axis])
    number = folder.name.rpartition("-")[2]
    return int(number) if axis == "step" and number.isdigit() else None
