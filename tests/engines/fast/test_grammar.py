"""Answers held to a grammar: random weights say what they may, and nothing else changes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from pyr.checkpoint import identify
from pyr.engines import EngineSettings, open_model
from pyr.errors import ContentError, UsageError
from pyr.probes.tools.grade import parse
from pyr.probes.tools.items import calls_only

needs_xgrammar = pytest.mark.skipif(
    importlib.util.find_spec("xgrammar") is None, reason="xgrammar is not installed"
)
PROPERTIES = {"on": {"type": "boolean"}, "mode": {"type": "string", "enum": ["day", "night"]}}
TOOLS = [
    {
        "name": name,
        "description": "",
        "parameters": {"type": "object", "properties": PROPERTIES, "required": list(PROPERTIES)},
    }
    for name in ("light.set", "heat")
]


@pytest.fixture(scope="module")
def fast(tiny_checkpoint: Path) -> Any:
    settings = EngineSettings(engine="fast", device="cpu").resolved()
    return open_model(identify(tiny_checkpoint), settings)


def answers(lm: Any, prompts: list[str], **options: Any) -> list[str]:
    how = {"until": [], "do_sample": False, "max_gen_toks": 160, **options}
    requests = [
        Instance("generate_until", {}, (prompt, how), 0, ("calls", number, 1))
        for number, prompt in enumerate(prompts)
    ]
    return lm.generate_until(requests)


@needs_xgrammar
def test_random_weights_make_well_formed_calls_of_the_tools_alone(fast):
    prompts = ["def f(x):", "Light, please.", "return None", "0 1 2 3"]
    for text in answers(fast, prompts, structural_tag=calls_only(TOOLS)):
        whole = text[: text.rindex("</tool_call>") + len("</tool_call>")]
        answer = parse(whole)
        assert answer.state == "call"
        for call in answer.calls:
            assert call.name in ("light.set", "heat")
            assert list(call.arguments) == ["on", "mode"]
            assert isinstance(call.arguments["on"], bool)
            assert call.arguments["mode"] in ("day", "night")


@needs_xgrammar
def test_the_free_answers_beside_them_stay_what_they_are(fast):
    free = answers(fast, ["Light, please."], max_gen_toks=12)
    answers(fast, ["Light, please."], max_gen_toks=12, structural_tag=calls_only(TOOLS))
    assert answers(fast, ["Light, please."], max_gen_toks=12) == free


@needs_xgrammar
def test_a_grammar_that_is_none_is_refused(fast):
    with pytest.raises(ContentError, match="grammar cannot be compiled"):
        answers(fast, ["x"], structural_tag={"type": "structural_tag", "format": {"type": "x"}})


def test_without_the_package_the_remedy_names_the_extra(fast, monkeypatch):
    monkeypatch.setitem(sys.modules, "xgrammar", None)
    with pytest.raises(UsageError) as missing:
        answers(fast, ["x"], structural_tag=calls_only(TOOLS))
    assert "pyr-lm[grammar]" in missing.value.remedy
