"""``pyr tokenizer``: the three verbs, as far as the terminal shows them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from pyr.cli import tokenizer
from pyr.errors import UsageError

RECIPE = """
name: small
vocab_size: 300
pre_tokenizer: qwen2
special_tokens: ["<|endoftext|>", "<|im_end|>"]
begin: "<|endoftext|>"
end: "<|im_end|>"
pad: "<|endoftext|>"
held_out: 0.2
texts:
  - {name: lines, files: ["*.jsonl"]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    words = "the quick brown fox jumps over a lazy dog; cats sat on mats".split()
    texts = [" ".join(words[n % 7 :] + words[: n % 5]) for n in range(50)]
    rows = [{"id": f"r{n}", "text": f"{n}: {text}"} for n, text in enumerate(texts)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "tokenizer.yaml").write_text(RECIPE)
    return tmp_path


def ask(action: str, **options: object) -> int:
    defaults: dict[str, object] = {
        "output": None,
        "json": False,
        "hidden": 8,
        "context": 16,
        "body": 1.0,
    }
    return tokenizer.run(argparse.Namespace(action=action, **{**defaults, **options}))


def train(folder: Path) -> None:
    assert ask("train", recipe=str(folder / "tokenizer.yaml"), texts=str(folder)) == 0


def test_train_writes_a_folder_that_transformers_loads(folder: Path, capsys) -> None:
    import transformers

    train(folder)
    assert "sha256 " in capsys.readouterr().out
    loaded = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer")
    assert len(loaded) == 300
    record = json.loads((folder / "tokenizer" / "training.json").read_text())
    assert record["data"][0]["documents"] < 50


def test_compare_prints_json_and_writes_a_page(folder: Path, capsys) -> None:
    train(folder)
    capsys.readouterr()
    code = ask(
        "compare",
        tokenizers=[str(folder / "tokenizer"), str(folder / "tokenizer")],
        texts=[str(folder / "a.jsonl")],
        data=".",
        references="evals/tokenizers.yaml",
        output=str(folder / "page.html"),
        json=True,
    )
    written = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [each["vocab_size"] for each in written["tokenizers"]] == [300, 300]
    assert written["tokenizers"][0]["name"] != written["tokenizers"][1]["name"]
    assert (folder / "page.html").read_text().startswith("<!doctype html>")


def test_sweep_measures_unseen_documents_by_default(folder: Path, capsys) -> None:
    code = ask(
        "sweep",
        recipe=str(folder / "tokenizer.yaml"),
        texts=str(folder),
        vocab="270,300",
        on=[],
        json=True,
    )
    sizes = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [each["vocab_size"] for each in sizes] == [270, 300]


def test_sizes_that_are_no_numbers_are_a_usage_error(folder: Path) -> None:
    with pytest.raises(UsageError, match="no list of numbers"):
        ask(
            "sweep",
            recipe=str(folder / "tokenizer.yaml"),
            texts=str(folder),
            vocab="big",
            on=[],
        )
