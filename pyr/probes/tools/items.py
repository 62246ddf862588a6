"""What is asked: tools, a conversation, and the calls or the answer that it wants.

The project's own items lie in `evals/tasks/pyr_tools`: `tools.yml` has the tools, `items.jsonl`
names them. Both are written compactly and spelt out here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pyr.data.chat_formats import Turn
from pyr.probes.tools.matching import Call, Expected


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
