"""The tokenizer probe says of a checkpoint what the comparison says of its tokenizer."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from pyr.compare import estimate
from pyr.data.filters import read_shipped_passages
from pyr.errors import ContentError
from pyr.probes.tokenizer import Tokenizer
from pyr.tokenization import comparison, forms, measure


def run(checkpoint: Path, options: dict[str, object], mirror: Path | None = None):
    import transformers

    subject = SimpleNamespace(
        earlier=pd.DataFrame(),
        lm=SimpleNamespace(tokenizer=transformers.AutoTokenizer.from_pretrained(checkpoint)),
        mirror=mirror,
        progress=lambda what, done, total: None,
    )
    [chunk] = Tokenizer(options, name="tokenizer").run(subject)
    return chunk


def table(chunk) -> pd.DataFrame:
    return pd.DataFrame([asdict(record) for record in chunk.records])


def test_its_numbers_are_those_of_the_comparison(tiny_checkpoint: Path) -> None:
    records = table(run(tiny_checkpoint, {}))
    own = records[records["metric"] == "bytes_per_token"]
    report = comparison.compare(
        [forms.load(tiny_checkpoint)], measure.passages(read_shipped_passages())
    )
    assert len(report.own.domains) >= 4
    for domain in report.own.domains:
        rows = own[own["task"] == f"tokenizer:{domain.domain}"]
        assert measure.score(estimate(rows)) == domain.bytes_per_token


def test_a_reference_has_its_name_behind_the_metric(tiny_checkpoint: Path, tmp_path: Path) -> None:
    listing = tmp_path / "list.yaml"
    file = tiny_checkpoint / "tokenizer.json"
    listing.write_text(f"references:\n  - {{name: same, files: ['{file}']}}\n")
    records = table(run(tiny_checkpoint, {"references": str(listing)}))
    pivot = records.pivot(index=["task", "item"], columns="metric", values="value")
    assert list(pivot.columns) == ["bytes_per_token", "bytes_per_token@same"]
    assert (pivot["bytes_per_token"] == pivot["bytes_per_token@same"]).all()


def test_texts_of_ones_own_are_read_by_domain(tiny_checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join(json.dumps({"text": text}) for text in ("one two", "three")))
    records = table(run(tiny_checkpoint, {"texts": {"mine": str(file)}}))
    own = records[records["metric"] == "bytes_per_token"]
    assert own["task"].tolist() == ["tokenizer:mine"] * 2
    assert (own["value"] * own["weight"]).round().tolist() == [7, 5]
    assert own["unit"].unique().tolist() == ["bytes/token"]


def test_a_row_without_text_is_named(tiny_checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"words": "x"}\n')
    with pytest.raises(ContentError, match="row 1 has no text"):
        run(tiny_checkpoint, {"texts": {"mine": str(file)}})
