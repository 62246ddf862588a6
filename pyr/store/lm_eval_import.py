"""Read published lm-eval results into the store, with their samples where they lie beside them.

Two forms of file are read: ``results_<date>.json`` of lm-eval 0.4 with ``samples_<task>_<date>
.jsonl`` (lm_eval/loggers/evaluation_tracker.py), and the older single file whose metrics have
no filter (``acc``, ``acc_stderr``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyr import files
from pyr.errors import StoreError
from pyr.schema import Aggregate, Checkpoint, Record, Run
from pyr.store import tables
from pyr.store.lm_eval_conditions import form, other_harness, task_settings
from pyr.store.lm_eval_format import (
    Published,
    direction,
    items,
    num_items,
    published,
    samples_file,
)
from pyr.store.store import Store
from pyr.store.tables import Document
from pyr.store.writer import OpenRun

PROBE = "lm-eval"
"""The probe that imported records are kept under."""
_MODEL_KEYS = ("peft", "delta", "pretrained", "model", "path", "engine")
"""Where lm-eval looks for the model's name, in its order."""
_STEP = re.compile(r"(?:step|checkpoint)[-_]?(\d+)$")
_NAME_RESULTS = "name a results_<date>.json of lm-eval, or a folder that holds some"
_FETCH_SAMPLES = "fetch the file again, or remove it to import the scores alone"


@dataclass(frozen=True, slots=True)
class _File:
    """A results file as read."""

    path: Path
    sha256: str
    content: Mapping[str, Any]

    def of(self, key: str) -> Mapping[str, Any]:
        """The mapping under a key, empty where there is none."""
        return _mapping(self.content.get(key))


def _mapping(raw: Any) -> Mapping[str, Any]:
    return raw if isinstance(raw, dict) else {}


@dataclass
class _Scores:
    """What a results file says, as rows."""

    records: list[Record] = field(default_factory=list)
    aggregates: list[Aggregate] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def import_results(
    paths: Sequence[Path | str], store: Store, tokens_per_step: int | None = None
) -> list[Run]:
    """One run for every results file among the paths; a folder is searched through and through.

    Importing a file twice gives the same run. tokens_per_step: training tokens of a step, where
    the revision names the step, so that trajectories can be drawn over tokens.
    Raises StoreError for a file that holds no results, before anything is imported.
    """
    found: dict[Path, _File] = {}
    for path in paths:
        for file in _files(Path(path)):
            found[file.path.resolve()] = file
    return [_import(file, store, tokens_per_step) for file in found.values()]


# ------------------------------------------------------------------ files


def _files(path: Path) -> list[_File]:
    if not path.is_dir():
        return [_read(path)]
    found = []
    for candidate in sorted(path.rglob("*.json")):
        # Other JSON files may lie there; one that lm-eval named as its results must be read.
        if candidate.name.startswith("results") or _looks_like_results(candidate):
            found.append(_read(candidate))
    if not found:
        raise StoreError(
            "there are no lm-eval results here.",
            where=str(path),
            remedy=_NAME_RESULTS,
        )
    return found


