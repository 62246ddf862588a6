"""Tool calls in the Hermes form: a request, three tools of which one serves it, the right call."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROMPT = """<tools>
{tools}
</tools>
Answer with one tool call.
Request: {request}"""
HERE = Path(__file__).parent
TOOLS = {tool["name"]: tool for tool in json.loads((HERE / "tools.json").read_text("utf-8"))}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and the call that answers it."""

    tool: str
    request: str
    arguments: dict[str, Any]


def requests() -> list[Asked]:
    """One a line of `requests.txt`: tool | request | arguments."""
    lines = (HERE / "requests.txt").read_text("utf-8").splitlines()
    rows = [line.split(" | ") for line in lines]
    return [Asked(tool, request, json.loads(arguments)) for tool, request, arguments in rows]


def offered(rng: random.Random, asked: Asked) -> list[str]:
    """The names of three tools in random order, the right one among them."""
    others = [name for name in TOOLS if name != asked.tool]
    return rng.sample([asked.tool, *rng.sample(others, 2)], 3)


def prompt(asked: Asked, names: list[str]) -> str:
    """The user's message: the tools, the form of a call, the request."""
    tools = "\n".join(json.dumps(_schema(TOOLS[name])) for name in names)
    return PROMPT.format(tools=tools, request=asked.request)


def _schema(tool: dict[str, Any]) -> dict[str, Any]:
    """Parameters only with their types: a full JSON Schema doubles the prompt."""
    return {key: tool[key] for key in ("name", "description", "parameters")}


def call(name: str, arguments: dict[str, Any]) -> str:
    """A call in the Hermes form."""
    body = json.dumps({"name": name, "arguments": arguments})
    return f"<tool_call>\n{body}\n</tool_call>"


def items(rng: random.Random) -> list[dict[str, Any]]:
    """Every request once, in random order, with the call that answers it."""
    bank = requests()
    return [
        {
            "prompt": prompt(asked, offered(rng, asked)),
            "answer": call(asked.tool, asked.arguments),
            "cluster": asked.tool,
        }
        for asked in rng.sample(bank, len(bank))
    ]
