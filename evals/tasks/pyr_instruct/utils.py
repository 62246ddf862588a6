"""Reads this task's items and grades answers with lm-eval's IFEval checkers."""

import json
from pathlib import Path
from typing import Any

import datasets

from pyr.probes.instructions import followed


def load(*, level: int, **_: object) -> dict[str, datasets.Dataset]:
    """The one split of a level, from the file beside this one."""
    lines = (Path(__file__).parent / "items.jsonl").read_text(encoding="utf-8").splitlines()
    items = [item for item in map(json.loads, lines) if item["level"] == level]
    return {"test": datasets.Dataset.from_list(items)}


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """1 where all instructions of the prompt are followed: by the answer as it is, or trimmed.

    Strict and loose as in IFEval (Zhou et al. 2023, arXiv 2311.07911, section 2.3), by prompt;
    and which of the instructions were followed, strictly.
    """
    graded = followed(doc, results[0])
    return {
        "strict": float(all(graded.strict)),
        "loose": float(all(graded.loose)),
        "instructions": list(graded.strict),
    }


def agg_inst_level_acc(items: list[list[bool]]) -> float:
    """Instructions followed of all that were asked, as lm-eval's `ifeval` counts them."""
    flat = [each for item in items for each in item]
    return sum(flat) / len(flat)
