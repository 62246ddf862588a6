"""Pyr: the evaluation harness that a small language model is trained inside of.

    from pyr.evaluate import evaluate
    from pyr.compare import compare

The names below are imported on first use: ``import pyr`` loads neither torch nor lm-eval. The two
above are those of their modules, and are imported from there.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyr.checkpoint import identify
    from pyr.gate import judge
    from pyr.schema import Checkpoint, Record, Run
    from pyr.store import Store

__all__ = ["Checkpoint", "Record", "Run", "Store", "identify", "judge"]

_HOMES = {
    "Checkpoint": "pyr.schema",
    "Record": "pyr.schema",
    "Run": "pyr.schema",
    "Store": "pyr.store",
    "identify": "pyr.checkpoint",
    "judge": "pyr.gate",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pyr' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
