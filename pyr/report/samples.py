"""Items that changed sides (right before and wrong now, or the reverse); what a checkpoint writes.

Only measures whose items are right (1) or wrong (0) can flip. Items are shown in their own order,
which is the same for every checkpoint, so that nobody picked them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pyr.report.measures import GRAVITY, Measure
from pyr.report.words import one_line, shorten
from pyr.store import Results

TASKS_SHOWN = 8
SAMPLES_SHOWN = 4
"""Per task and direction: 64 samples at most, so that hostile text cannot swell the page."""
FEWEST_ITEMS = 10
"""Tasks with fewer come after all others: a flip of one of five says little."""
_METRICS = ("acc_norm", "acc", "exact_match", "exact", "strict")
"""What else may flip where a task's main measure is one of degrees, as bits per byte are."""
_LINE = 140
_USER_TURN = re.compile(
    r"<\|im_start\|>user|<\|user\|>|<\|start_header_id\|>user<\|end_header_id\|>"
)
_TURN_ENDS = re.compile(r"<\|(?:im_end|end|eot_id|assistant|endoftext)\|>")
_SPECIAL = re.compile(r"<\|[^|<>]*\|>")
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
    per_character: tuple[float | None, ...] = ()
    """Nats a character of every choice, where the measure picks by that."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One item with what both checkpoints said."""

    item: str
    prompt: str
    gist: str
    """The question in a line: the last user turn, or where the prompt ends."""
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
    """The flipped items of every task, those with a broken rule first, else as in `measures`."""
    if candidate.records.empty or baseline.records.empty:
        return ()
    shelf = _Shelf(documents)
    by_task: dict[str, list[Measure]] = {}
    for measure in measures:
        if measure.section == "task" and measure.group != measure.task:
            by_task.setdefault(measure.task, []).append(measure)
    found: list[Flips] = []
    for mine in sorted(by_task.values(), key=_urgency):
        if len(found) == TASKS_SHOWN:
            break
        for measure in sorted(mine, key=_preference):
            pairs = _pairs(candidate.records, baseline.records, measure)
            moved = _moved(pairs, measure, shelf)
            if moved is not None:
                found += [moved] if moved.lost + moved.gained else []
                break
    return tuple(found)


def _urgency(measures: Sequence[Measure]) -> tuple[bool, int]:
    """Tasks of a few items last; before, by the gravest rule on any of the task's measures."""
    items = max(each.candidate.n if each.candidate else 0 for each in measures)
    return (items < FEWEST_ITEMS, min(GRAVITY[each.rule] for each in measures))


def _preference(measure: Measure) -> tuple[bool, int]:
    """The main measure first, then those that are known to be right or wrong."""
    metric = measure.metric.partition(",")[0]
    place = _METRICS.index(metric) if metric in _METRICS else len(_METRICS)
    return (not measure.main, place)


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
    right_text = now.text if row["value_new"] == 1 else before.text
    if not choices and wanted.isdecimal() and wanted not in right_text:
        # The number of a choice that the item does not have is no answer.
        wanted = ""
    prompt = str(document.get("prompt", ""))
    return Sample(
        item=item,
        gist=_gist(prompt),
        prompt=shorten(prompt, _PROMPT, keep="tail"),
        choices=tuple(shorten(choice, _CHOICE) for choice in choices[:_CHOICES]),
        target=target,
        wanted=shorten(choices[target] if target is not None else wanted, _CHOICE),
        baseline=before,
        candidate=now,
    )


def _gist(prompt: str) -> str:
    """A line that tells what is asked: a chat's last user turn, else the end of the prompt."""
    turns = _USER_TURN.split(prompt)
    if len(turns) == 1:
        return one_line(_SPECIAL.sub(" ", prompt))[-_LINE:]
    return one_line(_SPECIAL.sub(" ", _TURN_ENDS.split(turns[-1])[0]))[:_LINE]


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
    if len(scores) != len(choices) or len(choices) < 2:
        return Answer(text="", scores=finite[:_CHOICES], pick=None)
    weighed = _weighed(scores, choices, metric)
    pick = max(range(len(weighed)), key=lambda place: weighed[place])
    shown = tuple(score if abs(score) < float("inf") else None for score in weighed)
    per_character = shown[:_CHOICES] if weighed != scores else ()
    return Answer(text="", scores=finite[:_CHOICES], pick=pick, per_character=per_character)


