"""What a checkpoint wrote by itself, beside its baseline; and its style beside the reference texts.

Shown are the first texts of the first prompts of every domain: nobody picked them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from pyr.report.measures import Measure
from pyr.report.words import shorten
from pyr.store import Results

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
