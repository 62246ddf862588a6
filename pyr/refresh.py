"""A stored run that shall stand beside results of today's libraries.

Where `pyr.compare.versions` says that the two cannot be compared, its checkpoint is asked again if
the weights still exist; else its stored answers are graded again, where only grading changed; else
the run is lost for a comparison, which is said.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pyr.checkpoint import identify
from pyr.compare import versions
from pyr.engines import EngineSettings
from pyr.engines.model_reuse import ModelReuse
from pyr.errors import CheckpointError, ContentError, DataMissing
from pyr.evaluate import Conditions, environment, evaluate, next_id, now, suite_digest
from pyr.probes import Chunk, Subject, make_probe
from pyr.probes.harness import Harness
from pyr.schema import HEALTH, Checkpoint, Record, Run, Suite
from pyr.store import Store


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The run to compare with, and what there is to say of it."""

    run: Run
    said: str = ""


def refreshed(run: Run, suite: Suite, store: Store, conditions: Conditions) -> Refreshed:
    """The run itself where it can be compared; else what can be made of it today."""
    today = environment(suite, conditions)
    changes = versions.changes(run.environment, today)
    if not changes or run.suite_digest != suite_digest(suite):
        return Refreshed(run)
    words = ", ".join(map(str, changes))
    checkpoint = _still_there(run.checkpoint)
    if checkpoint is not None:
        again = evaluate(checkpoint, suite, store, conditions)
        return Refreshed(again, f"{run.id} was measured under {words}: it was measured again")
    if all(change.decides == "grading" for change in changes):
        graded = _graded_again(run, suite, store, conditions, changes)
        if graded is not None:
            said = f"{run.id} was measured under {words}: its stored answers were graded again"
            return Refreshed(graded, said)
    lost = f"{run.id} was measured under {words} and its weights are gone from "
    return Refreshed(run, f"{lost}{run.checkpoint.path}: it is lost for comparisons")


def _still_there(known: Checkpoint) -> Checkpoint | None:
    """The checkpoint at its old place, if it is still the same."""
    if known.format == "imported" or not Path(known.path).exists():
        return None
    try:
        found = identify(known.path, allow_pickle=known.format == "pickle")
    except CheckpointError:
        return None
    return found if found.digest == known.digest else None


# ------------------------------------------------------------------ graded again


def _graded_again(
    run: Run,
    suite: Suite,
    store: Store,
    conditions: Conditions,
    changes: Sequence[versions.Change],
) -> Run | None:
    """A new run of the same answers; None where today's requests are others, or cannot be told."""
    results = store.results(run)
    own = any(change.library == "pyr-lm" for change in changes)
    parts: dict[str, list[Record]] = {}
    chunks: list[Chunk] = []
    for label, rows in results.records.groupby("probe", sort=False):
        spec = next((spec for spec in suite.probes if spec.label == label), None)
        probe = make_probe(spec) if spec else None
        if isinstance(probe, Harness):
            found = _replayed(probe, run, rows, suite, conditions)
            if found is None:
                return None
            chunks += found
            parts[str(label)] = _latest(found)
        elif own and label != HEALTH:
            return None  # its grading is Pyr's, and may be another today
        else:
            parts[str(label)] = _records(rows)
    return _kept(run, suite, store, conditions, parts=parts, chunks=chunks)


def _replayed(
    probe: Harness, run: Run, rows: pd.DataFrame, suite: Suite, conditions: Conditions
) -> list[Chunk] | None:
    """What the probe makes of stored answers; None where it would ask something else."""
    if probe.options.apply_chat_template or probe.options.swap_contexts:
        return None  # a template needs the tokenizer; swapped answers stand beside others
    subject = Subject(
        checkpoint=run.checkpoint,
        settings=conditions.settings,
        seed=suite.seed,
        mirror=conditions.mirror,
        bundles=None,
        skip_missing=False,
        earlier=rows.iloc[:0],
        progress=lambda what, done, total: None,
        models=_Held(Replay(rows)),
    )
    chunks = []
    try:
        for chunk in probe.run(subject):
            if any(run.requests.get(task) != value for task, value in chunk.requests.items()):
                return None
            chunks.append(chunk)
    except (DataMissing, ContentError):
        return None
    return chunks


def _kept(
    run: Run,
    suite: Suite,
    store: Store,
    conditions: Conditions,
    *,
    parts: Mapping[str, Sequence[Record]],
    chunks: Sequence[Chunk],
) -> Run:
    new = replace(run, id=next_id(run, store), started=now(), finished="")
    documents = [document for chunk in chunks for document in chunk.documents]
    skipped = [each for each in run.skipped if not each.items]
    skipped += [each for chunk in chunks for each in chunk.skipped]
    notes = [*run.notes, f"graded again from the answers of {run.id}"]
    notes += [note for chunk in chunks for note in chunk.notes]
    with store.begin(new, on_wait=lambda text: None) as opened:
        for label, records in parts.items():
            opened.append(label, records)
        opened.put_documents(documents)
        opened.finish(
            finished=now(),
            skipped=skipped,
            notes=list(dict.fromkeys(notes)),
            data=run.data,
            environment=environment(suite, conditions),
            asked=run.asked,
            requests=run.requests,
        )
        return opened.run


def _records(rows: pd.DataFrame) -> list[Record]:
    names = [field.name for field in fields(Record)]
    values = zip(*(rows[name].tolist() for name in names), strict=True)
    return [Record(**dict(zip(names, row, strict=True))) for row in values]


def _latest(chunks: Sequence[Chunk]) -> list[Record]:
    """All records, revised ones in the place of those they revise."""
    found: dict[tuple[str, str, str], Record] = {}
    for chunk in chunks:
        for record in (*chunk.records, *chunk.revised):
            found[record.task, record.metric, record.item] = record
    return list(found.values())


class Replay:
    """An LM that gives the answers of stored records, each to the item that it was given to."""

    tokenizer_name = ""

    def __init__(self, rows: pd.DataFrame) -> None:
        first = rows.drop_duplicates(["task", "item"])
        self._answers = {
            (task, item): json.loads(responses)
            for task, item, responses in zip(
                first["task"], first["item"], first["responses"], strict=True
            )
        }
        self._given: dict[tuple[str, str, int], int] = defaultdict(int)

    def unaskable(self, requests: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """The items that have no answer: they were left out when the model was asked."""
        return {
            item: "it was left out when the model was asked"
            for item, instances in requests.items()
            if (instances[0].task_name, item) not in self._answers
        }

    def loglikelihood(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """The stored log-likelihoods."""
        return [(float(each[0]), bool(each[1])) for each in map(self._answer, requests)]

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """The stored log-likelihoods of whole texts."""
        return [float(answer) for answer in map(self._answer, requests)]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """The stored texts."""
        return [str(answer) for answer in map(self._answer, requests)]

    def _answer(self, instance: Any) -> Any:
        """Answers are stored request by request, each as often as it was put."""
        item = str(instance.doc_id)
        key = (instance.task_name, item, instance.idx)
        place = instance.idx * (instance.repeats or 1) + self._given[key]
        self._given[key] += 1
        return self._answers[instance.task_name, item][place]


class _Held(ModelReuse):
    """Opens nothing: every checkpoint's model is the one that it holds."""

    def __init__(self, lm: Any) -> None:
        super().__init__()
        self._lm = lm

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> Any:
        """The model held."""
        return self._lm
