from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from pyr.errors import DataMissing
from pyr.training import invent, sources
from pyr.training.recipe import Source
from pyr.training.sources import Counted, Places


def rows(tmp_path: Path, counted: Counted | None = None, **source: object) -> list[dict]:
    asked = Source(name="s", **source)
    return list(sources.rows(asked, Places((tmp_path,), seed=1), counted or Counted()))


def test_packed_json_lines_and_plain_text_are_read(tmp_path: Path) -> None:
    with lzma.open(tmp_path / "a.jsonl.xz", "wt") as stream:
        stream.write(json.dumps({"text": "one"}) + "\n" + json.dumps({"text": "two"}) + "\n")
    (tmp_path / "b.txt").write_text("three")
    found = rows(tmp_path, files=["a.jsonl.xz", "*.txt"])
    assert [row["text"] for row in found] == ["one", "two", "three"]


def test_parquet_is_read(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"text": ["x", "y"]}).to_parquet(tmp_path / "a.parquet")
    assert [row["text"] for row in rows(tmp_path, files=["a.parquet"])] == ["x", "y"]


def test_rows_are_filtered_and_counted_by_column(tmp_path: Path) -> None:
    lines = [
        {"text": "kept", "views": "1,500", "tags": ["Magic"]},
        {"text": "few", "views": 10, "tags": []},
        {"text": "unknown", "tags": []},
        {"text": "marked", "views": 9000, "tags": ["Harem"]},
        {"text": "kept", "views": 2000, "tags": []},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    counted = Counted()
    keep = {"views": {"at_least": 1000}, "tags": {"lacks": ["harem"]}}
    found = rows(tmp_path, counted, files=["a.jsonl"], keep=keep)
    assert [row["text"] for row in found] == ["kept"]
    assert counted.reasons == {"views": 2, "tags": 1}
    assert counted.repeated == 1


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="no file nothing") as error:
        rows(tmp_path, files=["nothing.jsonl"])
    assert "--data" in error.value.remedy


def test_limits_are_kept(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": f"{n} " + "x" * 1000}) + "\n" for n in range(100))
    (tmp_path / "a.jsonl").write_text(lines)
    assert len(rows(tmp_path, files=["a.jsonl"], documents=7)) == 7
    assert 8 <= len(rows(tmp_path, files=["a.jsonl"], megabytes=0.01)) <= 10


def test_a_sample_is_a_share_that_follows_from_the_rows(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"story {n}"}) + "\n" for n in range(1000)]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    (tmp_path / "b.jsonl").write_text("".join(reversed(lines)))
    fifth = {row["text"] for row in rows(tmp_path, files=["a.jsonl"], sample=0.2)}
    assert 150 < len(fifth) < 250
    assert fifth == {row["text"] for row in rows(tmp_path, files=["b.jsonl"], sample=0.2)}


def test_texts_that_are_too_short_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "four"}\n{"text": "seventeen letters"}\n')
    found = rows(tmp_path, files=["a.jsonl"], keep={"text": {"characters": 5}})
    assert [row["text"] for row in found] == ["seventeen letters"]


def test_a_call_of_glaives_form_is_the_assistants() -> None:
    call = '{"name": "search", "arguments": {"what": "rice"}}'
    row = {
        "conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": call}]
    }
    assert sources.messages_of(row, "conversations")[1] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"name": "search", "arguments": {"what": "rice"}}],
    }


def test_the_standard_library_has_code_and_documentation(tmp_path: Path) -> None:
    code = rows(tmp_path, python="code", documents=3)
    docs = rows(tmp_path, python="docs", documents=3)
    assert all("\n" in row["text"] for row in code)
    assert all(len(row["text"]) >= 200 for row in docs)


@pytest.mark.parametrize("kind", ["stories", "dialogues", "preferences"])
def test_what_is_invented_follows_from_the_seed(kind: invent.Kind) -> None:
    one = list(invent.rows(kind, seed=1, count=20))
    assert one == list(invent.rows(kind, seed=1, count=30))[:20]
    assert one != list(invent.rows(kind, seed=2, count=20))


def test_an_invented_preference_is_right_before_wrong() -> None:
    for row in invent.rows("preferences", seed=1, count=100):
        assert row["chosen"] != row["rejected"]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
        {"turns": ["a", "b"]},
        {"prompt": "a", "response": "b"},
    ],
)
def test_chats_of_every_form_are_roles_and_contents(row: dict) -> None:
    assert sources.messages_of(row, "messages") == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ]