def _is_score(each: Any) -> bool:
    return (
        isinstance(each, list)
        and len(each) >= 1
        and isinstance(each[0], int | float)
        and not isinstance(each[0], bool)
    )


def _weighed(scores: Sequence[float], choices: Sequence[str], metric: str) -> list[float]:
    """What the pick goes by: ``acc_norm`` divides by the characters, as lm-eval counts them.

    lm-eval leaves the space out that stands between the prompt and the choice.
    """
    if not metric.startswith("acc_norm"):
        return list(scores)
    lengths = [float(len(choice.removeprefix(" "))) or 1.0 for choice in choices]
    return [score / length for score, length in zip(scores, lengths, strict=True)]


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


# ------------------------------------------------------------------ what a checkpoint writes
# Shown are the first texts of the first prompts of every domain: nobody picked them.


PREFIX = "samples_"
PROMPTS_SHOWN = 2
_TEXT, _PROMPT = 1500, 400


@dataclass(frozen=True, slots=True)
class Trait:
    """One feature of a domain's texts."""

    measure: Measure
    reference: float | None
    """The mean over the reference texts."""
    distance: Measure | None
    """How far the texts lie from the reference in this feature."""


@dataclass(frozen=True, slots=True)
class Text:
    """The same prompt, gone on with by both checkpoints."""

    prompt: str
    candidate: str
    baseline: str | None
    """None where there is no baseline, or it was not asked this."""


@dataclass(frozen=True, slots=True)
class Writing:
    """One domain."""

    domain: str
    traits: tuple[Trait, ...]
    texts: tuple[Text, ...]


def writing(
    candidate: Results,
    baseline: Results | None,
    measures: Sequence[Measure],
    documents: pd.DataFrame | None,
) -> tuple[Writing, ...]:
    """Every domain of the samples probe, in the order of its records."""
    said, heard = _texts(candidate), _texts(baseline) if baseline else {}
    prompts = _prompts(documents)
    # All texts of one prompt are a cluster; the first stands for them.
    firsts = _generated(candidate).drop_duplicates(["task", "cluster"])
    found = []
    for task, items in said.items():
        shown = firsts.loc[firsts["task"] == task, "item"].astype(str)[:PROMPTS_SHOWN]
        texts = [
            Text(
                prompt=shorten(prompts.get((task, item), ""), _PROMPT, keep="tail"),
                candidate=shorten(items[item], _TEXT),
                baseline=_other(heard.get(task, {}), item),
            )
            for item in shown
        ]
        found.append(Writing(task.removeprefix(PREFIX), _traits(task, measures), tuple(texts)))
    return tuple(found)


def _other(texts: Mapping[str, str], item: str) -> str | None:
    return shorten(texts[item], _TEXT) if item in texts else None


def _generated(results: Results) -> pd.DataFrame:
    """The records that hold a generated text."""
    records = results.records
    return records[(records["kind"] == "generation") & (records["responses"] != "")]


def _texts(results: Results) -> dict[str, dict[str, str]]:
    """By task and item what was written."""
    found: dict[str, dict[str, str]] = {}
    for row in _generated(results).to_dict("records"):
        written = json.loads(row["responses"] or "[]")
        if written:
            found.setdefault(str(row["task"]), {})[str(row["item"])] = str(written[0])
    return found


def _prompts(documents: pd.DataFrame | None) -> dict[tuple[str, str], str]:
    if documents is None or documents.empty:
        return {}
    rows = documents.to_dict("records")
    return {(str(row["task"]), str(row["item"])): str(row["prompt"]) for row in rows}


def _traits(task: str, measures: Sequence[Measure]) -> tuple[Trait, ...]:
    mine = {each.metric: each for each in measures if each.task == task}
    found = []
    for metric, measure in sorted(mine.items()):
        if f"distance_{metric}" not in mine:
            continue
        known = mine.get(f"{metric}@reference")
        reference = known.candidate.value if known and known.candidate else None
        found.append(Trait(measure, reference, mine[f"distance_{metric}"]))
    return tuple(found)
