"""The scores of an answer, kept apart, on answers written by hand."""

from __future__ import annotations

import json

import pytest

from pyr.probes.tools.grade import Expected, grade
from pyr.probes.tools.items import Item


def tool(name: str, **types: str) -> dict:
    properties = {key: {"type": each} for key, each in types.items()}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "parameters": parameters}


def call(name: str, **arguments: object) -> str:
    body = json.dumps({"name": name, "arguments": arguments})
    return f"<tool_call>\n{body}\n</tool_call>"


TOOLS = [tool("get_weather", city="string"), tool("get_time", city="string")]
PARIS, OSLO = ({"city": [city]} for city in ("Paris", "Oslo"))
ONE = Item("simple", TOOLS, [], [Expected("get_weather", PARIS)])
BOTH = Item("parallel", TOOLS, [], [Expected("get_weather", PARIS), Expected("get_time", OSLO)])
NONE = Item("irrelevant", TOOLS, [])
TOLD = Item("response", TOOLS, [], says=["17", "cloudy"])


def scores(item: Item, text: str) -> dict[str, float]:
    return {metric: score.value for metric, score in grade(item, text).items()}


@pytest.mark.parametrize(
    ("item", "text", "form", "name", "arguments", "exact"),
    [
        (ONE, call("get_weather", city="Paris"), 1, 1, 1, 1),
        (ONE, "Sure: " + call("get_weather", city="paris"), 1, 1, 1, 1),
        (ONE, call("get_weather", city="Rome"), 1, 1, 0, 0),
        (ONE, call("get_weather"), 1, 1, 0, 0),
        (ONE, call("get_weather", city="Paris", days=1), 1, 1, 0, 0),
        (ONE, call("get_time", city="Paris"), 1, 0, 1, 0),
        (ONE, call("fetch_weather", town="Paris"), 1, 0, 0, 0),
        (ONE, call("get_weather", city="Paris") * 2, 1, 0, 0, 0),
        (ONE, call("get_weather", city="Paris")[:-12], 0, 0, 0, 0),
        (ONE, "It is sunny in Paris.", 0, 0, 0, 0),
        (BOTH, call("get_weather", city="Paris") + call("get_time", city="Oslo"), 1, 1, 1, 1),
        (BOTH, call("get_time", city="Oslo") + call("get_weather", city="Paris"), 1, 1, 1, 1),
        (BOTH, call("get_weather", city="Oslo") + call("get_time", city="Paris"), 1, 1, 1, 0),
        (BOTH, call("get_time", city="Oslo") + call("get_time", city="Paris"), 1, 0, 1, 0),
        (BOTH, call("get_weather", city="Paris"), 1, 0, 0, 0),
    ],
)
def test_form_name_and_arguments_are_scored_apart(item, text, form, name, arguments, exact):
    found = scores(item, text)
    assert (found["format_valid"], found["name_right"]) == (form, name)
    assert (found["arguments_right"], found["exact"]) == (arguments, exact)


PLAIN = [
    "I have no tool for that.",
    "For which city?",
    "None of my tools can do that.",
    "Sorry, no.",
    "Which one do you mean, Paris or Oslo?",
    "My tools tell weather and time only.",
    "I cannot find that out with my tools.",
    "There is no tool for that, I am sorry.",
    "At what time?",
    "Please tell me the city.",
    "I would need to know your city (name).",
    "Use get_weather for weather; nothing here plays songs.",
    "That is not possible.",
    "?",
    "No",
    "To whom should it go, and what is the subject?",
    "I can tell the time, not paint fences.",
    "<think>Nothing fits.</think>No tool fits.",
    "<tool_call>[]</tool_call>",
    "1. get_weather\n2. get_time\nNeither helps.",
]
NOT_PLAIN = [
    "",
    "   ",
    "\n\n",
    call("get_weather", city="Paris"),
    call("get_time", city="Oslo"),
    call("nothing"),
    "I will try. " + call("get_weather", city=""),
    call("get_weather", city="Paris") + "\nIs that right?",
    f"<tool_call>[{json.dumps({'name': 'get_time', 'arguments': {}})}]</tool_call>",
    "<tool_call>",
    "<tool_call>none</tool_call>",
    "<tool_call>{}</tool_call>",
    "I cannot. <tool_call>null</tool_call>",
    '{"name": "get_weather", "arguments": {"city": "Paris"}}',
    '```json\n{"name": "get_time"}\n```',
    '{"name": "none"}',
    'get_weather(city="Paris")',
    "[get_weather(city='Paris')]",
    "get_time()",
    "</tool_call>",
    "<function=get_time>",
]


@pytest.mark.parametrize("text", PLAIN)
def test_a_plain_answer_is_right_where_no_call_is_called_for(text):
    assert scores(NONE, text) == {"abstained": 1, "called": 0, "malformed": 0}


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_neither_a_call_nor_an_attempt_nor_silence_is_an_abstention(text):
    assert scores(NONE, text)["abstained"] == 0


TELLS = [
    "It is 17 degrees and cloudy in Paris.",
    "Cloudy, 17.",
    "17, cloudy",
    "CLOUDY at 17 degrees",
    "It is cloudy. The temperature is 17.",
    "17C would be wrong to write, but 17 C and cloudy is fine",
    "The weather: cloudy; degrees: 17",
    "(17) cloudy!",
    "It's a cloudy day with 17\u00b0.",
    "Between clouds: cloudy, exactly 17.",
    "17 degrees, a bit cloudy, 3 birds",
    "cloudy\n17",
    "cloudy -17 is 17 below",
    "You asked for Paris: cloudy and 17 degrees.",
    "**17** degrees, *cloudy*",
    "<think>The tool said so.</think>17 and cloudy",
    "17/cloudy",
    '"17" and "cloudy"',
    "Paris has 17 degrees today, it stays cloudy until night.",
    "17 degrees. Cloudy.",
]
DOES_NOT_TELL = [
    "",
    "It is 17 degrees.",
    "It is cloudy.",
    "It is 18 degrees and cloudy.",
    "It is 170 degrees and cloudy.",
    "It is 117 degrees and cloudy.",
    "It is 17.5 degrees and cloudy.",
    "It is 0.17 degrees and cloudy.",
    "It is 17,5 degrees and cloudy.",
    "It is 17th and cloudy.",
    "Seventeen, cloudy.",
    "17 and uncloudy",
    "17 clouds",
    "17 and cloudyish",
    "I do not know.",
    call("get_weather", city="Paris"),
    "17, cloudy " + call("get_weather", city="Paris"),
    '{"name": "17", "sky": "cloudy"}',
    "<tool_call> 17 cloudy",
    '{"degrees": 17, "sky": "cloudy"}',
]


@pytest.mark.parametrize("text", TELLS)
def test_an_answer_that_tells_what_the_tool_said_is_right(text):
    assert scores(TOLD, text)["exact"] == 1


@pytest.mark.parametrize("text", DOES_NOT_TELL)
def test_an_answer_that_does_not_tell_it_plainly_is_wrong(text):
    assert scores(TOLD, text)["exact"] == 0


def test_the_three_states_of_an_answer_are_told_apart():
    states = [scores(NONE, text) for text in (call("get_time"), "<tool_call>", "No.")]
    assert [state["called"] for state in states] == [1, 0, 0]
    assert [state["malformed"] for state in states] == [0, 1, 0]
    assert [state["abstained"] for state in states] == [0, 0, 1]


def test_what_is_better_lower_says_so():
    better = {metric: score.direction for metric, score in grade(NONE, "No.").items()}
    assert better == {"abstained": "higher", "called": "lower", "malformed": "lower"}
