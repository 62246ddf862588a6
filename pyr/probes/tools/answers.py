"""What an answer is: well-formed calls, a malformed attempt at one, or plain text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pyr.probes.tools.matching import Call

State = Literal["call", "malformed", "plain"]

_THOUGHT = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_ATTEMPTS = (
    # Markers of Hermes, Llama and Mistral; keys of a call; an answer that is JSON.
    re.compile(r"</?tool_call|<function|\[TOOL_CALLS\]|<\|python_tag\|>"),
    re.compile(r"""["'](name|arguments|parameters)["']\s*:"""),
    re.compile(r"^\s*(```(json|python)?\s*)?[\[{]\s*[\[{\"]"),
    # As in Python: a line that is nothing but `name(key=value)`, or a list of such.
    re.compile(r"^\s*\[?[A-Za-z_][\w.]*\(([A-Za-z_]\w*\s*=.*)?\)[\],]?.*$", re.MULTILINE),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The calls of an answer; none if it is malformed or plain."""

    state: State
    calls: Sequence[Call] = ()


def parse(text: str) -> Answer:
    """The state of an answer and its calls: all of them well-formed, or none.

    Two forms are taken: Hermes, one object in each <tool_call>; SmolLM2, a list of them in one,
    where an empty list says that nothing is called. Text around calls is allowed, thoughts are
    passed over.
    """
    text = _THOUGHT.sub("", text)
    if "<tool_call>" not in text:
        attempted = any(pattern.search(text) for pattern in _ATTEMPTS)
        return Answer("malformed" if attempted else "plain")
    bodies = _CALL.findall(text)
    if len(bodies) != text.count("<tool_call>"):
        return Answer("malformed")
    try:
        read = [json.loads(body) for body in bodies]
    except (json.JSONDecodeError, RecursionError):
        return Answer("malformed")
    objects = [each for part in read for each in (part if isinstance(part, list) else [part])]
    if not all(_is_call(each) for each in objects):
        return Answer("malformed")
    calls = [Call(each["name"], each["arguments"]) for each in objects]
    return Answer("call", calls) if calls else Answer("plain")


def _is_call(each: Any) -> bool:
    return (
        isinstance(each, dict)
        and isinstance(each.get("name"), str)
        and isinstance(each.get("arguments"), dict)
    )
