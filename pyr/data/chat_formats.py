"""Everything that is known of chats: how data sets write them, how chat templates render them.

A quirk of a chat template or of a data set's chat form is handled here. Chat templates are Jinja
texts beside a tokenizer; transformers renders them (`apply_chat_template`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyr.errors import CheckpointError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Message = dict[str, Any]
Turn = Mapping[str, str]
"""`role` (system, user, assistant or tool) and `content`."""

TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")
"""Where a tokenizer's folder holds its template."""
TEMPLATE_KEY = "chat_template"
"""Where older ones hold it: a key of tokenizer_config.json."""
GGUF_TEMPLATE_KEY = b"tokenizer.chat_template"
"""Where a GGUF file holds it: a key of its metadata."""

_CHAT_COLUMNS = ("messages", "conversations", "turns")
_TEXT_COLUMNS = (
    "text", "tools", "conversations", "messages", "turns", "prompt", "chosen", "record",
)  # fmt: skip
"""Columns that a tokenizer learns from unless a source names its own, in this order."""
_SHAREGPT_ROLES = {"human": "user", "gpt": "assistant", "observation": "tool"}
# In the words of Qwen2.5's chat template, which took them from Hermes.
_TOOLS_PROMPT = """You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""


# ------------------------------------------------------------------ chats in data sets


def read_messages(row: dict[str, Any], column: str) -> list[Message]:
    """Return a row's chat as roles and contents; empty if it holds none.

    Understood are messages, ShareGPT's `from` and `value`, a list of texts (user and assistant in
    turn), and prompt with response.
    """
    chat = row.get(column)
    for name in _CHAT_COLUMNS:
        chat = chat or row.get(name)
    if not isinstance(chat, list):
        prompt, response = row.get("prompt"), row.get("response")
        if not isinstance(prompt, str) or not isinstance(response, str):
            return []
        chat = [prompt, response]
    if chat and isinstance(chat[0], dict):
        return [_read_message(message) for message in chat]
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": str(text)} for i, text in enumerate(chat)]


def _read_message(raw: Message) -> Message:
    if "from" not in raw:
        return {key: value for key, value in raw.items() if value is not None}
    role, value = raw["from"], raw.get("value") or ""
    if role != "function_call":
        return {"role": _SHAREGPT_ROLES.get(role, role), "content": value}
    # Glaive's form: one call as JSON, or a list of them; anything else is no call.
    try:
        calls = json.loads(raw["value"])
    except ValueError:
        calls = []
    calls = calls if isinstance(calls, list) else [calls]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def read_preference(row: dict[str, Any]) -> dict[str, Any] | None:
    """Return prompt, chosen and rejected, each a list of messages; None if one is missing."""
    if not all(row.get(key) for key in ("prompt", "chosen", "rejected")):
        return None
    prompt = row["prompt"]
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    pair = {"prompt": prompt}
    for key in ("chosen", "rejected"):
        answer = row[key]
        if isinstance(answer, str):
            answer = [{"role": "assistant", "content": answer}]
        elif len(answer) > len(prompt):
            # Some data sets repeat the prompt in both answers.
            answer = answer[len(prompt) :]
        pair[key] = answer
    return pair


def text_pieces(row: dict[str, Any], columns: Sequence[str]) -> tuple[str, ...]:
    """Return the texts of a row for a tokenizer to learn from: whole texts, turns one by one.

    columns: which to read; if empty, those of the usual names that the row has.
    """
    pieces: list[str] = []
    for name in columns or _TEXT_COLUMNS:
        pieces += _written(row.get(name))
    return tuple(filter(None, pieces))


def _written(value: Any) -> Iterator[str]:
    """Yield a text as it is, a list of texts or turns one by one, anything else as JSON."""
    if isinstance(value, list) and value:
        if all(isinstance(turn, dict) and {"role", "from"} & turn.keys() for turn in value):
            yield from map(_written_turn, value)
            return
        if all(isinstance(text, str) for text in value):
            yield from value
            return
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _written(inner)
    elif value is not None:
        yield json.dumps(value, ensure_ascii=False)


def _written_turn(turn: Message) -> str:
    """Return a turn as a chat template writes it: the role, a line end, and what was said."""
    role = str(turn.get("role") or turn.get("from"))
    rest = {key: value for key, value in turn.items() if key not in ("role", "from")}
    said: Any = rest.get("content") or rest.get("value") or rest.get("text") or rest
    if isinstance(said, list):
        pieces: list[str] = []
        for part in said:
            pieces += _written(part)
        said = "\n".join(pieces)
    return f"{role}\n{said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)}"


# ------------------------------------------------------------------ chat templates


def encode_chat(
    tokenizer: Any, row: dict[str, Any], column: str
) -> tuple[str, npt.NDArray[np.uint16], npt.NDArray[np.uint8]] | None:
    """Return a row's chat as rendered, its token ids, and 1 where the assistant speaks.

    The template marks that by ``{% generation %}``. None for a row without an answer, or with a
    role or form that the template does not know: it is read, and no document.
    """
    import jinja2
    import numpy as np

    messages = read_messages(row, column)
    if not any(message["role"] == "assistant" for message in messages):
        return None
    tools = row.get("tools")
    if isinstance(tools, str):
        tools = json.loads(tools)
    try:
        coded = tokenizer.apply_chat_template(
            messages, tools=tools or None, return_dict=True, return_assistant_tokens_mask=True
        )
    except jinja2.TemplateError:
        return None
    ids = coded["input_ids"]
    spoken = np.asarray(coded["assistant_masks"], dtype=np.uint8)
    return tokenizer.decode(ids), np.asarray(ids, dtype=np.uint16), spoken


def find_end_of_turn(tokenizer: Any) -> str | None:
    """Return what the template writes behind an answer; None if it does not write the answer.

    Raises CheckpointError if the template cannot be rendered.
    """
    answer = "Certainly"
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": answer}]
    text = _render(tokenizer, turns)
    return text.rpartition(answer)[2].lstrip() if answer in text else None


def find_missing_opening(tokenizer: Any) -> str:
    """Return what opens an answer, if the template leaves it out where an answer is asked for.

    Templates in which the answer follows the user's turn at once (``[/INST]``) need no opening.
    Raises CheckpointError if the template cannot be rendered.
    """
    question = {"role": "user", "content": "Question"}
    before = _render(tokenizer, [question])
    opened = _render(tokenizer, [question], add_generation_prompt=True)
    whole = _render(tokenizer, [question, {"role": "assistant", "content": "Answer"}])
    if opened != before or not whole.startswith(before):
        return ""
    return whole.removeprefix(before).partition("Answer")[0].strip()


def _render(tokenizer: Any, turns: Sequence[Turn], **options: Any) -> str:
    import jinja2

    turns = [dict(turn) for turn in turns]
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, **options))
    except (jinja2.TemplateError, ValueError, TypeError) as error:
        raise CheckpointError(f"it cannot be rendered: {error}") from error


class ToolPrompts:
    """Renders conversations with tools for one tokenizer.

    Tools are listed by its template's `tools`, if it has that. Otherwise a system prompt in the
    Hermes form lists them, and what a tool responds stands in <tool_response> in a user's turn.
    """

    def __init__(self, tokenizer: Any, *, where: str) -> None:
        self._tokenizer = tokenizer
        self._where = where
        turns = [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "tool", "content": "pyr_response"},
        ]
        tool = {"name": "pyr_probe", "description": "", "parameters": {"type": "object"}}
        try:
            text = self._apply(turns, [tool])
        except CheckpointError:
            text = ""
        self.takes_tools = "pyr_probe" in text and "pyr_response" in text

    def render(self, tools: Sequence[Mapping[str, Any]], turns: Sequence[Turn]) -> str:
        """Return the text up to where the assistant answers.

        Raises CheckpointError if the template cannot render the conversation.
        """
        try:
            if self.takes_tools:
                return self._apply(turns, tools)
            return self._apply(_describe_tools(tools, turns), [])
        except CheckpointError as error:
            raise CheckpointError(
                f"a conversation with tools cannot be rendered: {error.__cause__}",
                where=f"checkpoint: {self._where}",
                remedy="mend the chat template",
            ) from error

    def _apply(self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]]) -> str:
        functions = [{"type": "function", "function": tool} for tool in tools]
        return _render(self._tokenizer, turns, tools=functions or None, add_generation_prompt=True)


def _describe_tools(tools: Sequence[Mapping[str, Any]], turns: Sequence[Turn]) -> list[Turn]:
    """Return the conversation without roles that a plain template lacks: tools in the prompt."""
    listed = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    system: list[str] = []
    spoken: list[Turn] = []
    for turn in turns:
        if turn["role"] == "system":
            system.append(turn["content"])
        elif turn["role"] == "tool":
            text = f"<tool_response>\n{turn['content']}\n</tool_response>"
            spoken.append({"role": "user", "content": text})
        else:
            spoken.append(turn)
    prompt = "\n\n".join([*system, _TOOLS_PROMPT.format(tools=listed)])
    return [{"role": "system", "content": prompt}, *spoken]
