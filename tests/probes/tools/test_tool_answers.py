"""Whether an answer is a call, a malformed attempt, or plain, on answers written by hand."""

from __future__ import annotations

import pytest

from pyr.probes.tools.grade import parse

ONE = '{"name": "add", "arguments": {"a": 1, "b": 2}}'
TWO = '{"name": "ping", "arguments": {}}'


def tagged(*bodies: str) -> str:
    return "\n".join(f"<tool_call>\n{body}\n</tool_call>" for body in bodies)


CALLS = [
    (tagged(ONE), 1),
    (tagged(ONE, TWO), 2),
    (tagged(ONE, ONE, TWO), 3),
    (f"<tool_call>{ONE}</tool_call>", 1),
    (f"<tool_call> {ONE} </tool_call>  ", 1),
    (f"<tool_call>{ONE}</tool_call><tool_call>{TWO}</tool_call>", 2),
    (f"<tool_call>[{ONE}]</tool_call>", 1),
    (f"<tool_call>[{ONE}, {TWO}]</tool_call>", 2),
    (f"<tool_call>\n[\n  {ONE},\n  {TWO}\n]\n</tool_call>", 2),
    (f"I will add them.\n{tagged(ONE)}", 1),
    (f"{tagged(ONE)}\nThat is it.", 1),
    (f"One: {tagged(ONE)} two: {tagged(TWO)}", 2),
    (f"<think>Which tool?</think>{tagged(ONE)}", 1),
    (f"<think>Maybe <tool_call>{{</think>\n{tagged(ONE)}", 1),
    (tagged('{"arguments": {"a": 1}, "name": "add"}'), 1),
    (tagged('{"name": "add", "arguments": {"a": {"b": [1, {"c": null}]}}}'), 1),
    (tagged('{"name": "add", "arguments": {"a": "<b>"}}'), 1),
    (tagged('{"name": "add", "arguments": {"a": "\\u00e4"}}'), 1),
    (tagged('{"id": 7, "name": "add", "arguments": {}}'), 1),
    (tagged('{"name": "calendar.add", "arguments": {"on": true}}'), 1),
    (tagged(ONE) + tagged(f"[{TWO}]"), 2),
]
MALFORMED = [
    f"<tool_call>\n{ONE}",
    f"<tool_call>\n{ONE[:-1]}\n</tool_call>",
    tagged(ONE, "oops"),
    tagged(ONE) + "\n<tool_call>",
    tagged(""),
    tagged("add(1, 2)"),
    tagged("{'name': 'add', 'arguments': {}}"),
    tagged('{"name": "add"}'),
    tagged('{"arguments": {}}'),
    tagged('{"name": "add", "arguments": "1, 2"}'),
    tagged('{"name": "add", "arguments": [1, 2]}'),
    tagged('{"name": 3, "arguments": {}}'),
    tagged('{"name": "add", "parameters": {}}'),
    tagged('"add"'),
    tagged("null"),
    tagged(f"[{ONE}, 3]"),
    tagged(f"{ONE}, {TWO}"),
    ONE,
    f"[{ONE}]",
    f"```json\n{ONE}\n```",
    f"Here: {ONE}",
    "</tool_call>",
    "<function=add>{}</function>",
    "[TOOL_CALLS]",
    "add(a=1, b=2)",
    "[add(a=1, b=2), ping()]",
    '<tool_call>{"name": "add", "arguments": {"a": ' + "[" * 100_000 + "</tool_call>",
]
PLAIN = [
    "",
    "  \n",
    "I have no tool for that.",
    "For which city?",
    "None of my tools can do that, I am sorry.",
    "It is 17 degrees and cloudy in Paris.",
    "The sum is 3.",
    "1, 2, 3",
    "Use the tool add for that.",
    "The function f(x) = x + 2 grows.",
    "I can call you a taxi (if you like).",
    "Dear [name], here is a list:\n- milk\n- bread",
    "[1] Smith wrote this.",
    'She said "name it" and left.',
    "x < y and y > z",
    "Set {1, 2} has two members.",
    "<think>No tool fits.</think>I cannot do that.",
    "<tool_call>[]</tool_call>",
    "<tool_call>\n[]\n</tool_call>",
    "I have no tool: <tool_call>[]</tool_call>",
    "Name: Anna. Arguments: none.",
]


@pytest.mark.parametrize(("text", "count"), CALLS)
def test_well_formed_calls_are_read(text, count):
    answer = parse(text)
    assert (answer.state, len(answer.calls)) == ("call", count)


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
def test_an_attempt_that_cannot_be_read_is_malformed_and_gives_no_call(text):
    answer = parse(text)
    assert (answer.state, answer.calls) == ("malformed", ())


@pytest.mark.parametrize("text", PLAIN)
def test_an_answer_without_a_call_is_plain(text):
    assert parse(text).state == "plain"


def test_a_call_is_read_as_it_is_written():
    [call] = parse(tagged(ONE)).calls
    assert (call.name, call.arguments) == ("add", {"a": 1, "b": 2})
