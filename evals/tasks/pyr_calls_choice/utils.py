"""Reads this task's items."""

import json
from pathlib import Path

import datasets


def load(**_: object) -> dict[str, datasets.Dataset]:
    """The items, and the worked examples that lm-eval puts before each of them."""
    return {"test": _read("items.jsonl"), "examples": _read("examples.jsonl")}


def _read(name: str) -> datasets.Dataset:
    lines = (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
    return datasets.Dataset.from_list([json.loads(line) for line in lines])
