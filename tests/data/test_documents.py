"""Documents from files: every form is read, and the split depends on the id alone."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from pyr.data.filters import Document, count_copies, read_documents
from pyr.data.source import Source
from pyr.errors import ContentError, DataMissing

ROWS = [{"id": str(n), "text": f"text number {n}"} for n in range(200)]


def write(file: Path, rows: list[dict[str, object]]) -> Path:
    body = "\n".join(json.dumps(row) for row in rows).encode()
    pack = {".xz": lzma.compress, ".gz": gzip.compress}.get(file.suffix, bytes)
    file.write_bytes(pack(body))
    return file


def read(folder: Path, **options: object) -> list[Document]:
    held_out = options.pop("held_out", 0.0)
    source = Source.model_validate({"name": "d", "files": ["*"], **options})
    return list(read_documents(source, folder, held_out=held_out))


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.xz", "a.jsonl.gz"])
def test_packed_and_plain_files_say_the_same(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, ROWS)
    assert [document.text for document in read(tmp_path)] == [row["text"] for row in ROWS]


def test_a_parquet_file_is_read(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert [document.id for document in read(tmp_path)] == [row["id"] for row in ROWS]


def test_a_text_file_is_one_document_with_its_line_ends(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo\n")
    assert [document.text for document in read(tmp_path)] == ["one\r\ntwo\n"]


def test_the_parts_are_disjoint_and_together_everything(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", ROWS)
    unseen = read(tmp_path, part="held-out", held_out=0.2)
    seen = read(tmp_path, part="train", held_out=0.2)
    assert not {each.id for each in unseen} & {each.id for each in seen}
    assert len(unseen) + len(seen) == len(ROWS)
    assert 20 < len(unseen) < 60


def test_a_document_stays_on_its_side_in_another_file_and_order(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", ROWS)
    (tmp_path / "b").mkdir()
    write(tmp_path / "b" / "other.jsonl.xz", ROWS[::-1][:50])
    first = {each.id for each in read(tmp_path, part="held-out", held_out=0.2, files=["a.jsonl"])}
    second = {each.id for each in read(tmp_path / "b", part="held-out", held_out=0.2)}
    assert second == first & {row["id"] for row in ROWS[::-1][:50]}


def test_turns_are_read_as_a_template_writes_them(tmp_path: Path) -> None:
    chat = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]}
    shared = {"conversations": [{"from": "human", "value": "Hi"}]}
    call = {"turns": [{"role": "API", "name": "f", "input": {"a": 1}}]}
    write(tmp_path / "a.jsonl", [chat, shared, call])
    found = [each.pieces for each in read(tmp_path)]
    assert found[0] == ("user\nHi", "assistant\nYo")
    assert found[1] == ("human\nHi",)
    assert found[2] == ('API\n{"name": "f", "input": {"a": 1}}',)


def test_a_field_that_is_no_text_is_written_as_json(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{"tool": [{"name": "f"}], "q": "why"}])
    [document] = read(tmp_path, fields=["tool", "q"])
    assert document.text == '[{"name": "f"}]\nwhy'


def test_a_weight_of_two_and_a_half_is_two_copies_or_three() -> None:
    counts = [count_copies(Document("d", str(n), ("x",)), 2.5) for n in range(400)]
    assert set(counts) == {2, 3}
    assert 2.4 < sum(counts) / len(counts) < 2.6


def test_a_passage_is_cut_from_a_long_document_the_same_each_time(tmp_path: Path) -> None:
    lines = "\n".join(f"line {n}" for n in range(500))
    write(tmp_path / "a.jsonl", [{"id": "x", "text": lines}])
    [first], [second] = read(tmp_path, cut=100), read(tmp_path, cut=100)
    assert first == second
    assert len(first.text) == 100
    assert first.text in lines
    assert first.text.startswith("line ")


def test_reading_stops_at_the_megabytes_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", ROWS)
    found = read(tmp_path, megabytes=0.001)
    assert 980 < sum(len(each.text) for each in found) <= 1000


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"no file \*\.nothing"):
        read(tmp_path, files=["*.nothing"])


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{oops\n')
    with pytest.raises(ContentError, match="line 2 is not JSON"):
        read(tmp_path)


def test_a_file_that_is_not_packed_as_it_says_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.xz").write_text("plain")
    with pytest.raises(ContentError, match="cannot be read"):
        read(tmp_path)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_data_set_is_streamed_as_far_as_it_is_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "data-set"
    folder.mkdir()
    write(folder / "train.jsonl", ROWS)
    source = Source(name="d", hub=str(folder), megabytes=0.001)
    found = [document.text for document in read_documents(source, tmp_path)]
    assert found == [row["text"] for row in ROWS][: len(found)]
    assert 0 < sum(map(len, found)) <= 1000
