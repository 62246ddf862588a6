"""Reading the leaderboard's files, made here in both of their layouts."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from pyr.errors import ContentError, DataMissing
from pyr.probes.tools.grade import grade
from pyr.probes.tools.items import bfcl_items, json_schema

SHARED = Path(__file__).parents[4] / "shared" / "data" / "benchmarks" / "bfcl_v4"


def row(number: int, name: str) -> dict:
    types = {"n": {"type": "float"}, "tags": {"type": "tuple", "items": {"type": "any"}}}
    parameters = {"type": "dict", "properties": types, "required": ["n"]}
    return {
        "id": f"row_{number}",
        "question": [[{"role": "user", "content": f"Do {number}."}]],
        "function": [{"name": name, "description": "", "parameters": parameters}],
    }


ROWS = [row(number, name) for number, name in enumerate(("a.b", "c", "d", "e", "f"))]
KEYS = [[{each["function"][0]["name"]: {"n": [1.5], "tags": ["", ["x"]]}}] for each in ROWS]


def lines(rows: list[dict]) -> str:
    return "".join(json.dumps(each) + "\n" for each in rows)


def joined() -> list[dict]:
    return [{**each, "ground_truth": key} for each, key in zip(ROWS, KEYS, strict=True)]


@pytest.fixture(params=["published", "joined", "packed"])
def folder(request, tmp_path: Path) -> Path:
    if request.param == "published":
        (tmp_path / "possible_answer").mkdir()
        (tmp_path / "BFCL_v4_simple_python.json").write_text(lines(ROWS))
        keys = [
            {"id": each["id"], "ground_truth": key} for each, key in zip(ROWS, KEYS, strict=True)
        ]
        (tmp_path / "possible_answer" / "BFCL_v4_simple_python.json").write_text(lines(keys))
    elif request.param == "joined":
        (tmp_path / "simple_python.jsonl").write_text(lines(joined()))
    else:
        packed = lzma.compress(lines(joined()).encode())
        (tmp_path / "simple_python.jsonl.xz").write_bytes(packed)
    return tmp_path


def test_every_layout_gives_the_same_items(folder):
    items = bfcl_items(folder)
    assert [item.category for item in items] == ["simple"] * 5
    assert items[0].turns == [{"role": "user", "content": "Do 0."}]
    assert items[0].gold == ('<tool_call>\n{"name": "a.b", "arguments": {"n": 1.5}}\n</tool_call>')
    assert grade(items[0], items[0].gold)["exact"].value == 1


def test_a_question_with_one_tool_is_weighed_against_names_of_the_next_ones(folder):
    items = bfcl_items(folder)
    assert items[0].wrong_names == ["c", "d", "e"]
    assert items[4].wrong_names == ["a.b", "c", "d"]


def test_an_irrelevant_question_expects_no_call_even_where_it_offers_no_tool(tmp_path):
    rows = [{**ROWS[0], "ground_truth": None}, {**ROWS[1], "function": []}]
    (tmp_path / "irrelevance.jsonl").write_text(lines(rows))
    items = bfcl_items(tmp_path)
    assert [(item.expected, item.gold, item.wrong_names) for item in items] == [([], "", ())] * 2
    assert grade(items[1], "I cannot do that.")["abstained"].value == 1


def test_types_become_those_of_json_schema_and_names_stay():
    written = {"type": "dict", "properties": {"type": {"type": "float"}, "x": {"type": "tuple"}}}
    spelt = {"type": "object", "properties": {"type": {"type": "number"}, "x": {"type": "array"}}}
    assert json_schema(written) == spelt


def test_a_folder_without_the_files_says_what_to_do(tmp_path):
    with pytest.raises(DataMissing) as missing:
        bfcl_items(tmp_path)
    assert "gorilla" in missing.value.remedy


@pytest.mark.parametrize("text", ["{", '{"id": "x"}\n', '{"id": "x", "function": 3}\n'])
def test_a_file_of_another_kind_is_refused(text, tmp_path):
    (tmp_path / "simple_python.jsonl").write_text(text)
    with pytest.raises(ContentError, match="simple_python"):
        bfcl_items(tmp_path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public files are not beside the project")
def test_all_but_four_public_answer_keys_can_be_satisfied():
    items = [item for item in bfcl_items(SHARED) if item.expected]
    assert len(items) > 1000
    # Two have an argument without right values, two a required one that the key does not know.
    assert sum(grade(item, item.gold)["exact"].value == 0 for item in items) == 4
