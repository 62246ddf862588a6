"""Small runs with chosen numbers, for the tests of compare and gate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pyr.schema import Aggregate, Checkpoint, Run
from pyr.store import Results
from pyr.store.tables import records_frame, to_table


def facts_of(task: str, metric: str = "", unit: str = "") -> dict[str, Any]:
    """`kind` and `exact`, as the probe that writes such a record states them."""
    if task == "health" or unit == "check":
        return {"kind": "check", "exact": True}
    if task.startswith("tokenizer:"):
        return {"kind": "reference" if "@" in metric else "compression", "exact": False}
    if task == "throughput":
        kinds = {"peak_memory": "memory", "matrix_peak": "machine", "memory_bandwidth": "machine"}
        return {"kind": kinds.get(metric, "speed"), "exact": unit == "bytes"}
    if task == "condition":
        return {"kind": "diagnostic", "exact": unit == "directions"}
    kind = "generation" if task.startswith("samples") else "score"
    return {"kind": kind, "exact": unit == "bytes"}


def a_run(name: str = "run", **changes: Any) -> Run:
    checkpoint = Checkpoint(path=name, name=name, digest=f"digest of {name}", format="safetensors")
    whole = Run(
        id=name,
        checkpoint=checkpoint,
        suite="suite",
        suite_digest="suite digest",
        engine="reference",
        started="2026-01-01T00:00:00Z",
        finished="2026-01-01T00:01:00Z",
    )
    return dataclasses.replace(whole, **changes)


def records(
    values: Sequence[float] | np.ndarray,
    *,
    task: str = "arc",
    metric: str = "acc",
    items: Iterable[Any] | None = None,
    weights: Sequence[float] | np.ndarray | None = None,
    clusters: Iterable[Any] | None = None,
    **columns: Any,
) -> pd.DataFrame:
    """One measure's records; other columns by name, one value or one for each item."""
    n = len(values)
    frame = pd.DataFrame(
        {
            "task": task,
            "metric": metric,
            "item": [str(i) for i in (range(n) if items is None else items)],
            "value": np.asarray(values, dtype=float),
            "weight": np.ones(n) if weights is None else np.asarray(weights, dtype=float),
            "cluster": [""] * n if clusters is None else [str(c) for c in clusters],
            "direction": "higher",
            "unit": "",
            "group": "",
            "doc_hash": "",
            "prompt_hash": "",
            "responses": "",
            "probe": "harness",
            **facts_of(task, metric, str(columns.get("unit", ""))),
        }
    )
    return frame.assign(**columns)


def results(*frames: pd.DataFrame, name: str = "run", **run: Any) -> Results:
    whole = pd.concat(frames, ignore_index=True) if frames else records_frame([])
    return Results(a_run(name, **run), whole, _aggregates([]))


def published(*rows: Aggregate, name: str = "run", **run: Any) -> Results:
    """A run of which only means are known."""
    return dataclasses.replace(results(name=name, **run), aggregates=_aggregates(rows))


def _aggregates(rows: Sequence[Aggregate]) -> pd.DataFrame:
    return to_table(Aggregate, rows, where="the test").to_pandas()
