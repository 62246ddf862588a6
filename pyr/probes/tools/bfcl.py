"""BFCL-style: questions and answer keys of the public Berkeley Function-Calling Leaderboard files.

Read are the single-turn Python categories and those of irrelevance, in either layout: as published
(`BFCL_v4_simple_python.json`, its answers under `possible_answer/`), or one file a category with
the answers joined in as `ground_truth` (`simple_python.jsonl`, also `.xz`). Prompt and form of the
answer are Pyr's, so that the scores are no leaderboard scores.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyr.errors import ContentError, DataMissing
from pyr.probes.tools.items import Item, expected_calls, right_calls

CATEGORIES = {
    "simple": ("simple_python", "simple"),
    "multiple": ("multiple",),
    "parallel": ("parallel",),
    "parallel_multiple": ("parallel_multiple",),
    "irrelevance": ("irrelevance",),
    "live_simple": ("live_simple",),
    "live_multiple": ("live_multiple",),
    "live_parallel": ("live_parallel",),
    "live_parallel_multiple": ("live_parallel_multiple",),
    "live_irrelevance": ("live_irrelevance",),
}
"""Category -> names of its file, by version; v3's `simple` is v4's `simple_python`."""
_PREFIXES = ("", "BFCL_v4_", "BFCL_v3_")
_SUFFIXES = (".jsonl", ".jsonl.xz", ".json")
# BFCL's words for types (`bfcl_eval/constants/type_mappings.py`) in those of JSON Schema.
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
_OTHERS = 3
"""Wrong names for a question that offers one tool: those of the next questions."""


def bfcl_items(folder: Path) -> list[Item]:
    """The items of every category whose file is there.

    Raises DataMissing if there is none, ContentError for a file that cannot be read.
    """
    files = category_files(folder)
    if not files:
        raise DataMissing(
            "no file of the Berkeley Function-Calling Leaderboard.",
            where=f"looked in: {folder}",
            remedy="copy bfcl_eval/data of ShishirPatil/gorilla there",
        )
    return [item for category, file in files.items() for item in _read_items(category, file)]


def category_files(folder: Path) -> dict[str, Path]:
    """The file of every category that is there."""
    found = {category: _find(folder, names) for category, names in CATEGORIES.items()}
    return {category: file for category, file in found.items() if file}


def _find(folder: Path, names: Sequence[str]) -> Path | None:
    candidates = [
        folder / f"{prefix}{name}{suffix}"
        for name in names
        for prefix in _PREFIXES
        for suffix in _SUFFIXES
    ]
    return next((file for file in candidates if file.is_file()), None)


def _read_items(category: str, file: Path) -> list[Item]:
    rows = list(read_rows(file))
    answers = file.parent / "possible_answer" / file.name
    keys = (
        {row["id"]: row["ground_truth"] for row in read_rows(answers)} if answers.is_file() else {}
    )
    try:
        # A few rows of irrelevance offer no tool at all.
        firsts = [row["function"][0]["name"] if row["function"] else "" for row in rows]
        return [
            _item(category, row, keys.get(row["id"], row.get("ground_truth")), firsts, at)
            for at, row in enumerate(rows)
        ]
    except (KeyError, TypeError, IndexError) as error:
        raise ContentError(f"{file.name} is no BFCL file: {error!r}", where=str(file)) from error


def read_rows(file: Path) -> Iterator[Any]:
    """The rows of a file as they are; its answers may lie in another."""
    try:
        raw = file.read_bytes()
        text = (lzma.decompress(raw) if file.suffix == ".xz" else raw).decode()
        for line in text.splitlines():
            yield json.loads(line)
    except (lzma.LZMAError, ValueError) as error:
        raise ContentError(f"{file.name} cannot be read: {error}", where=str(file)) from error


def _after(names: Sequence[str], at: int) -> list[str]:
    """The next few other names, round the end."""
    following = [*names[at + 1 :], *names[:at]]
    others = [name for name in dict.fromkeys(following) if name not in ("", names[at])]
    return others[:_OTHERS]


def _item(category: str, row: Mapping[str, Any], key: Any, firsts: Sequence[str], at: int) -> Item:
    """firsts: the first tool of every row of the file; `at` is this row's place."""
    tools = [{**tool, "parameters": json_schema(tool["parameters"])} for tool in row["function"]]
    expected = [] if "irrelevance" in category else expected_calls(key)
    offered = [tool["name"] for tool in tools]
    right = {each.name for each in expected}
    wrong = [name for name in offered if name not in right] or _after(firsts, at)
    return Item(
        category=category,
        tools=tools,
        turns=[{"role": turn["role"], "content": turn["content"]} for turn in row["question"][0]],
        expected=expected,
        gold=right_calls(expected, tools),
        wrong_names=wrong if expected else (),
        cluster=firsts[at],
    )


def json_schema(written: Any) -> Any:
    """A schema in BFCL's words -> JSON Schema; what is no type stays as it is."""
    if isinstance(written, list):
        return [json_schema(each) for each in written]
    if not isinstance(written, dict):
        return written
    spelt = {name: json_schema(each) for name, each in written.items()}
    if isinstance(written.get("type"), str):
        spelt["type"] = _TYPES.get(written["type"], written["type"])
    return spelt
