"""Tool calls: to make one, to choose one, to make several, to make none, and to tell a result.

Six categories with about as many items each, in three levels: 1, a worked turn calls the same tool
in the same way; 2, it calls another tool; 3, there is no worked turn. Where no call is asked for,
`twin` is a request like it that the same tools do serve.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

SOURCE = yaml.safe_load((Path(__file__).parent / "tools.yml").read_text(encoding="utf-8"))
POOLS: dict[str, list[Any]] = SOURCE["pools"]
TOOLS: dict[str, dict[str, Any]] = SOURCE["tools"]
TELLING = [name for name, tool in TOOLS.items() if "gives" in tool]
ROUNDS = 9
LEVELS = (1, 2, 3)
REFUSALS = (
    ("Can you tell me a joke?", "None of my tools can do that."),
    ("Please paint my fence.", "I have no tool for that."),
    ("Who won the game last night?", "My tools cannot tell me that."),
    ("Is my shirt clean?", "I cannot find that out with my tools."),
    ("Please wash the car.", "There is no tool for that, I am sorry."),
)

Exchange = dict[str, Any]
"""A request and what follows it: calls, the tool's response, a reply; those that there are."""


def values(rng: random.Random, name: str) -> dict[str, Any]:
    """A value for every parameter of a tool, no two alike."""
    tool = TOOLS[name]
    chosen: dict[str, Any] = {}
    for parameter in tool["parameters"]:
        pool = POOLS.get(tool.get("slots", {}).get(parameter, parameter), [])
        free = [value for value in pool if value not in chosen.values()]
        if free:
            chosen[parameter] = rng.choice(free)
    return chosen


def filled(template: str, chosen: dict[str, Any]) -> str:
    """The template with words for the values: lists as people write them."""
    return template.format(**{name: _words(value) for name, value in chosen.items()})


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value[:-1]) + f" and {value[-1]}"
    return str(value)


def exchange(rng: random.Random, name: str) -> Exchange:
    """A request that the tool serves, and the call."""
    template = rng.choice(TOOLS[name]["asks"])
    fixed: dict[str, Any] = {}
    if isinstance(template, dict):
        fixed = {key: value for key, value in template.items() if key != "say"}
        template = template["say"]
    chosen = values(rng, name) | fixed
    right = {key: accepted(value) for key, value in chosen.items()}
    return {"request": filled(template, chosen), "calls": [{name: right}]}


def accepted(value: Any) -> list[Any]:
    """The value as the request has it, and what means the same."""
    if not isinstance(value, str):
        return [value]
    bare = re.sub(r"^(the|an?) | door$", "", value)
    return list(dict.fromkeys([value, re.sub(r"^(\d:\d\d)$", r"0\1", value), bare]))


def several(rng: random.Random, names: list[str]) -> Exchange:
    """One request for a call of each tool."""
    parts = [exchange(rng, name) for name in names]
    while len({part["request"] for part in parts}) < len(parts):
        parts = [exchange(rng, name) for name in names]
    return {
        "request": " ".join(part["request"] for part in parts),
        "calls": [call for part in parts for call in part["calls"]],
    }


def lacking(rng: random.Random, name: str) -> Exchange:
    """A request that leaves an argument out, and what to ask back."""
    request, reply = rng.choice(TOOLS[name]["lacks"])
    chosen = values(rng, name)
    return {"request": filled(request, chosen), "reply": filled(reply, chosen)}


def told(rng: random.Random, name: str) -> Exchange:
    """A whole round: request, call, response, answer; `says` is what the answer must hold."""
    gives = TOOLS[name]["gives"]
    asked = exchange(rng, name)
    arguments = {key: right[0] for key, right in asked["calls"][0][name].items()}
    response = {key: _given(rng, pool, arguments) for key, pool in gives["response"].items()}
    return {
        **asked,
        "response": response,
        "reply": filled(gives["answer"], arguments | response),
        "says": [str(response[key]) for key in gives["says"]],
    }


def _given(rng: random.Random, pool: str, arguments: dict[str, Any]) -> Any:
    if pool == "a + b":
        return arguments["a"] + arguments["b"]
    return rng.choice([value for value in POOLS[pool] if value not in arguments.values()])


def strangers(rng: random.Random, names: list[str], count: int) -> list[str]:
    """Tools that serve none of these tools' requests, nor each other's."""
    kins = {TOOLS[name]["kin"] for name in names}
    found: list[str] = []
    for name in rng.sample(list(TOOLS), len(TOOLS)):
        if TOOLS[name]["kin"] not in kins and len(found) < count:
            found.append(name)
            kins.add(TOOLS[name]["kin"])
    return found


# ------------------------------------------------------------------ categories


