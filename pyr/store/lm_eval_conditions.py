"""How the tasks of a results file were put to the model: what decides whether two files compare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pyr import files
from pyr.store.lm_eval_format import LIKELIHOODS, published

UNKNOWN = "not stated"
_FORM = {
    "chat_template": "chat template",
    "system_instruction": "system instruction",
    "fewshot_as_multiturn": "few-shot turns",
}
_SHOWN = 40
"""Characters of a setting that are shown as they are."""


def other_harness(content: Any) -> str:
    """Which other harness wrote the file, as far as that shows; empty for lm-eval.

    lighteval, as the Open LLM Leaderboard used it, writes ``config_general`` and names tasks
    ``suite|task|shots`` (lighteval/logging/evaluation_tracker.py).
    """
    found = content if isinstance(content, dict) else {}
    tasks = list(_of(found, "results"))
    if "config_general" in found or any(task.count("|") >= 1 for task in tasks):
        return "lighteval or an old leaderboard"
    return ""


def form(content: Mapping[str, Any]) -> dict[str, str]:
    """How every task was put to the model: chat template, system instruction, few-shot turns.

    lm-eval knows them since 0.4.3, and states its own version about as long: a file without any
    was made before there was a choice.
    """
    before = "lm_eval_version" not in content and "chat_template" not in content
    found = {}
    for key, name in _FORM.items():
        value = content.get(key, None if before else UNKNOWN)
        found[name] = UNKNOWN if value == UNKNOWN else _short(value)
    if found["chat template"] == "none":
        # Turns of a chat: without a template the setting does nothing, and its default has changed.
        del found["few-shot turns"]
    return found


def _short(value: Any) -> str:
    """A value in few words: nothing given is ``none``, a long text is known by its digest."""
    if value in (None, "", False, {}):
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= _SHOWN else f"sha256 {files.text_sha256(text)[:12]}"


def task_settings(content: Mapping[str, Any], task: str) -> dict[str, str]:
    """What decides whether another file's scores of this task compare, by name."""
    members = _of(content, "group_subtasks").get(task) or [task]
    config = _of(content, "config")
    shots = {_shots(content, member) for member in (task, *members)} - {UNKNOWN}
    versions = {str(_of(content, "versions").get(each, UNKNOWN)) for each in (task, *members)}
    found = {
        **form(content),
        "few-shots": ", ".join(sorted(shots)) or UNKNOWN,
        "limit": _short(config["limit"]) if "limit" in config else UNKNOWN,
        "task version": ", ".join(sorted(versions - {UNKNOWN})) or UNKNOWN,
    }
    metrics = {each.metric for each in published(_of(content, "results")[task])}
    if metrics - LIKELIHOODS:
        asked = [_of(_of(content, "configs"), member) for member in members]
        own = {_short(each.get("generation_kwargs")) for each in asked if each} or {UNKNOWN}
        given = _short(config.get("gen_kwargs"))
        found["generation settings"] = "; ".join(sorted(own) + ([] if given == "none" else [given]))
    return found


def _shots(content: Mapping[str, Any], task: str) -> str:
    config = _of(_of(content, "configs"), task)
    for found in (_of(content, "n-shot").get(task), config.get("num_fewshot")):
        if isinstance(found, int):
            return str(found)
    everywhere = _of(content, "config").get("num_fewshot")
    return str(everywhere) if isinstance(everywhere, int) else UNKNOWN


def _of(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The mapping under a key, empty where there is none."""
    found = content.get(key)
    return found if isinstance(found, dict) else {}
