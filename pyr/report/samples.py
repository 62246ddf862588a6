"""The items that changed sides: right before and wrong now, or the other way round.

Only measures whose items are right (1) or wrong (0) can flip. Items are shown in their own order,
which is the same for every checkpoint, so that nobody picked them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pyr.report.measures import Measure
from pyr.report.words import shorten
from pyr.store import Results

TASKS_SHOWN = 8
SAMPLES_SHOWN = 4
"""Per task and direction: 64 samples at most, so that hostile text cannot swell the page."""
_PROMPT, _TEXT, _CHOICE, _CHOICES = 1200, 800, 240, 8


@dataclass(frozen=True, slots=True)
class Answer:
    """What one checkpoint said to one item."""

    text: str
    """Generated text; empty where choices were scored."""
    scores: tuple[float | None, ...]
    """Log-likelihood of every choice, in nats; None where it was not finite."""
    pick: int | None
    """The choice that was likeliest by the measure's own rule."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One item with what both checkpoints said."""

    item: str
    prompt: str
    choices: tuple[str, ...]
    target: int | None
    """The right choice, where the item has choices."""
    wanted: str
    """The right answer in words."""
    baseline: Answer
    candidate: Answer


@dataclass(frozen=True, slots=True)
class Flips:
    """How the items of one measure moved, and some of them to look at."""

    task: str
    metric: str
    still_right: int
    still_wrong: int
    lost: int
    gained: int
    clusters: int
    """Of the candidate's items; as many as items where each stands for itself."""
    lost_samples: tuple[Sample, ...]
    gained_samples: tuple[Sample, ...]


def flips(
    candidate: Results,
    baseline: Results,
    measures: Sequence[Measure],
    documents: pd.DataFrame | None,
) -> tuple[Flips, ...]:
    """The flipped items of every task's main measure, in the order of `measures`."""
    if candidate.records.empty or baseline.records.empty:
        return ()
    shelf = _Shelf(documents)
    found: list[Flips] = []
    for measure in measures:
        is_group = measure.group == measure.task
        if not measure.main or measure.kind != "task" or is_group or len(found) == TASKS_SHOWN:
            continue
        pairs = _pairs(candidate.records, baseline.records, measure)
        moved = _moved(pairs, measure, shelf)
        if moved is not None and moved.lost + moved.gained:
            found.append(moved)
    return tuple(found)


