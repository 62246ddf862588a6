"""Read ``--set KEY=VALUE``: engine settings by name, suite options as PROBE.OPTION."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import yaml

from pyr import content
from pyr.engines import EngineSettings
from pyr.errors import UsageError, did_you_mean
from pyr.schema import ProbeSpec, Suite

_PICKLE = "allow_pickle"


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
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"--set {assignment}: no value.", remedy="write --set KEY=VALUE")
        value = yaml.safe_load(text)
        _assign(key, value, settings, raw)
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
    elif key == _PICKLE:
        _check_type(key, value, "bool")
        settings[key] = value
    elif key in engine_keys and key != "engine":
        _check_type(key, value, str(engine_keys[key]))
        settings[key] = value
    else:
        known = [*engine_keys, _PICKLE, "seed", *(f"{probe}.OPTION" for probe in probes)]
        raise UsageError(
            f"--set {key}: unknown key.",
            remedy=did_you_mean(key, known) or f"keys: {', '.join(known)}",
        )


def _check_type(key: str, value: Any, expected: str) -> None:
    if type(value).__name__ != expected:
        raise UsageError(f"--set {key}={value}: not of type {expected}.")
