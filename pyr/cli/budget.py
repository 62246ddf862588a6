"""``--budget 90s`` or ``2%`` of the phase: what an evaluation may cost."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from pathlib import Path

from pyr.errors import UsageError
from pyr.gate import assess
from pyr.gate.sequential import Budget
from pyr.gate.spec import Gate, Verdict
from pyr.schema import Run
from pyr.store import Results, Store
from pyr.training.log import LOG, read_log

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
