"""The tools probe over a tiny model: what it asks of the engine, and what it records."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from factories_probes import Holding

from pyr.data.chat_formats import ToolPrompts
from pyr.errors import ContentError, DataMissing, UsageError
from pyr.evaluate import suite_digest
from pyr.probes import make_probe
from pyr.probes.tools import Tools
from pyr.probes.tools.items import opening, own_items
from pyr.schema import ProbeSpec, Suite

FOLDER = Path(__file__).parents[3] / "evals" / "tasks" / "pyr_tools"
EVERY = {"malformed"}
CALLING = EVERY | {"exact", "format_valid", "name_right", "arguments_right"}
METRICS = {
    "irrelevant": EVERY | {"abstained", "called", "restraint"},
    "missing": EVERY | {"abstained", "called", "restraint"},
    "response": EVERY | {"exact", "called", "gold_bpb"},
    "multiple": CALLING | {"gold_bpb", "name_margin", "name_choice"},
    "parallel": CALLING | {"gold_bpb", "name_margin", "name_choice"},
    "simple": CALLING | {"gold_bpb", "name_margin", "name_choice"},
}


class Engine:
    """Says what it is told to; a continuation is as unlikely as it is long."""

    max_length = 100_000

    def __init__(self, tokenizer, said: str) -> None:
        self.tokenizer = tokenizer
        self.said = said
        self.calls: Counter[str] = Counter()
        self.options: list[dict] = []

    def generate_until(self, requests, disable_tqdm=False):
        self.calls["generate_until"] += 1
        self.options += [request.args[1] for request in requests]
        return [self.said] * len(requests)

    def loglikelihood(self, requests, disable_tqdm=False):
        self.calls["loglikelihood"] += 1
        return [(-float(len(request.args[1])), False) for request in requests]


@pytest.fixture
def engine(subject) -> Engine:
    return Engine(subject.lm.tokenizer, "I have no tool for that.")


def run(options: dict, subject, engine: Engine) -> list:
    fake = replace(subject, models=Holding(engine))
    return list(Tools(options, name="tools").run(fake))


def records(chunks: list) -> list:
    return [record for chunk in chunks for record in chunk.records]


def test_every_category_is_a_task_with_its_own_metrics(subject, engine):
    found = records(run({"limit": 3}, subject, engine))
    for category, metrics in METRICS.items():
        mine = [record for record in found if record.task == f"pyr_tools_{category}"]
        assert {record.metric for record in mine} == metrics
        assert {record.group for record in mine} == {"pyr_tools"}
        assert Counter(record.metric for record in mine) == dict.fromkeys(metrics, 3)


def test_the_engine_is_called_once_for_all_answers_of_a_category(subject, engine):
    run({"limit": 20, "categories": ["simple"]}, subject, engine)
    assert engine.calls == {"generate_until": 1, "loglikelihood": 1}


def test_what_is_weighed_is_recorded_as_differences_of_log_likelihoods(subject, engine):
    found = records(run({"limit": 1, "categories": ["multiple"]}, subject, engine))
    by_metric = {record.metric: record for record in found}
    item = [each for each in own_items(FOLDER) if each.category == "multiple"][int(found[0].item)]
    [right] = [each.name for each in item.expected]
    margin = min(len(opening(name)) for name in item.wrong_names) - len(opening(right))
    assert by_metric["name_margin"].value == margin
    assert by_metric["name_choice"].value == float(margin > 0)
    # A nat for each character, which here is a byte.
    assert by_metric["gold_bpb"].value == pytest.approx(1 / math.log(2))
    assert by_metric["gold_bpb"].weight == len(item.gold)


def test_a_call_that_is_as_likely_either_way_shows_half_restraint(subject, engine):
    found = records(run({"limit": 2, "categories": ["missing"]}, subject, engine))
    assert {record.value for record in found if record.metric == "restraint"} == {0.5}


def test_a_plain_answer_is_right_only_where_no_call_is_called_for(subject, engine):
    found = records(run({"limit": 2}, subject, engine))
    right = {record.task for record in found if record.metric == "abstained" and record.value}
    assert right == {"pyr_tools_irrelevant", "pyr_tools_missing"}
    assert not [record for record in found if record.metric == "exact" and record.value]


def test_prompts_that_do_not_fit_are_told(subject, engine):
    options = {"limit": 2, "categories": ["simple"]}
    assert not [note for chunk in run(options, subject, engine) for note in chunk.notes]
    engine.max_length = 130
    notes = [note for chunk in run(options, subject, engine) for note in chunk.notes]
    assert notes == ["pyr_tools_simple: 2 of 2 prompts lose their beginning, at 130 tokens."]


def test_what_is_already_stored_is_not_asked_again(subject, engine):
    options = {"limit": 4, "categories": ["simple"]}
    stored = records(run(options, subject, engine))
    some = [record for record in stored if record.item != stored[0].item]
    earlier = pd.DataFrame({"task": [r.task for r in some], "item": [r.item for r in some]})
    again = records(run(options, replace(subject, earlier=earlier), engine))
    assert again == [record for record in stored if record.item == stored[0].item]


def test_any_limit_is_a_beginning_of_the_same_order(subject, engine):
    def items(limit: int) -> list[str]:
        found = records(run({"limit": limit, "categories": ["simple"]}, subject, engine))
        return [record.item for record in found if record.metric == "exact"]

    assert items(8)[:5] == items(5)


def test_the_real_engine_answers(subject):
    options = {"limit": 1, "categories": ["irrelevant", "simple"], "max_gen_toks": 2}
    found = records(list(Tools(options, name="tools").run(subject)))
    assert {record.task for record in found} == {"pyr_tools_irrelevant", "pyr_tools_simple"}
    assert all(math.isfinite(record.value) for record in found)


# ------------------------------------------------------------------ prompts


def conversation():
    items = own_items(FOLDER)
    item = next(each for each in items if each.category == "response")
    return item.tools, item.turns


def test_a_template_without_tools_gets_them_in_a_system_prompt(subject):
    prompts = ToolPrompts(subject.lm.tokenizer, where="here")
    tools, turns = conversation()
    text = prompts.render(tools, turns)
    assert not prompts.takes_tools
    assert text.startswith("<|im_start|>system\n")
    assert f"<tools>\n{json.dumps(tools[0])}" in text
    assert f"user\n<tool_response>\n{turns[-1]['content']}\n</tool_response>" in text
    assert text.endswith("assistant\n")


def test_a_template_with_tools_gets_them_as_its_argument(subject, monkeypatch):
    template = (
        "{% for tool in tools or [] %}TOOL {{ tool | tojson }}\n{% endfor %}"
        "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    )
    tokenizer = subject.lm.tokenizer
    monkeypatch.setattr(tokenizer, "chat_template", template)
    tools, turns = conversation()
    text = ToolPrompts(tokenizer, where="here").render(tools, turns)
    assert text.startswith('TOOL {"type": "function", "function": {"name": ')
    assert f"tool: {turns[-1]['content']}" in text


# ------------------------------------------------------------------ options and data


def test_the_leaderboards_files_are_missing_with_a_remedy_or_skipped(subject, engine):
    with pytest.raises(DataMissing) as missing:
        list(Tools({"items": "bfcl_style"}, name="bfcl").run(subject))
    assert "--set bfcl.files=DIR" in missing.value.remedy
    skipping = replace(subject, skip_missing=True)
    [chunk] = run({"items": "bfcl_style"}, skipping, engine)
    assert chunk.skipped[0].missing


def test_missing_files_are_told_before_anything_is_measured(tmp_path):
    [need] = Tools({"items": "bfcl_style"}, name="bfcl").needs(None, None)
    assert need.blocks
    assert "--set bfcl.files=DIR" in need.remedy
    there = {"items": "bfcl_style", "files": str(tmp_path)}
    assert not list(Tools(there, name="bfcl").needs(None, None))


def test_a_checkpoint_without_a_template_is_told_that_tools_are_skipped(subject):
    bare = replace(subject.checkpoint, chat=False)
    [need] = Tools({}, name="tools").needs(bare, None)
    assert not need.blocks


def test_an_unknown_category_or_option_is_refused(subject, engine):
    with pytest.raises(ContentError) as unknown:
        run({"categories": ["simpel"]}, subject, engine)
    assert "did you mean: simple" in unknown.value.remedy
    with pytest.raises(ContentError):
        make_probe(ProbeSpec(probe="tools", options={"shots": 3}))


def test_a_suite_is_named_by_what_its_data_holds_and_not_where_it_lies(tmp_path):
    def digest(folder: Path) -> str:
        options = {"items": "bfcl_style", "files": str(folder)}
        return suite_digest(Suite(name="x", probes=[ProbeSpec(probe="tools", options=options)]))

    for name, text in (("one", "a"), ("two", "a"), ("three", "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "simple_python.jsonl").write_text(text)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    assert digest(tmp_path / "one") != digest(tmp_path / "three")


def test_calls_held_to_their_grammar_are_scored_beside_the_free_ones(subject, engine):
    options = {"limit": 2, "constrained": True, "categories": ["simple", "missing"]}
    fast = replace(subject, settings=replace(subject.settings, engine="fast"))
    found = records(run(options, fast, engine))
    held = {record.metric for record in found if record.metric.endswith("_constrained")}
    assert held == {f"{metric}_constrained" for metric in CALLING}
    assert engine.calls["generate_until"] == 3
    assert sum("structural_tag" in each for each in engine.options) == 2


def test_another_engine_is_told_that_it_cannot_hold_answers_to_a_grammar(subject, engine):
    with pytest.raises(UsageError):
        run({"constrained": True}, subject, engine)
