"""``pyr gate check``, ``pyr gate verify`` and ``pyr gate accept``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from pyr import content
from pyr.cli import EXIT_CODES, show
from pyr.compare import phase_history
from pyr.errors import StoreError, UsageError
from pyr.gate import accept, as_json, read_verdict, verify
from pyr.gate.power import Check, Resolution, check, from_history, from_limits, remedy
from pyr.gate.spec import Gate, Verdict
from pyr.pipeline import assess_and_report, read_gate, write_aside
from pyr.schema import State, Suite
from pyr.store import Store


def run(options: argparse.Namespace) -> int:
    """Hold a gate against a suite or a verdict against its records, or overrule a verdict."""
    handlers = {"check": _check, "verify": _verify, "accept": _accept}
    return handlers[options.action](options)


def _check(options: argparse.Namespace) -> int:
    """Exit code 0 if every margin can be resolved, 1 if one cannot, 3 if one is not known."""
    if options.suite is None:
        raise UsageError("a gate is checked against a suite.", remedy="name it with --suite")
    gate = read_gate(options.name)
    suite = content.read(content.find(options.suite, kind="suite", folder="evals/suites"), Suite)
    checks = check(gate, resolutions(gate, suite, Store(options.history or options.store)))
    state = _state(checks)
    if options.json:
        print(json.dumps([asdict(each) for each in checks], indent=2, sort_keys=True))
        return EXIT_CODES[state]
    for each in checks:
        print(_line(each))
    words = {"pass": "RESOLVES", "fail": "REFUSED", "unclear": "UNKNOWN"}
    print(f"{words[state]}  gate {gate.name} under suite {suite.name}")
    return EXIT_CODES[state]


def resolutions(gate: Gate, suite: Suite, store: Store) -> dict[str, Resolution]:
    """What is known of every measure: from the newest training in the store, else from items."""
    from pyr.evaluate import suite_digest
    from pyr.probes.needs import clusters

    before = from_limits(suite, gate, clusters(suite))
    digest = suite_digest(suite)
    runs = [run for run in store.runs() if run.finished and run.suite_digest == digest]
    if not runs:
        return before
    newest = store.results(runs[-1])
    same = [store.results(run) for run in runs if run.engine == runs[-1].engine]
    return {**before, **from_history(phase_history(newest, same))}


def _state(checks: Sequence[Check]) -> State:
    said = {each.said for each in checks}
    if "cannot resolve" in said:
        return "fail"
    return "unclear" if "unknown" in said else "pass"


def _line(each: Check) -> str:
    head = f"{each.said:<14}  {each.measure} {each.rule}"
    if each.finest is None:
        return f"{head}  (never measured: give runs of this suite with --history)"
    basis = f"{head}  (n={each.n}, no finer than {each.finest:.2g}; {each.source})"
    return f"{basis}\n{'':16}{remedy(each)}" if each.said == "cannot resolve" else basis


def _file(options: argparse.Namespace) -> Path:
    file = Path(options.name)
    return file / "verdict.json" if file.is_dir() else file


def _gate_of(verdict: Verdict, name: str | None) -> Gate:
    """The gate named, else the one that the verdict holds."""
    return read_gate(name) if name else verdict.definition or read_gate(verdict.gate)


def _accept(options: argparse.Namespace) -> int:
    """Overrule the verdict, and write it and its report again; exit code 0: training may go on."""
    file = _file(options)
    verdict = read_verdict(file)
    store = Store(options.store)
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    write_aside(file.parent, {file.name: as_json(accept(verdict, options.reason, when))})
    *others, last = [store.run(part) for part in verdict.means.get(verdict.run, (verdict.run,))]
    outcome = assess_and_report(
        store,
        last,
        store.run(verdict.baseline) if verdict.baseline else None,
        _gate_of(verdict, options.gate),
        mean_with=others,
        output=file.with_name("report.html"),
    )
    if outcome.verdict is None or outcome.verdict.accepted is None:
        write_aside(file.parent, {file.name: as_json(verdict)})
        raise StoreError(
            "the records no longer say what the verdict says: it cannot be overruled.",
            where=str(file),
            remedy=f"see what differs: pyr gate verify {file}",
        )
    return show(outcome, as_json=options.json)


def _verify(options: argparse.Namespace) -> int:
    """Exit code 0 if the records say what the verdict says, else 1."""
    file = _file(options)
    verdict = read_verdict(file)
    differences = verify(verdict, _gate_of(verdict, options.gate), Store(options.store))
    if options.json:
        print(json.dumps({"verdict": str(file), "differences": differences}, indent=2))
    else:
        for line in differences:
            print(line)
        word = "DIFFERS" if differences else "VERIFIED"
        overruled = f"; accepted: {verdict.accepted.reason}" if verdict.accepted else ""
        print(f"{word}  {verdict.state.upper()} of {verdict.run}{overruled}  {file}")
    return 1 if differences else 0
