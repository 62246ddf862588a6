from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyr.data import shards
from pyr.data.shards import Encoded, Shards
from pyr.errors import DataMissing
from pyr.training import model as models
from pyr.training import packing


def prepared(
    folder: Path, lengths: list[int], *, first: int = 0, chat: bool = False, shard_tokens: int = 64
) -> Shards:
    """A source whose document `i` is the ids ``first + i`` repeated."""
    documents = [
        Encoded(
            id=f"d{number}",
            ids=np.full(length, first + number, dtype=np.uint16),
            bytes=length,
            held_out=False,
            loss=(np.arange(length) % 2).astype(np.uint8) if chat else None,
        )
        for number, length in enumerate(lengths)
    ]
    shards.write(
        folder, documents, chat=chat, about={"name": folder.name}, shard_tokens=shard_tokens
    )
    return shards.open_shards(folder)


def stream(rows: packing.Rows) -> np.ndarray:
    return np.concatenate([rows[number]["input_ids"].numpy() for number in range(len(rows))])


def test_an_epoch_reads_every_token_once(tmp_path: Path) -> None:
    source = prepared(tmp_path / "a", [5, 9, 30, 7, 100, 9])
    plan = packing.lay_out([source], [1], tokens=160, seed=3)
    read = stream(packing.Rows([source], plan, length=16))
    assert np.bincount(read).tolist() == [5, 9, 30, 7, 100, 9]


def test_every_epoch_has_another_order(tmp_path: Path) -> None:
    source = prepared(tmp_path / "a", [8] * 20)
    plan = packing.lay_out([source], [1], tokens=320, seed=3)
    first, second = plan.document[:20].tolist(), plan.document[20:].tolist()
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


def test_seed_and_sources_alone_decide_the_order(tmp_path: Path) -> None:
    source = prepared(tmp_path / "a", [8] * 20)
    plans = [packing.lay_out([source], [1], tokens=320, seed=seed).digest() for seed in (3, 3, 4)]
    assert plans[0] == plans[1] != plans[2]


def test_sources_are_mixed_evenly_by_their_weights(tmp_path: Path) -> None:
    few = prepared(tmp_path / "few", [10] * 5)
    many = prepared(tmp_path / "many", [10] * 500, first=1000)
    plan = packing.lay_out([few, many], [1, 3], tokens=4000, seed=0)
    read = stream(packing.Rows([few, many], plan, length=40))
    for part in np.split(read < 1000, 10):
        assert part.mean() == pytest.approx(0.25, abs=0.05)
    assert (plan.source == 0).sum() == 20 * 5  # Twenty epochs of five documents.


def test_what_is_held_out_is_never_read(tmp_path: Path) -> None:
    documents = [
        Encoded(str(number), np.full(8, number, np.uint16), 8, held_out=number % 3 == 0)
        for number in range(30)
    ]
    shards.write(tmp_path / "a", documents, chat=False, about={})
    source = shards.open_shards(tmp_path / "a")
    plan = packing.lay_out([source], [1], tokens=640, seed=0)
    read = stream(packing.Rows([source], plan, length=32))
    assert not (read % 3 == 0).any()


def test_a_source_without_documents_is_named(tmp_path: Path) -> None:
    source = prepared(tmp_path / "empty", [])
    with pytest.raises(DataMissing, match="empty"):
        packing.lay_out([source], [1], tokens=64, seed=0)


def test_the_first_token_of_a_piece_has_position_zero_and_no_label(tmp_path: Path) -> None:
    source = prepared(tmp_path / "a", [5, 9, 30, 7])
    plan = packing.lay_out([source], [1], tokens=48, seed=1)
    rows = packing.Rows([source], plan, length=16)
    for number in range(len(rows)):
        row = rows[number]
        begins = row["position_ids"] == 0
        changes = np.flatnonzero(np.diff(row["input_ids"].numpy(), prepend=-1))
        assert np.flatnonzero(begins.numpy()).tolist() == changes.tolist()
        assert (row["labels"][begins] == packing.NO_LABEL).all()
        assert (row["labels"][~begins] == row["input_ids"][~begins]).all()


def test_a_chat_is_learnt_only_where_the_assistant_speaks(tmp_path: Path) -> None:
    source = prepared(tmp_path / "a", [16] * 4, chat=True)
    plan = packing.lay_out([source], [1], tokens=64, seed=1)
    labels = packing.Rows([source], plan, length=16)[0]["labels"].numpy()
    assert (labels != packing.NO_LABEL).tolist() == [False, True] * 8


def test_among_chats_plain_text_has_its_share_and_every_token_is_learnt(tmp_path: Path) -> None:
    chats = prepared(tmp_path / "chats", [16] * 40, chat=True)
    plain = prepared(tmp_path / "plain", [16] * 40, first=1000)
    plan = packing.lay_out([chats, plain], [0.8, 0.2], tokens=80 * 16, seed=1)
    rows = packing.Rows([chats, plain], plan, length=16)
    learnt: dict[bool, list[list[bool]]] = {False: [], True: []}
    for number in range(len(rows)):
        row = rows[number]
        learnt[bool(row["input_ids"][0] >= 1000)].append((row["labels"] != -100).tolist())
    assert (len(learnt[False]), len(learnt[True])) == (64, 16)
    assert all(row == [False, True] * 8 for row in learnt[False])
    assert all(row == [False] + [True] * 15 for row in learnt[True])


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    length=st.integers(2, 50),
    seed=st.integers(0, 5),
)
def test_rows_are_full_whatever_the_documents(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], length: int, seed: int
) -> None:
    source = prepared(tmp_path_factory.mktemp("s") / "a", lengths)
    plan = packing.lay_out([source], [1], tokens=3 * length, seed=seed)
    rows = packing.Rows([source], plan, length=length)
    assert [len(rows[number]["input_ids"]) for number in range(3)] == [length] * 3


def test_attention_does_not_cross_documents() -> None:
    import torch

    from pyr import content

    asked = models.read(content.path("train/tiny/model.yaml"))
    asked = asked.model_copy(update={"config": asked.config | {"initializer_range": 0.3}})
    built = models.build(asked, seed=0).double()
    built.config.use_cache = False  # as the Trainer sets it: with a cache no packing is seen
    documents = [torch.randint(5, 2000, (1, length)) for length in (7, 21, 4)]
    positions = torch.cat([torch.arange(each.shape[1]) for each in documents])[None]
    with torch.no_grad():
        packed = built(input_ids=torch.cat(documents, dim=1), position_ids=positions).logits
        alone = torch.cat([built(input_ids=each).logits for each in documents], dim=1)
        crossing = built(input_ids=torch.cat(documents, dim=1)).logits
    torch.testing.assert_close(packed, alone, rtol=1e-6, atol=1e-6)
    assert (crossing - alone).abs().max() > 0.1
