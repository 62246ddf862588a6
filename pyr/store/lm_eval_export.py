"""Write a run as lm-eval 0.4.13 writes its results, so that any reader of those can use it."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pyr import files
from pyr.errors import StoreError
from pyr.schema import Run
from pyr.store import tables
from pyr.store.lm_eval_format import (
    Weighted,
    file_part,
    lm_eval_name,
    published_scale,
    sample_value,
)
from pyr.store.tables import Results

_UNDATED = datetime(1970, 1, 1, tzinfo=UTC)
Rows = list[Mapping[Any, Any]]


def export_results(
    results: Results, documents: pd.DataFrame | None, folder: Path | str
) -> list[Path]:
    """Write ``<model>/results_<date>.json`` and ``samples_<task>_<date>.jsonl`` under the folder.

    documents: the items as they were asked (`Store.documents`). Records of tasks that are not
    among them are no tasks of lm-eval's (health, throughput) and are left out, and so is what a
    checkpoint wrote by itself; without any documents everything is written. Raises StoreError if
    there is nothing to write.
    """
    shelf = _shelf(documents)
    tasks: dict[str, Rows] = {}
    for task, rows in _grouped(results.records.to_dict("records"), "task").items():
        if not shelf or (task in shelf and not task.startswith("samples_")):
            tasks[task] = rows
    if not tasks and results.aggregates.empty:
        raise StoreError(
            f"the run {results.run.id} holds no task that lm-eval would know.",
            remedy="evaluate with a suite that has a harness probe",
        )
    where = Path(folder) / file_part(results.run.checkpoint.name)
    date = _date(results.run.finished)
    stamp = date.strftime("%Y-%m-%dT%H-%M-%S")
    written = []
    with tables.writing(where):
        for task, rows in tasks.items():
            lines = [json.dumps(sample) + "\n" for sample in _samples(rows, shelf.get(task, {}))]
            written.append(where / f"samples_{file_part(task)}_{stamp}.jsonl")
            files.write(written[-1], "".join(lines))
        # Last, so that whoever finds the results finds the samples too.
        whole = {**_scores(tasks, results.aggregates), **_about(results.run, date)}
        written.append(where / f"results_{stamp}.json")
        files.write(written[-1], json.dumps(whole, indent=2) + "\n")
    return written


def _date(finished: str) -> datetime:
    try:
        date = datetime.fromisoformat(finished)
    except ValueError:
        return _UNDATED
    return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)


def _shelf(documents: pd.DataFrame | None) -> dict[str, dict[str, dict[str, Any]]]:
    """The documents by task and item."""
    shelf: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in [] if documents is None else documents.to_dict("records"):
        shelf[row["task"]][row["item"]] = {
            "prompt": row["prompt"],
            "choices": json.loads(row["choices"]),
            "target": row["target"],
        }
    return dict(shelf)


# ------------------------------------------------------------------ scores


def _scores(tasks: Mapping[str, Rows], aggregates: pd.DataFrame) -> dict[str, Any]:
    """The parts of a results file that are keyed by task."""
    parts: dict[str, Any] = {
        name: defaultdict(dict)
        for name in ("results", "configs", "versions", "n-shot", "higher_is_better", "n-samples")
    }
    groups: dict[str, list[str]] = defaultdict(list)
    for task, rows in tasks.items():
        for metric, chosen in _grouped(rows, "metric").items():
            _put(parts, task, metric, _estimate(chosen), chosen[0]["direction"])
        parts["n-samples"][task] = _counted(len({row["item"] for row in rows}))
        _join(groups, rows[0]["group"], task)
    for row in aggregates.to_dict("records"):
        task = row["task"]
        _put(parts, task, row["metric"], Weighted(row["value"], row["se"]), row["direction"])
        if not pd.isna(row["n"]):
            parts["n-samples"].setdefault(task, _counted(int(row["n"])))
        _join(groups, row["group"], task)
    for task in parts["results"]:
        parts["results"][task]["alias"] = task
        parts["configs"][task] = {"task": task}
        parts["versions"][task] = "N/A"
    return {**parts, "group_subtasks": groups}


def _put(parts: dict[str, Any], task: str, label: str, score: Weighted, better: str) -> None:
    name = lm_eval_name(label)
    metric, _, filter_name = name.partition(",")
    value, se = published_scale(label, score.value, score.weight)
    parts["results"][task][name] = value
    parts["results"][task][f"{metric}_stderr,{filter_name}"] = se if math.isfinite(se) else "N/A"
    if better != "none":
        parts["higher_is_better"][task][metric] = better == "higher"


def _estimate(rows: Rows) -> Weighted:
    """The weighted mean; its standard error as lm-eval's mean_stderr, NaN where it has none."""
    values = np.array([row["value"] for row in rows])
    weights = np.array([row["weight"] for row in rows])
    mean = float(np.average(values, weights=weights))
    if len(rows) < 2 or (weights != 1).any():
        return Weighted(mean, math.nan)
    return Weighted(mean, float(values.std(ddof=1)) / math.sqrt(len(rows)))


