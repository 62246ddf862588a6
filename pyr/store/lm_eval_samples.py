"""`samples_<task>_<date>.jsonl` of lm-eval: one line an item and filter.

Keys, from lm_eval/evaluator.py and loggers/evaluation_tracker.py (0.4.13): doc_id, doc, target,
arguments, resps, filtered_resps, filter, metrics, doc_hash, prompt_hash, target_hash and one key
a metric. lm-eval turns every response into text; numbers are read back here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyr.errors import StoreError
from pyr.store import files
from pyr.store.table import Document

_REMEDY = "fetch the file again, or remove it to import the scores alone"


@dataclass(frozen=True, slots=True)
class Sample:
    """One line."""

    item: str
    filter: str
    """Empty where the line, as old ones do, names no filter."""
    responses: str
    """The first answer to every request, as JSON: [log-likelihood, is_greedy], or text."""
    document: Document
    raw: Mapping[str, Any]


def samples_file(results: Path, task: str) -> Path:
    """Where lm-eval puts a task's samples: beside the results, with the same date."""
    date = results.stem.rpartition("_")[2]
    return results.with_name(f"samples_{file_part(task)}_{date}.jsonl")


def file_part(name: str) -> str:
    """A model's or task's name as a part of a file name, as lm_eval.utils.sanitize_model_name."""
    return re.sub(r"[\"<>:/|\\?*\[\]]+", "__", name)


def read_samples(path: Path, task: str) -> list[Sample]:
    """The samples in a file, none if it is not there; raises StoreError naming the line."""
    if not path.is_file():
        return []
    samples = []
    for number, line in enumerate(files.read(path, remedy=_REMEDY).splitlines(), start=1):
        try:
            samples.append(_sample(json.loads(line), task))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise StoreError(
                f"a line of the samples is not as lm-eval writes it: "
                f"{type(error).__name__}: {error}.",
                where=f"{path}, line {number}",
                remedy=_REMEDY,
            ) from error
    return samples


def _sample(raw: Mapping[str, Any], task: str) -> Sample:
    asked = _arguments(raw.get("arguments", []))
    # A rolling log-likelihood is asked with the text alone, a generation with its settings.
    rolling = bool(asked) and len(asked[0]) == 1
    answers = [_response(repeats[0], rolling=rolling) for repeats in raw.get("resps", [])]
    return Sample(
        item=str(raw["doc_id"]),
        filter=str(raw.get("filter", "")),
        responses=json.dumps(answers) if answers else "",
        document=Document(
            task=task,
            item=str(raw["doc_id"]),
            prompt=str(asked[0][0]) if asked and not rolling else "",
            choices=tuple(one[1] for one in asked if len(one) > 1 and isinstance(one[1], str)),
            target=str(raw.get("target", "")),
        ),
        raw=raw,
    )


def _arguments(raw: Any) -> list[list[Any]]:
    """What the model was asked: [context, continuation or settings] a request."""
    if isinstance(raw, dict):
        return [list(request.values()) for request in raw.values()]
    return [list(request) for request in raw]


def _response(answer: Any, *, rolling: bool) -> Any:
    if isinstance(answer, list):
        return [float(answer[0]), str(answer[1]) == "True"]
    return float(answer) if rolling else answer