def _looks_like_results(path: Path) -> bool:
    try:
        return _is_results(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return False


def _is_results(content: Any) -> bool:
    results = _mapping(_mapping(content).get("results"))
    return bool(results) and set(map(type, results.values())) == {dict}


def _read(path: Path) -> _File:
    try:
        raw = path.read_bytes()
        content = json.loads(raw)
    except OSError as error:
        raise StoreError(
            f"the results file cannot be read: {error.strerror or error}.",
            where=str(path),
            remedy=_NAME_RESULTS,
        ) from error
    except ValueError as error:
        raise StoreError(
            f"the results file is no JSON: {error}.",
            where=str(path),
            remedy="it may have been cut short: fetch it again",
        ) from error
    if other := other_harness(content):
        raise StoreError(
            f"this is a results file of {other}, not of lm-eval: its tasks and metrics mean "
            "something else.",
            where=str(path),
            remedy="evaluate the checkpoint with Pyr or with lm-eval, and compare those",
        )
    if not _is_results(content):
        raise StoreError(
            "the file holds no lm-eval results: there is no 'results' by task in it.",
            where=str(path),
            remedy=_NAME_RESULTS,
        )
    return _File(path, hashlib.sha256(raw).hexdigest(), content)


# ------------------------------------------------------------------ runs


def _import(file: _File, store: Store, tokens_per_step: int | None) -> Run:
    run = _run(file, tokens_per_step)
    with store.begin(run, on_wait=lambda _: None) as opened:
        if not opened.finished:
            _write(opened, file, run)
        elif (opened.run.data, opened.run.checkpoint.tokens) != (run.data, run.checkpoint.tokens):
            raise StoreError(
                f"{file.path.name} was imported before, with other samples or tokens a step.",
                where=str(store.folder(run)),
                remedy="remove that folder and import again",
            )
        return opened.run


def _run(file: _File, tokens_per_step: int | None) -> Run:
    config = file.of("config")
    arguments = _model_arguments(config.get("model_args"))
    name, path = _model_name(file, arguments)
    step = _step(arguments.get("revision", "")) or _step(name)
    number = None if step is None else int(step)
    tokens = None if number is None or tokens_per_step is None else number * tokens_per_step
    asked = {
        "versions": file.of("versions"),
        "shots": file.of("n-shot") or config.get("num_fewshot"),
        "form": form(file.content),
    }
    when = _date(file.content.get("date"))
    return Run(
        id=f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name).lstrip('.')}--lm-eval-{file.sha256[:8]}",
        checkpoint=Checkpoint(
            path=path,
            name=name,
            digest=file.sha256,
            format="imported",
            step=number,
            tokens=tokens,
        ),
        suite="lm-eval",
        suite_digest=files.json_sha256(asked),
        engine=f"lm-eval {config.get('model', '')}".strip(),
        environment={
            "config": config,
            "versions": {"lm_eval": file.content.get("lm_eval_version", "not stated")},
            "task_settings": {
                task: task_settings(file.content, task) for task in file.of("results")
            },
        },
        data=_digests(file),
        started=when,
        finished=when or "imported",
    )


def _write(opened: OpenRun, file: _File, run: Run) -> None:
    scores = _scores(file)
    opened.discard()
    opened.put_documents(scores.documents)
    opened.put_aggregates(scores.aggregates)
    opened.append(PROBE, scores.records)
    opened.finish(
        finished=run.finished,
        skipped=(),
        notes=(f"Imported from {file.path.name}, not measured here.", *scores.notes),
        data=run.data,
        environment=run.environment,
    )


def _digests(file: _File) -> dict[str, str]:
    """sha256 of every file that is imported, by name."""
    digests = {file.path.name: file.sha256}
    for task in file.of("results"):
        samples = samples_file(file.path, task)
        if samples.is_file():
            digests[samples.name] = hashlib.sha256(tables.read(samples)).hexdigest()
    return digests


def _model_arguments(raw: Any) -> Mapping[str, str]:
    """lm-eval's ``--model_args``: ``pretrained=a/b,revision=c``, or the same as a mapping."""
    if isinstance(raw, dict):
        return {str(key): str(value) for key, value in raw.items()}
    arguments = {}
    for part in str(raw or "").split(","):
        key, _, value = part.partition("=")
        arguments[key.strip()] = value
    return arguments


def _model_name(file: _File, arguments: Mapping[str, str]) -> tuple[str, str]:
    """A short name of the model with its revision, and the name in full."""
    full = str(file.content.get("model_name") or file.path.stem)
    for key in _MODEL_KEYS:
        if arguments.get(key):
            full = arguments[key]
            break
    parts = list(filter(None, full.split("/"))) or [file.path.stem]
    short = "-".join(parts[-2:] if parts[-1].startswith("checkpoint-") else parts[-1:])
    revision = arguments.get("revision", "main")
    return (short if revision in ("main", "") else f"{short}-{revision}"), full


def _step(text: str) -> str | None:
    found = _STEP.search(text)
    return found[1] if found else None