def _pairs(new: pd.DataFrame, old: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """One row an item that both runs measured on the same document."""
    columns = ["item", "value", "doc_hash", "responses"]

    def rows(records: pd.DataFrame) -> pd.DataFrame:
        mine = (records["task"] == measure.task) & (records["metric"] == measure.metric)
        return records.loc[mine, columns].drop_duplicates("item")

    pairs = rows(new).merge(rows(old), on="item", suffixes=("_new", "_old"))
    return pairs[pairs["doc_hash_new"] == pairs["doc_hash_old"]]


def _moved(pairs: pd.DataFrame, measure: Measure, shelf: _Shelf) -> Flips | None:
    values = pairs[["value_new", "value_old"]]
    if pairs.empty or not values.isin((0.0, 1.0)).all(axis=None):
        return None
    right_now, right_before = pairs["value_new"] == 1, pairs["value_old"] == 1
    lost, gained = pairs[right_before & ~right_now], pairs[right_now & ~right_before]
    return Flips(
        task=measure.task,
        metric=measure.metric,
        still_right=int((right_now & right_before).sum()),
        still_wrong=int((~right_now & ~right_before).sum()),
        lost=len(lost),
        gained=len(gained),
        clusters=measure.candidate.clusters if measure.candidate else 0,
        lost_samples=_samples(lost, measure, shelf),
        gained_samples=_samples(gained, measure, shelf),
    )


def _samples(pairs: pd.DataFrame, measure: Measure, shelf: _Shelf) -> tuple[Sample, ...]:
    order = sorted(pairs.to_dict("records"), key=lambda row: _item_order(str(row["item"])))
    return tuple(_sample(row, measure, shelf) for row in order[:SAMPLES_SHOWN])


def _item_order(item: str) -> tuple[int, str]:
    return (int(item), "") if item.isdecimal() else (1 << 62, item)


def _sample(row: Mapping[Any, Any], measure: Measure, shelf: _Shelf) -> Sample:
    item = str(row["item"])
    document = shelf.document(measure.task, item)
    choices = _choices(document.get("choices", ""))
    wanted = str(document.get("target", ""))
    before = _answer(str(row["responses_old"]), choices, measure.metric)
    now = _answer(str(row["responses_new"]), choices, measure.metric)
    right = now.pick if row["value_new"] == 1 else before.pick
    target = _target(wanted, choices, right)
    return Sample(
        item=item,
        prompt=shorten(str(document.get("prompt", "")), _PROMPT, keep="tail"),
        choices=tuple(shorten(choice, _CHOICE) for choice in choices[:_CHOICES]),
        target=target,
        wanted=shorten(choices[target] if target is not None else wanted, _CHOICE),
        baseline=before,
        candidate=now,
    )


def _choices(written: str) -> list[str]:
    choices = _parsed(written)
    return [str(choice) for choice in choices] if isinstance(choices, list) else []


def _target(wanted: str, choices: Sequence[str], right: int | None) -> int | None:
    """The place of the right choice; `wanted` is its text or its number, `right` the right pick.

    Choices may be numerals themselves: what the checkpoint that was right picked decides then.
    """
    places = [place for place, choice in enumerate(choices) if choice.strip() == wanted.strip()]
    if wanted.isdecimal() and int(wanted) < len(choices):
        places.append(int(wanted))
    return right if right in places else places[0] if places else None


def _answer(responses: str, choices: Sequence[str], metric: str) -> Answer:
    said = _parsed(responses)
    scored = isinstance(said, list) and bool(said) and all(_is_score(each) for each in said)
    if not scored:
        texts = said if isinstance(said, list) else [responses if said is None else said]
        text = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in texts)
        return Answer(text=shorten(text, _TEXT), scores=(), pick=None)
    scores = [float(each[0]) for each in said]
    finite = tuple(score if abs(score) < float("inf") else None for score in scores)
    pick = _pick(scores, choices, metric) if len(scores) == len(choices) > 1 else None
    return Answer(text="", scores=finite[:_CHOICES], pick=pick)


def _is_score(each: Any) -> bool:
    return (
        isinstance(each, list)
        and len(each) >= 1
        and isinstance(each[0], int | float)
        and not isinstance(each[0], bool)
    )


def _pick(scores: Sequence[float], choices: Sequence[str], metric: str) -> int:
    """The likeliest choice; ``acc_norm`` divides by its characters, as lm-eval counts them.

    lm-eval leaves the space out that stands between the prompt and the choice.
    """
    lengths = [float(len(choice.removeprefix(" "))) or 1.0 for choice in choices]
    per = lengths if metric.startswith("acc_norm") else [1.0] * len(scores)
    return max(range(len(scores)), key=lambda place: scores[place] / per[place])


def _parsed(written: str) -> Any:
    try:
        return json.loads(written)
    except json.JSONDecodeError:
        return None


class _Shelf:
    """The documents by task and item, indexed once."""

    def __init__(self, documents: pd.DataFrame | None) -> None:
        self._rows: dict[str, dict[str, dict[Any, Any]]] = {}
        self._tables: dict[str, pd.DataFrame] = {}
        if documents is not None and not documents.empty:
            self._tables = {str(task): rows for task, rows in documents.groupby("task")}

    def document(self, task: str, item: str) -> Mapping[Any, Any]:
        """The item's row, or an empty mapping where the run kept no documents."""
        if task not in self._rows:
            rows = self._tables[task].to_dict("records") if task in self._tables else []
            self._rows[task] = {str(row["item"]): row for row in rows}
        return self._rows[task].get(item, {})
