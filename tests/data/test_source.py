from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from pyr.data.chat_formats import read_messages
from pyr.data.filters import SourceStats, used_rows
from pyr.data.source import Places, Source
from pyr.errors import ContentError, DataMissing


def rows(tmp_path: Path, counted: SourceStats | None = None, **source: object) -> list[dict]:
    asked = Source(name="s", **source)
    return list(used_rows(asked, Places((tmp_path,), seed=1), counted or SourceStats()))


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
    counted = SourceStats()
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
    assert read_messages(row, "conversations")[1] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"name": "search", "arguments": {"what": "rice"}}],
    }


GIVING = """\
def give(*, rows, seed, cache, words=(), **_):
    for word in words:
        yield {"text": f"{word} {seed}"}


def complete(*, rows, **_):
    for row in rows:
        yield {**row, "text": None if row["id"] == "b" else row["id"] * 2}
"""


def test_a_function_beside_the_recipe_gives_rows(tmp_path: Path) -> None:
    (tmp_path / "give.py").write_text(GIVING)
    found = rows(tmp_path, rows="give.py:give", arguments={"words": ["one", "two"]})
    assert [row["text"] for row in found] == ["one 1", "two 1"]


def test_a_function_completes_the_rows_that_filters_keep(tmp_path: Path) -> None:
    (tmp_path / "give.py").write_text(GIVING)
    (tmp_path / "a.jsonl").write_text("".join(f'{{"id": "{name}"}}\n' for name in "abcd"))
    counted = SourceStats()
    keep = {"id": {"lacks": ["d"]}}
    found = rows(tmp_path, counted, files=["a.jsonl"], rows="give.py:complete", keep=keep)
    assert [row["text"] for row in found] == ["aa", "cc"]
    assert (counted.read, counted.filtered, counted.missing) == (4, 1, 1)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("give.py", "names no file"),
        ("none.py:give", "names no file"),
        ("give.py:take", "'take' cannot be loaded"),
        ("strict.py:give", "cannot be called"),
        ("broken.py:give", "SyntaxError"),
    ],
)
def test_a_function_that_cannot_be_used_is_named(
    tmp_path: Path, written: str, message: str
) -> None:
    (tmp_path / "give.py").write_text(GIVING)
    (tmp_path / "strict.py").write_text("def give(): ...")
    (tmp_path / "broken.py").write_text("def give(:")
    with pytest.raises((ContentError, DataMissing), match=message):
        rows(tmp_path, rows=written)


@pytest.mark.parametrize(
    ("former", "instead"),
    [
        ({"invent": "stories"}, "rows: generate.py:stories"),
        ({"python": "docs"}, "rows: generate.py:python_docs"),
        ({"hub": "org/name", "contents": "https://x/{id}"}, "rows: fetch.py:fetch"),
    ],
)
def test_a_former_key_is_refused_with_what_replaces_it(
    former: dict[str, str], instead: str
) -> None:
    with pytest.raises(ValueError, match=f"the key '.*' is gone; write {instead}"):
        Source.model_validate({"name": "s", **former})


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
    assert read_messages(row, "messages") == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ]
