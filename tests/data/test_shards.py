from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from pyr.data import shards
from pyr.data.shards import Encoded
from pyr.errors import DataMissing


def documents(lengths: list[int]) -> list[Encoded]:
    die = np.random.default_rng(0)
    return [
        Encoded(f"d{n}", die.integers(0, 60_000, length).astype(np.uint16), length, held_out=False)
        for n, length in enumerate(lengths)
    ]


def test_documents_come_back_across_the_ends_of_files(tmp_path: Path) -> None:
    written = documents([10, 70, 3, 64, 200, 1])
    shards.write(tmp_path / "s", written, chat=False, about={}, shard_tokens=64)
    read = shards.open_shards(tmp_path / "s")
    for number, document in enumerate(written):
        found = read.tokens(int(read.starts[number]), int(read.lengths[number]))
        assert found.tolist() == document.ids.tolist()
    table = pyarrow.parquet.read_table(tmp_path / "s" / "documents.parquet")
    assert table["id"].to_pylist() == [document.id for document in written]


def test_a_source_that_was_not_finished_is_not_there(tmp_path: Path) -> None:
    def broken():
        yield from documents([4, 4])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shards.write(tmp_path / "s", broken(), chat=False, about={})
    with pytest.raises(DataMissing):
        shards.open_shards(tmp_path / "s")


def test_damage_is_found(tmp_path: Path) -> None:
    shards.write(tmp_path / "s", documents([40]), chat=False, about={})
    assert shards.verify(tmp_path / "s") == []
    file = tmp_path / "s" / "tokens-00000.bin"
    file.write_bytes(b"\0" + file.read_bytes()[1:])
    assert "tokens-00000.bin" in shards.verify(tmp_path / "s")[0]