def _counted(n: int) -> dict[str, int]:
    return {"original": n, "effective": n}


def _join(groups: dict[str, list[str]], group: str, task: str) -> None:
    if group and task != group and task not in groups[group]:
        groups[group].append(task)


def _about(run: Run, date: datetime) -> dict[str, Any]:
    """The parts of a results file that say what was measured, and when."""
    name = run.checkpoint.name
    known = {} if date == _UNDATED else {"date": date.timestamp()}
    return {
        "config": {"model": run.engine, "model_args": f"pretrained={name}", "pyr_run": run.id},
        **known,
        "git_hash": None,
        "lm_eval_version": "0.4.13",
        "model_source": run.engine,
        "model_name": name,
        "model_name_sanitized": file_part(name),
    }


# ------------------------------------------------------------------ samples


def _samples(rows: Rows, documents: Mapping[str, Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """The lines of a file of samples: one for every item and filter."""
    for item, of_item in _grouped(rows, "item").items():
        by_filter: dict[str, Rows] = defaultdict(list)
        for row in of_item:
            by_filter[lm_eval_name(row["metric"]).partition(",")[2]].append(row)
        for filter_name, chosen in by_filter.items():
            yield _sample(item, filter_name, chosen, documents.get(item, {}))


def _sample(item: str, filter_name: str, rows: Rows, document: Mapping[str, Any]) -> dict[str, Any]:
    first, responses = rows[0], _responses(rows[0]["responses"])
    values = {}
    for row in rows:
        metric = lm_eval_name(row["metric"]).partition(",")[0]
        item_value = Weighted(row["value"], row["weight"])
        values[metric] = sample_value(row["metric"], row["unit"], item_value)
    texts = list(map(_text, responses))
    target = document.get("target", "")
    return {
        "doc_id": int(item) if item.isdecimal() else item,
        "doc": dict(document),
        "target": target,
        "arguments": _arguments(document, responses),
        "resps": [[text] for text in texts],
        # Records keep what the model said, not what a filter made of it.
        "filtered_resps": texts,
        "filter": filter_name,
        "metrics": list(values),
        "doc_hash": first["doc_hash"],
        "prompt_hash": first["prompt_hash"],
        "target_hash": files.text_sha256(target),
        # Ours: without it a reader would take items for independent that are not.
        **({"cluster": first["cluster"]} if first["cluster"] else {}),
        **values,
    }


def _responses(written: str) -> list[Any]:
    """The answers of a record; a text that is no JSON list is one answer."""
    try:
        found = json.loads(written)
    except ValueError:
        return [written] if written else []
    return found if isinstance(found, list) else [found]


def _text(response: Any) -> Any:
    """Every number as text, as lm-eval writes it (lm_eval.utils.sanitize_list)."""
    return list(map(str, response)) if isinstance(response, list) else str(response)


def _arguments(document: Mapping[str, Any], responses: Sequence[Any]) -> dict[str, Any]:
    """The requests: context and continuation, context and (unknown) settings, or a text alone."""
    prompt = document.get("prompt", "")
    if document.get("choices"):
        asked = [{"arg_0": prompt, "arg_1": choice} for choice in document["choices"]]
    elif responses and isinstance(responses[0], str):
        asked = [{"arg_0": prompt, "arg_1": {}} for _ in responses]
    else:
        asked = [{"arg_0": document.get("target", "")}]
    return {f"gen_args_{i}": one for i, one in enumerate(asked)}


def _grouped(rows: Iterable[Mapping[Any, Any]], key: str) -> dict[str, Rows]:
    grouped: dict[str, Rows] = defaultdict(list)
    for row in rows:
        grouped[row[key]].append(row)
    return grouped
