"""Sections of a document that a command writes, between two marks that name them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path


def write_section(file: Path, name: str, lines: Sequence[str]) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- end of name -->``."""
    text = file.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"{file} has no section {start} ... {end}")
    body = "\n".join([start, "", *lines, "", end])
    file.write_text(pattern.sub(lambda _: body, text), encoding="utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]
