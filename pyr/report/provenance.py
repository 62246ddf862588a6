"""Who, what, where: the facts of both runs side by side, so that a difference stands out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyr.gate.spec import Verdict
from pyr.schema import Run

_ALWAYS_DIFFER = {
    *(("Checkpoint", label) for label in ("name", "path", "phase", "step", "training tokens")),
    *(("Checkpoint", label) for label in ("sha256", "sha256 of weights")),
    *(("Run", label) for label in ("id", "started", "finished")),
    ("Environment", "command"),
}
"""What tells two runs apart anyhow, and so says nothing."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the provenance table."""

    section: str
    label: str
    candidate: str
    baseline: str
    differs: bool
    """True where both runs state it, the two are not the same, and that may matter."""


def facts(candidate: Run, baseline: Run | None, verdict: Verdict | None) -> tuple[Fact, ...]:
    """Everything stated of the candidate, with the baseline's beside it."""
    mine, theirs = _stated(candidate), _stated(baseline) if baseline else {}
    keys = [*mine, *(key for key in theirs if key not in mine)]
    order = list(dict.fromkeys(section for section, _ in keys))
    keys.sort(key=lambda key: order.index(key[0]))
    table = [
        Fact(
            section=section,
            label=label,
            candidate=mine.get((section, label), ""),
            baseline=theirs.get((section, label), ""),
            differs=(section, label) not in _ALWAYS_DIFFER
            and "" != mine.get((section, label), "") != theirs.get((section, label), "") != "",
        )
        for section, label in keys
    ]
    gate = dict(sorted(verdict.digests.items())) if verdict else {}
    table += [Fact("Gate", f"sha256 of {what}", digest, "", False) for what, digest in gate.items()]
    return tuple(table)


_NOT_SHOWN = ("engine", "seconds", "task_settings")


def _stated(run: Run) -> dict[tuple[str, str], str]:
    """What a run says of itself, by (section, label); what it does not say is left out."""
    checkpoint = run.checkpoint
    said: dict[tuple[str, str], str] = {
        ("Checkpoint", "name"): checkpoint.name,
        ("Checkpoint", "path"): checkpoint.path,
        ("Checkpoint", "phase"): checkpoint.phase,
        ("Checkpoint", "step"): _counted(checkpoint.step),
        ("Checkpoint", "training tokens"): _counted(checkpoint.tokens),
        ("Checkpoint", "format"): checkpoint.format,
        ("Checkpoint", "chat template"): "yes" if checkpoint.chat else "no",
        ("Checkpoint", "sha256"): checkpoint.digest,
    }
    for part, digest in sorted(checkpoint.digests.items()):
        said["Checkpoint", f"sha256 of {part}"] = digest
    said |= {
        ("Run", "id"): run.id,
        ("Run", "suite"): run.suite,
        ("Run", "sha256 of suite"): run.suite_digest,
        ("Run", "engine"): run.engine_used,
        ("Run", "started"): run.started,
        ("Run", "finished"): run.finished,
    }
    # Times differ from run to run, the engine stands above, and settings by task are too many.
    environment = {key: run.environment[key] for key in run.environment if key not in _NOT_SHOWN}
    for key, value in flat(environment).items():
        said["Environment", key] = value
    for name, fingerprint in sorted(run.data.items()):
        said["Data", name] = fingerprint
    return {key: value for key, value in said.items() if value != ""}


def flat(environment: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A nested mapping as dotted keys, sorted, every value in words."""
    found: dict[str, str] = {}
    for key in sorted(environment):
        value = environment[key]
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            found[f"{prefix}{key}"] = value
        else:
            found[f"{prefix}{key}"] = json.dumps(value, sort_keys=True, default=str)
    return found


def _counted(amount: int | None) -> str:
    return "" if amount is None else f"{amount:,}"
