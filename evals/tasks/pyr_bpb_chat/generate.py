"""Packs the written documents: `documents.txt` holds them, set apart by lines of `=====`."""

from __future__ import annotations

import random
from pathlib import Path


def items(_: random.Random) -> list[dict[str, str]]:
    """One document each, in the order of the file."""
    text = (Path(__file__).parent / "documents.txt").read_text(encoding="utf-8")
    return [{"text": part.strip("\n")} for part in text.split("\n=====\n")]
