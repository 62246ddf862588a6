"""Reads this task's items and grades tool calls."""

import json
import re
from pathlib import Path
from typing import Any

import datasets

CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)


def load(**_: object) -> dict[str, datasets.Dataset]:
    """The items, and the worked examples that lm-eval puts before each of them."""
    return {"test": _read("items.jsonl"), "examples": _read("examples.jsonl")}


def _read(name: str) -> datasets.Dataset:
    lines = (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
    return datasets.Dataset.from_list([json.loads(line) for line in lines])


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """1 where the answer holds well-formed calls; one call, of the right tool; the right call.

    Strings must be equal but for case and outer blanks; numbers by value and not as text.
    """
    calls = parse_calls(results[0])
    (expected,) = parse_calls(doc["answer"])
    name_right = len(calls) == 1 and calls[0]["name"] == expected["name"]
    exact = name_right and _folded(calls[0]["arguments"]) == _folded(expected["arguments"])
    return {
        "format_valid": float(bool(calls)),
        "name_right": float(name_right),
        "exact": float(exact),
    }


def parse_calls(answer: str) -> list[dict[str, Any]]:
    """The calls of an answer, none if any of it is malformed.

    Two forms: Hermes, one object in each <tool_call>; SmolLM2, a list of them in one.
    """
    bodies = CALL.findall(answer)
    if len(bodies) != answer.count("<tool_call>"):
        return []
    try:
        read = [json.loads(body) for body in bodies]
    except json.JSONDecodeError:
        return []
    calls = [call for part in read for call in (part if isinstance(part, list) else [part])]
    return calls if all(_is_call(call) for call in calls) else []


def _is_call(call: Any) -> bool:
    return (
        isinstance(call, dict)
        and isinstance(call.get("name"), str)
        and isinstance(call.get("arguments"), dict)
    )


def _folded(value: Any) -> Any:
    """The same value with its strings in lower case; true and false kept apart from 1 and 0."""
    if isinstance(value, dict):
        return {key: _folded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_folded(part) for part in value]
    if isinstance(value, bool):
        return ("bool", value)
    return value.strip().lower() if isinstance(value, str) else value
