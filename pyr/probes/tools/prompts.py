"""A conversation with tools as the checkpoint's own chat template writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pyr.errors import CheckpointError
from pyr.probes.tools.items import Turn

# In the words of Qwen2.5's chat template, which took them from Hermes.
_INSTRUCTIONS = """You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""

_PROBE_TOOL = {"name": "pyr_probe", "description": "", "parameters": {"type": "object"}}
_PROBE_TURNS = (
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b"},
    {"role": "tool", "content": "pyr_response"},
)


class Prompts:
    """Renders prompts for one tokenizer: tools by its template's `tools`, if it has that.

    Otherwise a system prompt in the Hermes form lists them, and what a tool responds stands in
    <tool_response> in a user's turn.
    """

    def __init__(self, tokenizer: Any, *, where: str) -> None:
        self._tokenizer = tokenizer
        self._where = where
        self.takes_tools = self._takes_tools()

    def render(self, tools: Sequence[Mapping[str, Any]], turns: Sequence[Turn]) -> str:
        """The text up to where the assistant answers.

        Raises CheckpointError if the template cannot render the conversation.
        """
        import jinja2

        try:
            if self.takes_tools:
                return self._apply(turns, tools)
            return self._apply(_with_system_prompt(tools, turns))
        except jinja2.TemplateError as error:
            raise CheckpointError(
                f"a conversation with tools cannot be rendered: {error}",
                where=f"checkpoint: {self._where}",
                remedy="mend the chat template",
            ) from error

    def _apply(self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]] = ()) -> str:
        functions = [{"type": "function", "function": tool} for tool in tools]
        rendered: str = self._tokenizer.apply_chat_template(
            [dict(turn) for turn in turns],
            tools=functions or None,
            tokenize=False,
            add_generation_prompt=True,
        )
        return rendered

    def _takes_tools(self) -> bool:
        import jinja2

        try:
            text = self._apply(_PROBE_TURNS, [_PROBE_TOOL])
        except (jinja2.TemplateError, TypeError):
            return False
        return "pyr_probe" in text and "pyr_response" in text


def _with_system_prompt(
    tools: Sequence[Mapping[str, Any]], turns: Sequence[Turn]
) -> list[dict[str, str]]:
    listed = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    given = [turn["content"] for turn in turns if turn["role"] == "system"]
    system = "\n\n".join([*given, _INSTRUCTIONS.format(tools=listed)])
    spoken = [_without_tool_role(turn) for turn in turns if turn["role"] != "system"]
    return [{"role": "system", "content": system}, *spoken]


def _without_tool_role(turn: Turn) -> dict[str, str]:
    if turn["role"] != "tool":
        return dict(turn)
    return {"role": "user", "content": f"<tool_response>\n{turn['content']}\n</tool_response>"}
