"""The chat template: ChatML, Hermes tools, marks for the loss; and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a <city>",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
TOOLS_TURN = """<|im_start|>system
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{"type": "function", "function": {"name": "get_weather", "description": "Weather of a <city>", \
"parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
</tools>

For each function call, return a json object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
"""


def call(city: str) -> dict[str, object]:
    return {"type": "function", "function": {"name": "get_weather", "arguments": {"city": city}}}


def user(content: str) -> dict[str, object]:
    return {"role": "user", "content": content}


def assistant(content: str, **rest: object) -> dict[str, object]:
    return {"role": "assistant", "content": content, **rest}


@pytest.fixture(scope="module")
def tokenizer(shipped: Path):
    import transformers

    return transformers.AutoTokenizer.from_pretrained(shipped)


def render(tokenizer, messages: list[dict[str, object]], **options: object) -> str:
    return tokenizer.apply_chat_template(messages, tokenize=False, **options)


def test_turns_are_chatml(tokenizer) -> None:
    messages = [{"role": "system", "content": "Be brief."}, user("Hi"), assistant("Hello!")]
    assert render(tokenizer, [*messages, user("Bye")]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
    )


def test_a_generation_prompt_is_there_only_when_asked_for(tokenizer) -> None:
    plain = render(tokenizer, [user("Hi")])
    asked = render(tokenizer, [user("Hi")], add_generation_prompt=True)
    assert asked == plain + "<|im_start|>assistant\n"


def test_a_final_message_can_be_continued(tokenizer) -> None:
    messages = [user("Q"), assistant("The answer ")]
    found = render(tokenizer, messages, continue_final_message=True)
    assert found == "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nThe answer "


def test_tools_are_listed_in_the_system_turn(tokenizer) -> None:
    found = render(tokenizer, [user("Hi")], tools=[WEATHER])
    assert found == TOOLS_TURN + "<|im_start|>user\nHi<|im_end|>\n"


def test_a_system_message_stands_before_the_tools(tokenizer) -> None:
    messages = [{"role": "system", "content": "Be brief."}, user("Hi")]
    found = render(tokenizer, messages, tools=[WEATHER])
    assert found.startswith("<|im_start|>system\nBe brief.\n\n# Tools\n")
    assert found.count("<|im_start|>system") == 1


def test_calls_and_results_are_written_as_hermes_writes_them(tokenizer) -> None:
    messages = [
        user("Oslo and Rome?"),
        assistant("Let me look.", tool_calls=[call("Oslo"), call("Rome")]),
        {"role": "tool", "content": "4"},
        {"role": "tool", "content": "20"},
        assistant("4 and 20."),
    ]
    assert render(tokenizer, messages) == (
        "<|im_start|>user\nOslo and Rome?<|im_end|>\n"
        "<|im_start|>assistant\nLet me look.\n"
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>'
        "<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\n4\n</tool_response>\n"
        "<tool_response>\n20\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n4 and 20.<|im_end|>\n"
    )


def test_a_call_without_words_begins_at_once(tokenizer) -> None:
    found = render(tokenizer, [user("?"), assistant("", tool_calls=[call("Oslo")])])
    assert "<|im_start|>assistant\n<tool_call>\n" in found


def test_every_prefix_of_a_conversation_renders_as_a_prefix(tokenizer) -> None:
    messages = [
        user("Oslo?"),
        assistant("", reasoning_content="look it up", tool_calls=[call("Oslo")]),
        {"role": "tool", "content": "4"},
        assistant("4 degrees."),
        user("Thanks"),
    ]
    whole = render(tokenizer, messages, tools=[WEATHER])
    for length in (1, 2, 4):
        assert whole.startswith(render(tokenizer, messages[:length], tools=[WEATHER]))


def test_the_loss_is_over_what_the_assistant_says_and_its_end(tokenizer) -> None:
    messages = [
        user("Oslo?"),
        assistant("", tool_calls=[call("Oslo")]),
        user("Bye"),
        assistant("B"),
    ]
    found = tokenizer.apply_chat_template(
        messages, return_dict=True, return_assistant_tokens_mask=True
    )
    kept = [
        number
        for number, mask in zip(found["input_ids"], found["assistant_masks"], strict=True)
        if mask
    ]
    assert tokenizer.decode(kept) == (
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
        "<|im_end|>B<|im_end|>"
    )


def test_an_unknown_role_is_refused(tokenizer) -> None:
    import jinja2

    with pytest.raises(jinja2.TemplateError, match="unknown role 'robot'"):
        render(tokenizer, [{"role": "robot", "content": "beep"}])


@pytest.mark.parametrize(
    "said",
    [
        assistant("Hello!"),
        assistant("Two\nlines, and {braces}."),
        assistant("So 4.", reasoning_content="2 + 2\nis 4"),
        assistant("Let me look.", tool_calls=[call("Oslo"), call("Sa\u0303o Paulo \U0001f327")]),
        assistant("I will.", reasoning_content="Which city?", tool_calls=[call("Oslo")]),
    ],
    ids=["content", "lines", "thinking", "calls", "all"],
)
def test_what_was_rendered_is_parsed_back(tokenizer, said: dict[str, object]) -> None:
    prompt = render(tokenizer, [user("Q")], add_generation_prompt=True)
    whole = render(tokenizer, [user("Q"), said])
    assert tokenizer.parse_response(whole.removeprefix(prompt), prefix=prompt) == said


def test_a_call_survives_encoding_and_decoding_without_special_tokens(tokenizer) -> None:
    whole = render(tokenizer, [user("Q"), assistant("ok", tool_calls=[call("Oslo")])])
    decoded = tokenizer.decode(tokenizer.encode(whole), skip_special_tokens=True)
    answer = decoded.partition("assistant\n")[2]
    assert tokenizer.parse_response(answer, prefix="")["tool_calls"] == [call("Oslo")]


def test_a_malformed_call_is_an_error_not_a_guess(tokenizer) -> None:
    with pytest.raises(ValueError, match="could not parse"):
        tokenizer.parse_response("<tool_call>\n{oops\n</tool_call><|im_end|>", prefix="")
