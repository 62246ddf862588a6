from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from pyr import content
from pyr.checkpoint import identify
from pyr.errors import CheckpointError, UsageError
from pyr.training import export, model

CONVERTER = """
import sys
from pathlib import Path
from conversion.base import TextModel

def main():
    assert sys.argv[1:3:2] and TextModel().get_vocab_base_pre(None) == "qwen2"
    Path(sys.argv[3]).write_bytes(b"GGUF")
"""
BASE = """
class TextModel:
    def get_vocab_base_pre(self, tokenizer):
        raise NotImplementedError("BPE pre-tokenizer was not recognized")
"""


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """An untrained model of the tiny recipe, with its tokenizer."""
    built = model.build(model.read(content.path("train/tiny/model.yaml")), seed=0)
    built.save_pretrained(tmp_path / "model")
    for file in content.path("train/tiny/tokenizer").iterdir():
        shutil.copy(file, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def llama_cpp(tmp_path: Path) -> Path:
    """A checkout in the form of llama.cpp's converter, which recognises no tokenizer."""
    folder = tmp_path / "llama.cpp"
    (folder / "conversion").mkdir(parents=True)
    (folder / "conversion/__init__.py").touch()
    (folder / "conversion/base.py").write_text(BASE)
    (folder / "convert_hf_to_gguf.py").write_text(CONVERTER)
    yield folder
    for name in ("conversion", "conversion.base", "convert_hf_to_gguf"):
        sys.modules.pop(name, None)


def test_the_folder_is_a_checkpoint_with_a_card(trained: Path, tmp_path: Path) -> None:
    folder = export.to_folder(trained, tmp_path / "out", None, name="pyr-tiny")
    assert identify(folder).chat
    assert json.loads((folder / "config.json").read_text())["use_cache"] is True
    assert (folder / "generation_config.json").is_file()
    assert "# pyr-tiny" in (folder / "README.md").read_text()


def test_nothing_is_written_over(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there already"):
        export.to_folder(trained, tmp_path, None, name="x")


def test_the_converter_is_told_the_pre_tokenizer(
    trained: Path, llama_cpp: Path, tmp_path: Path
) -> None:
    file = export.to_gguf(trained, tmp_path / "m.gguf", llama_cpp=llama_cpp)
    assert file.read_bytes() == b"GGUF"


def test_only_arcee_is_converted(tiny_checkpoint: Path, llama_cpp: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="LlamaForCausalLM"):
        export.to_gguf(tiny_checkpoint, tmp_path / "m.gguf", llama_cpp=llama_cpp)


def test_a_folder_without_a_converter_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="convert_hf_to_gguf"):
        export.to_gguf(trained, tmp_path / "m.gguf", llama_cpp=tmp_path)
