"""A source prepared in parts is the source prepared in one piece."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from factories_training import write_recipe

from pyr import content
from pyr.data.ngrams import Blocked
from pyr.data.source import count_parts
from pyr.training import distributed, prepare, recipe
from pyr.training.prepare import Kitchen

ITEM = "the quick brown fox jumps over the lazy dog and then it runs away again"
TINY = "train/tiny/tokenizer"
KEEP = {"keep": {"score": {"at_least": 1}}}
BLOCKED = Blocked.of([ITEM])


def written(folder: Path) -> Path:
    """Three files of texts and chats: empty rows, test items, and repetitions across files."""
    folder.mkdir()
    for number, name in enumerate("abc"):
        lines: list[dict[str, Any]] = []
        for line in range(40):
            value = line * (number + 1)
            told = f"text {value} tells {'more ' * (value % 7)}of it"
            told += f" {ITEM}" if value % 11 == 3 else ""
            chat = [{"role": "user", "content": "Say it."}, {"role": "assistant", "content": told}]
            lines.append({"text": told, "messages": chat, "score": line % 5, "id": f"{name}{line}"})
        lines[22]["text"] = lines[22]["messages"] = ""
        lines[23]["messages"] = [{"role": "user", "content": "Nobody answers."}]
        body = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(body)
    return folder


def both(tmp_path: Path, source: dict[str, Any], stage: str = "base") -> list[dict[str, bytes]]:
    """The files of the source, prepared in one piece and in parts."""
    column = "messages" if stage == "sft" else "text"
    texts = written(tmp_path / "texts")
    given = {"name": "a", "column": column, "files": ["*.jsonl"], **source}
    phase = {"stage": stage, "data": [given], "held_out": 0.2}
    read = recipe.read(write_recipe(tmp_path / "recipe", content.path(TINY), {"one": phase}))
    kitchens = [Kitchen(tmp_path / name, texts, BLOCKED) for name in ("whole", "parts")]
    prepare.prepare(read, kitchens[0])
    [job] = prepare.open_jobs(read, kitchens[1])
    # The last one first: nothing rests on the order in which they are made.
    for number in reversed(range(count_parts(job.source, job.places))):
        distributed.read_part(job, number, BLOCKED)
    distributed.join_parts(job)
    assert not prepare.open_jobs(read, kitchens[1])
    return [found(kitchen.data) for kitchen in kitchens]


def found(folder: Path) -> dict[str, bytes]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.parametrize(
    "source",
    [
        {},
        KEEP,
        {"sample": 0.5},
        {"documents": 1},
        {"documents": 30} | KEEP,
        {"documents": 55},
        {"megabytes": 0.003},
        {"megabytes": 0.002, "sample": 0.7} | KEEP,
    ],
    ids=str,
)
def test_parts_put_together_are_the_source_byte_for_byte(
    tmp_path: Path, source: dict[str, Any]
) -> None:
    whole, together = both(tmp_path, source)
    assert whole == together


@pytest.mark.parametrize("source", [{}, {"documents": 30}], ids=str)
def test_so_are_the_parts_of_chats(tmp_path: Path, source: dict[str, Any]) -> None:
    whole, together = both(tmp_path, source, stage="sft")
    assert whole == together
    assert any("loss-" in name for name in whole)


def test_the_files_hold_what_makes_parts_hard(tmp_path: Path) -> None:
    """Or the other tests would prove little."""
    whole, _ = both(tmp_path, KEEP)
    [said] = [json.loads(body) for name, body in whole.items() if name.endswith("shards.json")]
    assert said["contaminated"] > 0
    assert said["held_out"] > 0
    for counted in ("repeated", "empty", "filtered"):
        assert said["rows"][counted] > 0


def test_files_of_a_hub_data_set_are_its_parts(tmp_path: Path) -> None:
    texts = str(written(tmp_path / "hub"))
    hub = {"files": [], "hub": texts, "documents": 70}
    whole, together = both(tmp_path, hub)
    assert whole == together


def test_a_part_that_is_there_is_kept(tmp_path: Path) -> None:
    texts = written(tmp_path / "texts")
    phase = {"data": [{"name": "a", "files": ["*.jsonl"]}]}
    read = recipe.read(write_recipe(tmp_path / "recipe", content.path(TINY), {"one": phase}))
    [job] = prepare.open_jobs(read, Kitchen(tmp_path / "data", texts))
    distributed.read_part(job, 0, Blocked())
    [file] = (tmp_path / "data").rglob("*.parquet")
    before = file.stat().st_mtime_ns
    distributed.read_part(job, 0, Blocked())
    assert file.stat().st_mtime_ns == before