def simple(rng: random.Random, name: str, level: int) -> Exchange:
    """The one tool there is."""
    return {"tools": [name], **exchange(rng, name)}


def multiple(rng: random.Random, name: str, level: int) -> Exchange:
    """One tool of four."""
    return {"tools": [name, *strangers(rng, [name], 3)], **exchange(rng, name)}


def parallel(rng: random.Random, name: str, level: int) -> Exchange:
    """Two calls, or three at the last level: of one tool, or of two."""
    others = strangers(rng, [name], 1)
    called = [name] * (level // 3 + 1) + rng.choice([[name], others])
    return {"tools": [name, *others], **several(rng, called)}


def irrelevant(rng: random.Random, name: str, level: int) -> Exchange:
    """Two tools, of which none serves the request: `name` does, and is not offered."""
    tools = strangers(rng, [name], 2)
    reply = rng.choice(REFUSALS)[1]
    request = exchange(rng, name)["request"]
    twin = exchange(rng, tools[0])["request"]
    return {"tools": tools, "request": request, "reply": reply, "twin": twin}


def missing(rng: random.Random, name: str, level: int) -> Exchange:
    """The right tool is there, an argument is not."""
    tools = [name, *strangers(rng, [name], 1)]
    return {"tools": tools, **lacking(rng, name), "twin": exchange(rng, name)["request"]}


def response(rng: random.Random, name: str, level: int) -> Exchange:
    """The tool has answered: say what."""
    return {"tools": [name], **told(rng, name)}


CATEGORIES: dict[str, Callable[[random.Random, str, int], Exchange]] = {
    "simple": simple,
    "multiple": multiple,
    "parallel": parallel,
    "irrelevant": irrelevant,
    "missing": missing,
    "response": response,
}


def worked(rng: random.Random, category: str, name: str, item: Exchange) -> list[Exchange]:
    """The turns before the request: one with a call and one without, in random order."""
    level = item["level"]
    if level == 3:
        return []
    shown = item["tools"][0]
    if level == 2:
        telling = TELLING if category == "response" else list(TOOLS)
        free = strangers(rng, [name, *item["tools"]], len(TOOLS))
        shown = next(name for name in free if name in telling)
    if category == "response":
        return [{key: value for key, value in told(rng, shown).items() if key != "says"}]
    called = exchange(rng, shown)
    if category == "parallel" and level == 1:
        called = several(rng, [next(iter(call)) for call in item["calls"]])
    plain = dict(zip(("request", "reply"), rng.choice(REFUSALS), strict=True))
    if category == "missing" and level == 1:
        plain = lacking(rng, shown)
    turns = [called, plain]
    rng.shuffle(turns)
    return turns


def tells(turn: Exchange, item: Exchange) -> bool:
    """Whether a worked turn holds what the item's answer could be copied from."""
    said = any(turn.get(key) == item[key] for key in ("request", "response") if key in item)
    calls = [call for call in turn.get("calls", []) if call in item.get("calls", [])]
    told = all(each in turn.get("reply", "") for each in item["says"]) if "says" in item else False
    return said or told or bool(calls) or turn["request"] == item.get("twin")


def make(rng: random.Random, category: str, name: str, level: int) -> Exchange:
    """One item: what is offered, what went before, what is asked and what is right."""
    item = {"level": level, **CATEGORIES[category](rng, name, level)}
    before = worked(rng, category, name, item)
    while any(tells(turn, item) for turn in before):
        before = worked(rng, category, name, item)
    called = [tool for turn in before for call in turn.get("calls", []) for tool in call]
    tools = list(dict.fromkeys([*item["tools"], *called]))
    item = {"category": category, **item, "tools": rng.sample(tools, len(tools))}
    if before:
        item["worked"] = before
    if category in ("simple", "multiple", "parallel"):
        item["near"] = TOOLS[name]["near"]
    return {**item, "cluster": name}


def items(rng: random.Random) -> list[Exchange]:
    """Every category over every tool at every level, in random order."""
    made: dict[str, Exchange] = {}
    for category in CATEGORIES:
        names = TELLING if category == "response" else list(TOOLS)
        rounds = round(ROUNDS * len(TOOLS) / len(names) / 3) * 3
        for number in range(rounds * len(names)):
            name, level = names[number % len(names)], LEVELS[number // len(names) % 3]
            item = make(rng, category, name, level)
            while (key := re.sub(r"\W+", " ", str(_without_order(item)))) in made:
                item = make(rng, category, name, level)
            made[key] = item
    return rng.sample(list(made.values()), len(made))


def _without_order(item: Exchange) -> Exchange:
    return {**item, "tools": sorted(item["tools"])}
