"""A tiny tokenizer, a corpus, and the tokenizer that the project ships."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from factories_tokenization import TEXT, build_small

from pyr import content


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer.json of 400 tokens."""
    folder = tmp_path_factory.mktemp("tokenizers") / "small"
    folder.mkdir()
    build_small().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The folder of the tokenizer that the project ships."""
    return content.path("train/pyr-135m/tokenizer")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with two domains of 40 documents each."""
    for domain in ("cats", "code"):
        lines = [
            json.dumps({"id": f"{domain}-{n}", "text": f"{domain} {n}\n{TEXT}"}) for n in range(40)
        ]
        (tmp_path / f"{domain}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path
