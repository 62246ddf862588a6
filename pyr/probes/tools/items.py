"""What is asked: tools, a conversation, and the calls or the answer that it wants.

The project's own items lie in `evals/tasks/pyr_tools`: `tools.yml` has the tools, `items.jsonl`
names them. Both are written compactly and spelt out here.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pyr.data.chat_formats import Turn
from pyr.errors import ContentError, DataMissing
from pyr.probes.tools.grade import Call, Expected


@dataclass(frozen=True, slots=True)
class Item:
    """One question to a model that has tools."""

    category: str
    tools: Sequence[Mapping[str, Any]]
    """Each with name, description and parameters, a JSON Schema."""
    turns: Sequence[Turn]
    """The conversation up to the answer that is asked for."""
    expected: Sequence[Expected] = ()
    """The calls that are right; none where the answer is to be plain."""
    says: Sequence[str] = ()
    """What a plain answer must hold."""
    gold: str = ""
    """The right answer; empty where it has no one wording."""
    wrong_names: Sequence[str] = ()
    """Names of tools that would be wrong to call."""
    twin: Sequence[Turn] = ()
    """The same conversation with a request that the tools do serve."""
    cluster: str = ""


def right_calls(expected: Sequence[Expected], tools: Sequence[Mapping[str, Any]]) -> str:
    """The calls that are expected, in the Hermes form."""
    by_name = {tool["name"]: tool for tool in tools}
    return hermes([first_right(each, by_name[each.name]) for each in expected])


def hermes(calls: Sequence[Call]) -> str:
    """Calls in the Hermes form (NousResearch, Hermes-Function-Calling), each in its own tags."""
    return "\n".join(
        f"{opening(call.name)}: {json.dumps(call.arguments, ensure_ascii=False)}}}\n</tool_call>"
        for call in calls
    )


def opening(name: str) -> str:
    """The beginning of a call up to the end of its name: what a wrong name is weighed against."""
    return f'<tool_call>\n{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments"'


def calls_only(tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The grammar of answers that are nothing but calls of these tools, as xgrammar writes it."""
    # A weak model would fill its answer with blanks, which JSON allows everywhere.
    how = {"type": "json_schema", "max_whitespace_cnt": 1}
    tags = [
        {
            "type": "tag",
            "begin": f"{opening(tool['name'])}: ",
            "content": {**how, "json_schema": tool["parameters"]},
            "end": "}\n</tool_call>",
        }
        for tool in tools
    ]
    calls = {"type": "tags_with_separator", "tags": tags, "separator": "\n", "at_least_one": True}
    return {"type": "structural_tag", "format": calls}


def first_right(expected: Expected, tool: Mapping[str, Any]) -> Call:
    """The call with the first right value of every argument that may not be left out."""
    required = tool["parameters"].get("required", ())
    arguments = {
        name: _spelt(_first(right))
        for name, right in expected.arguments.items()
        if "" not in right or name in required
    }
    return Call(expected.name, arguments)


def _first(right: Sequence[Any]) -> Any:
    """An argument without right values, as a few public ones are, cannot be got right anyway."""
    return next((value for value in right if value != ""), "")


def _spelt(value: Any) -> Any:
    """A dict gives by key the values that are right: the first of each, optional keys left out."""
    if isinstance(value, dict):
        return {key: _spelt(_first(right)) for key, right in value.items() if "" not in right}
    if isinstance(value, list):
        return [_spelt(each) if isinstance(each, dict) else each for each in value]
    return value


def expected_calls(written: Sequence[Mapping[str, Any]]) -> list[Expected]:
    """From BFCL's form of an answer key: {name: {argument: [right values]}} for every call."""
    return [Expected(name, right) for each in written for name, right in each.items()]


def own_items(folder: Path) -> list[Item]:
    """The items of `pyr_tools`, in the order of the file."""
    source = yaml.safe_load((folder / "tools.yml").read_text(encoding="utf-8"))
    tools = {name: _schema(name, written) for name, written in source["tools"].items()}
    lines = (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()
    return [_own_item(json.loads(line), tools) for line in lines]


def _schema(name: str, written: Mapping[str, Any]) -> dict[str, Any]:
    properties = {
        key: {"type": each} if isinstance(each, str) else each
        for key, each in written["parameters"].items()
    }
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "description": written["description"], "parameters": parameters}


def _own_item(written: Mapping[str, Any], tools: Mapping[str, Any]) -> Item:
    offered = [tools[name] for name in written["tools"]]
    before = [turn for each in written.get("worked", ()) for turn in _turns(each, offered)]
    twin = [*before, *_turns({"request": written["twin"]}, offered)] if "twin" in written else []
    told = "response" in written
    expected = [] if told else expected_calls(written.get("calls", ()))
    asked = {key: written[key] for key in ("request", "calls", "response") if key in written}
    others = {*written["tools"], *written.get("near", ())} - {each.name for each in expected}
    return Item(
        category=written["category"],
        tools=offered,
        turns=[*before, *_turns(asked if told else {"request": written["request"]}, offered)],
        expected=expected,
        says=written.get("says", ()),
        gold=written["reply"] if told else right_calls(expected, offered),
        wrong_names=sorted(others) if expected else (),
        twin=twin,
        cluster=written["cluster"],
    )


def _turns(exchange: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """The turns of an exchange: a request, calls, what the tool responds, a reply."""
    turns: list[Turn] = [{"role": "user", "content": exchange["request"]}]
    if "calls" in exchange:
        calls = right_calls(expected_calls(exchange["calls"]), tools)
        turns.append({"role": "assistant", "content": calls})
    if "response" in exchange:
        turns.append({"role": "tool", "content": json.dumps(exchange["response"])})
    if "reply" in exchange:
        turns.append({"role": "assistant", "content": exchange["reply"]})
    return turns


# ------------------------------------------------------------------
# BFCL-style: questions and answer keys of the public Berkeley Function-Calling Leaderboard files.
#
# Read are the single-turn Python categories and those of irrelevance, in either layout: as
# published (`BFCL_v4_simple_python.json`, its answers under `possible_answer/`), or one file a
# category with the answers joined in as `ground_truth` (`simple_python.jsonl`, also `.xz`). Prompt
# and form of the answer are Pyr's, so that the scores are no leaderboard scores.


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
