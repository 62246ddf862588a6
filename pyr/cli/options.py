"""Read ``--set KEY=VALUE``: engine settings by name, suite options as PROBE.OPTION."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pyr import content
from pyr.engines import EngineSettings
from pyr.errors import UsageError, did_you_mean
from pyr.gate import assess
from pyr.gate.sequential import Budget
from pyr.gate.spec import Gate, Verdict
from pyr.schema import ProbeSpec, Run, Suite
from pyr.store import Results, Store
from pyr.training.order import LOG, read_log

_PICKLE = "allow_pickle"
_OF_HARNESS = ("run_code", "on_too_long")
"""Options of every harness probe at once."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Suite and engine settings after ``--set``."""

    suite: Suite
    engine: EngineSettings
    allow_pickle: bool
    """Load ``.bin`` and ``.pt`` weights too."""


def settle(suite: Suite, engine: str, assignments: Sequence[str]) -> Settled:
    """Apply the assignments: defaults < file < ``--set``. UsageError for a key nobody has."""
    settings: dict[str, Any] = {"engine": engine}
    raw = suite.model_dump()
    for assignment in assignments:
        _assign(*content.read_assignment(assignment), settings, raw)
    allow_pickle = settings.pop(_PICKLE, False)
    checked = content.check(raw, Suite, where="--set")
    return Settled(checked, EngineSettings(**settings), allow_pickle)


def _assign(key: str, value: Any, settings: dict[str, Any], raw: dict[str, Any]) -> None:
    engine_keys = {field.name: field.type for field in fields(EngineSettings)}
    probes = {ProbeSpec.model_validate(probe).label: probe for probe in raw["probes"]}
    name, dot, option = key.partition(".")
    if dot and name in probes:
        probes[name]["options"][option] = value
    elif key == "seed":
        raw["seed"] = value
    elif key in _OF_HARNESS:
        for probe in raw["probes"]:
            if probe["probe"] == "harness":
                probe["options"][key] = value
    elif key == _PICKLE:
        _check_type(key, value, "bool")
        settings[key] = value
    elif key in engine_keys and key != "engine":
        _check_type(key, value, str(engine_keys[key]))
        settings[key] = value
    else:
        known = [
            *engine_keys,
            _PICKLE,
            "seed",
            *_OF_HARNESS,
            *(f"{probe}.OPTION" for probe in probes),
        ]
        raise UsageError(
            f"--set {key}: unknown key.",
            remedy=did_you_mean(key, known) or f"keys: {', '.join(known)}",
        )


def _check_type(key: str, value: Any, expected: str) -> None:
    if type(value).__name__ != expected:
        raise UsageError(f"--set {key}={value}: not of type {expected}.")


_FORM = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|%)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(text: str, checkpoint: Path) -> float:
    """The seconds that a budget allows for this checkpoint.

    Raises UsageError for another form, or where a share is asked of a phase of unknown length.
    """
    found = _FORM.fullmatch(text.strip())
    if not found or float(found[1]) <= 0:
        raise UsageError(f"--budget {text} is no budget.", remedy="as in: --budget 90s, 5m or 2%")
    if found[2] != "%":
        return float(found[1]) * _SECONDS[found[2]]
    return float(found[1]) / 100 * _phase_seconds(checkpoint)


def _phase_seconds(checkpoint: Path) -> float:
    log = checkpoint.resolve().parent / LOG
    if not log.is_file():
        raise UsageError(
            f"nothing tells how long the phase of {checkpoint.name} took.",
            where=f"looked for: {log}",
            remedy="give the budget in seconds: --budget 90s",
        )
    total, before = 0.0, 0
    for line in read_log(log):
        # A phase that was resumed logs some steps twice: both were paid for.
        total += line["seconds"] * max(1, line["step"] - before)
        before = line["step"]
    return total


def budget(
    text: str,
    checkpoint: Path,
    gate: Gate,
    baseline: Run | None,
    *,
    store: Store,
    history: Sequence[Run],
) -> Budget:
    """Stages that end when the gate's verdict is known, or after the seconds of `text`."""
    seconds = seconds_of(text, checkpoint)
    others = store.results(baseline) if baseline else None
    known = [store.results(run) for run in history]

    def judged(so_far: Results) -> Verdict:
        verdict = assess(gate, so_far, others, history=known).verdict
        assert verdict is not None
        return verdict

    digest = hashlib.sha256(gate.model_dump_json().encode()).hexdigest()[:8]
    against = f" against {baseline.id}" if baseline else ""
    until = time.monotonic() + seconds
    return Budget(
        judged,
        f"budget {text} by gate {gate.name} {digest}{against}",
        left=lambda: until - time.monotonic(),
    )