def _date(raw: Any) -> str:
    """lm-eval's ``date``, in seconds since 1970, as ISO 8601; empty in files without one."""
    try:
        return datetime.fromtimestamp(raw, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (TypeError, ValueError, OverflowError):
        return ""


# ------------------------------------------------------------------ scores


def _scores(file: _File) -> _Scores:
    groups = _groups(file.of("group_subtasks"))
    scores = _Scores()
    for task, results in file.of("results").items():
        samples = _read_samples(samples_file(file.path, task), task)
        scores.documents += [sample.document for sample in samples]
        n = _num_items(file, task)
        for score in published(results):
            stated = _mapping(file.of("higher_is_better").get(task)).get(score.metric)
            way = direction(score.metric, stated)
            if way == "none":
                scores.notes.append(
                    f"{task}/{score.label}: the file does not say whether more or less is better, "
                    "so that it decides nothing."
                )
            common: dict[str, Any] = {
                "direction": way,
                "group": groups.get(task, ""),
            }
            records = _records(score, task, samples, common)
            scores.records += records
            if records:
                continue
            value, se = score.on_our_scale()
            scores.aggregates.append(
                Aggregate(task, score.label, value, se, n, unit=score.unit, **common)
            )
            if samples:
                scores.notes.append(
                    f"{task}/{score.label}: the published score alone, since it is no weighted "
                    "mean of the samples beside it."
                )
    return scores


def _records(
    score: Published, task: str, samples: Sequence[_Sample], common: Mapping[str, Any]
) -> list[Record]:
    """The score's items; none if it is no weighted mean of them."""
    chosen = []
    for sample in samples:
        if sample.filter in (score.filter, "") and score.metric in sample.raw:
            chosen.append(sample)
    found = items(score, [sample.raw[score.metric] for sample in chosen])
    if found is None:
        return []
    records = []
    for sample, item in zip(chosen, found.items, strict=True):
        records.append(
            Record(
                task=task,
                metric=found.label,
                item=sample.item,
                value=item.value,
                weight=item.weight,
                cluster=str(sample.raw.get("cluster", "")),
                unit=found.unit,
                doc_hash=str(sample.raw.get("doc_hash", "")),
                prompt_hash=str(sample.raw.get("prompt_hash", "")),
                responses=sample.responses,
                **common,
            )
        )
    return records


def _num_items(file: _File, task: str) -> int | None:
    """The number of items, as stated, or from the error of a task's 0/1 metrics.

    All metrics of a task share its items. The error of a group is pooled and says nothing of n.
    """
    results = file.of("results")[task]
    stated = _mapping(file.of("n-samples").get(task)).get("effective", results.get("sample_len"))
    if isinstance(stated, int):
        return stated
    if file.of("group_subtasks").get(task):
        return None
    counts = set()
    for score in published(results):
        counts.add(num_items(score.value, score.se))
    counts.discard(None)
    return counts.pop() if len(counts) == 1 else None


def _groups(subtasks: Mapping[str, Any]) -> dict[str, str]:
    """The outermost group of every task, and of every group itself."""
    parents = {}
    for group, tasks in subtasks.items():
        parents.update(dict.fromkeys(tasks or (), group))
    return {task: _outermost(task, parents) for task in [*parents, *parents.values()]}


def _outermost(task: str, parents: Mapping[str, str]) -> str:
    seen = {task}
    while task in parents and parents[task] not in seen:
        task = parents[task]
        seen.add(task)
    return task


# ------------------------------------------------------------------ samples


@dataclass(frozen=True, slots=True)
class _Sample:
    """One line: an item under one filter.

    Keys, from lm_eval/evaluator.py and loggers/evaluation_tracker.py (0.4.13): doc_id, doc,
    target, arguments, resps, filtered_resps, filter, metrics, doc_hash, prompt_hash, target_hash
    and one key a metric. lm-eval turns every response into text; numbers are read back here.
    """

    item: str
    filter: str
    """Empty where the line, as old ones do, names no filter."""
    responses: str
    """The first answer to every request, as JSON: [log-likelihood, is_greedy], or text."""
    document: Document
    raw: Mapping[str, Any]


def _read_samples(path: Path, task: str) -> list[_Sample]:
    """The samples in a file, none if it is not there; raises StoreError naming the line."""
    if not path.is_file():
        return []
    samples = []
    for number, line in enumerate(tables.read(path, remedy=_FETCH_SAMPLES).splitlines(), start=1):
        try:
            samples.append(_sample(json.loads(line), task))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise StoreError(
                f"a line of the samples is not as lm-eval writes it: "
                f"{type(error).__name__}: {error}.",
                where=f"{path}, line {number}",
                remedy=_FETCH_SAMPLES,
            ) from error
    return samples


def _sample(raw: Mapping[str, Any], task: str) -> _Sample:
    asked = _arguments(raw.get("arguments", []))
    # A rolling log-likelihood is asked with the text alone, a generation with its settings.
    rolling = bool(asked) and len(asked[0]) == 1
    answers = [_response(repeats[0], rolling=rolling) for repeats in raw.get("resps", [])]
    return _Sample(
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
