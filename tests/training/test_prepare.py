from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from factories_training import invented, write_recipe

from pyr import content
from pyr.data import shards
from pyr.data.ngrams import Blocked
from pyr.errors import DataMissing
from pyr.training import held_out, packing, prepare, recipe
from pyr.training.prepare import Kitchen, Prepared

TINY = "train/tiny/tokenizer"
ITEM = "the quick brown fox jumps over the lazy dog and then it runs away again"


def prepared(tmp_path: Path, phases: dict, **kitchen: object) -> dict[str, list[Prepared]]:
    read = recipe.read(write_recipe(tmp_path / "recipe", content.path(TINY), phases))
    return prepare.prepare(
        read, Kitchen(**{"data": tmp_path / "data", "texts": tmp_path, **kitchen})
    )


def texts(tmp_path: Path, lines: list[dict]) -> dict:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"data": [{"name": "a", "files": ["a.jsonl"]}]}


def decode(ids: object) -> str:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(content.path(TINY)).decode(ids)


def test_a_document_stands_between_two_begin_tokens(tmp_path: Path) -> None:
    source = texts(tmp_path, [{"text": "Hello, world."}])
    found = prepared(tmp_path, {"one": source | {"held_out": 0.0}})["one"][0].open()
    whole = decode(found.tokens(0, int(found.lengths[0])))
    assert whole == "<|endoftext|>Hello, world.<|endoftext|>"


def test_the_loss_is_taken_over_the_assistant_alone(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}]
    source = texts(tmp_path, [{"messages": messages}])
    found = prepared(tmp_path, {"one": source | {"stage": "sft", "held_out": 0.0}})["one"][0].open()
    count = int(found.lengths[0])
    ids, loss = found.tokens(0, count), found.loss(0, count)
    assert decode(ids[loss == 1]) == "Me.<|im_end|>"


def test_what_is_prepared_is_not_prepared_again(tmp_path: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        prepared(tmp_path, {"one": {}}, say=said.append)
    assert len(said) == 1


def test_replay_shares_the_shards_of_the_earlier_phase(tmp_path: Path) -> None:
    again = [
        {"name": "more", **invented("stories", 20), "weight": 3},
        {"name": "again", "replay": "one", "weight": 1},
    ]
    found = prepared(tmp_path, {"one": {}, "two": {"data": again}})
    assert found["two"][1].folder == found["one"][0].folder
    assert found["two"][1].weight == 1


def test_a_chat_phase_replays_plain_text_by_its_share(tmp_path: Path) -> None:
    data = [
        {"name": "chats", **invented("dialogues", 40), "weight": 0.8},
        {"name": "again", "replay": "one", "weight": 0.2},
    ]
    parts = prepared(tmp_path, {"one": {}, "two": {"stage": "sft", "data": data}})["two"]
    opened = [part.open() for part in parts]
    assert [each.has_loss for each in opened] == [True, False]
    plan = packing.lay_out(opened, [part.weight for part in parts], tokens=10_000, seed=1)
    lengths = np.diff(plan.ends, prepend=0)
    assert lengths[plan.source == 1].sum() == 2000
    assert 0 < opened[0].loss(0, 500).mean() < 1
    assert opened[1].loss(0, 500).all()


def test_a_source_that_is_switched_off_is_said(tmp_path: Path) -> None:
    data = [
        {"name": "on", **invented("stories", 20)},
        {"name": "off", "hub": "org/name", "use": False},
    ]
    said: list[str] = []
    found = prepared(tmp_path, {"one": {"data": data}}, say=said.append)
    assert [part.name for part in found["one"]] == ["on"]
    assert "off is switched off" in said[-1]


def test_the_same_documents_are_held_out_everywhere(tmp_path: Path) -> None:
    lines = [{"text": f"document {number}"} for number in range(200)]
    one = prepared(tmp_path, {"one": texts(tmp_path, lines)}, data=tmp_path / "1")
    two = prepared(tmp_path, {"one": texts(tmp_path, lines[::-1])}, data=tmp_path / "2")
    held = [
        {text["text"] for text in shards.read_manifest(each["one"][0].folder)["held_out_texts"]}
        for each in (one, two)
    ]
    assert held[0] == held[1]
    assert 5 < len(held[0]) < 40


def test_contaminated_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    source = texts(tmp_path, [{"text": f"So: {ITEM}."}, {"text": "clean"}])
    blocked = Blocked.of([ITEM])
    part = prepared(tmp_path, {"one": source}, blocked=blocked)["one"][0]
    assert shards.read_manifest(part.folder)["contaminated"] == 1
    assert shards.read_manifest(part.folder)["documents"] == 1


def test_held_out_documents_become_a_task(tmp_path: Path) -> None:
    phases = {"one": {}, "two": {"data": [{"name": "again", "replay": "one"}]}}
    read = recipe.read(write_recipe(tmp_path / "recipe", content.path(TINY), phases))
    found = prepare.prepare(read, Kitchen(data=tmp_path / "data", texts=None))
    assert held_out.write_tasks(read, found, tmp_path / "tasks") == ["held_out_one"]
    items = (tmp_path / "tasks/held_out_one/items.jsonl").read_text().splitlines()
    assert len(items) == 4


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    found = prepared(tmp_path, {"one": {}})
    prepare.verify(found)
    file = found["one"][0].folder / "tokens-00000.bin"
    np.memmap(file, dtype="<u2", mode="r+")[0] ^= 1
    with pytest.raises(DataMissing, match="tokens-00000"):
        prepare.verify(found)


def test_an_answer_that_repeats_its_prompt_is_cut(tmp_path: Path) -> None:
    prompt = [{"role": "user", "content": "q"}]
    good, bad = ({"role": "assistant", "content": word} for word in ("yes", "no"))
    line = {"prompt": "q", "chosen": [*prompt, good], "rejected": [*prompt, bad]}
    phase = texts(tmp_path, [line]) | {"stage": "dpo", "start": "one"}
    read = recipe.read(
        write_recipe(tmp_path / "recipe", content.path(TINY), {"one": {}, "two": phase})
    )
    kitchen = Kitchen(data=tmp_path / "data", texts=tmp_path)
    file = prepare.write_preferences(read.phases[1], read, kitchen, tmp_path / "data")
    assert json.loads(file.read_text()) == {"prompt": prompt, "chosen": [good], "rejected": [bad]}
