from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tokenizers import Tokenizer

from pyr import content
from pyr.errors import CheckpointError, UsageError
from pyr.training import export, model

CONVERTER = """
import json
import sys
from pathlib import Path
import gguf
from conversion.base import TextModel

def main():
    folder, file = Path(sys.argv[1]), sys.argv[3]
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = dict(tokenizer["model"]["vocab"])
    vocabulary |= {each["content"]: each["id"] for each in tokenizer["added_tokens"]}
    tokens = sorted(vocabulary, key=vocabulary.get)
    writer = gguf.GGUFWriter(file, "arcee")
    writer.add_tokenizer_pre(TextModel().get_vocab_base_pre(None))
    writer.add_token_list(tokens)
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(EOS)
    writer.add_pad_token_id(3)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
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
    (folder / "convert_hf_to_gguf.py").write_text(CONVERTER.replace("EOS", "2"))
    yield folder
    for name in ("conversion", "conversion.base", "convert_hf_to_gguf"):
        sys.modules.pop(name, None)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> type:
    """A package in the form of llama_cpp that cuts text as the tiny tokenizer does."""

    class Llama:
        change = 0

        def __init__(self, file: str, *, vocab_only: bool, verbose: bool) -> None:
            tokenizer = content.path("train/tiny/tokenizer/tokenizer.json")
            self._tokenizer = Tokenizer.from_file(str(tokenizer))

        def tokenize(self, text: bytes, *, add_bos: bool, special: bool) -> list[int]:
            ids = self._tokenizer.encode(text.decode(), add_special_tokens=False).ids
            return [*ids[:-1], ids[-1] + self.change]

    package = ModuleType("llama_cpp")
    package.Llama = Llama
    package.__spec__ = importlib.machinery.ModuleSpec("llama_cpp", None)
    monkeypatch.setitem(sys.modules, "llama_cpp", package)
    return Llama


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "llama_cpp" else find(name)
    )


@pytest.mark.usefixtures("not_installed")
def test_the_converter_is_told_the_pre_tokenizer(
    trained: Path, llama_cpp: Path, tmp_path: Path
) -> None:
    import gguf

    done = export.convert(trained, tmp_path / "m.gguf", llama_cpp=llama_cpp)
    written = gguf.GGUFReader(done.file).fields["tokenizer.ggml.pre"].contents()
    assert written == done.pre_tokenizer == "qwen2"
    assert (done.vocabulary, done.texts) == (2048, None)


def test_texts_are_cut_by_llama_cpp_as_well(
    trained: Path, llama_cpp: Path, tmp_path: Path, installed: type
) -> None:
    done = export.convert(trained, tmp_path / "m.gguf", llama_cpp=llama_cpp)
    assert done.texts == len(export.TEXTS)
    installed.change = 1
    with pytest.raises(CheckpointError, match="to llama.cpp and"):
        export.compare_texts(trained, done.file)


@pytest.mark.usefixtures("not_installed")
def test_a_token_under_another_id_is_found(trained: Path, llama_cpp: Path, tmp_path: Path) -> None:
    done = export.convert(trained, tmp_path / "m.gguf", llama_cpp=llama_cpp)
    file = trained / "tokenizer.json"
    file.write_text(file.read_text().replace('"<|pad|>"', '"<|pod|>"'))
    with pytest.raises(CheckpointError, match="token 3 is '<|pad|>' in it"):
        export.compare_vocabularies(trained, done.file)


@pytest.mark.usefixtures("not_installed")
def test_another_end_token_is_found(trained: Path, llama_cpp: Path, tmp_path: Path) -> None:
    (llama_cpp / "convert_hf_to_gguf.py").write_text(CONVERTER.replace("EOS", "0"))
    with pytest.raises(CheckpointError, match="its eos token is not 2"):
        export.convert(trained, tmp_path / "m.gguf", llama_cpp=llama_cpp)


def test_only_arcee_is_converted(tiny_checkpoint: Path, llama_cpp: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="LlamaForCausalLM"):
        export.convert(tiny_checkpoint, tmp_path / "m.gguf", llama_cpp=llama_cpp)


def test_a_folder_without_a_converter_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="convert_hf_to_gguf"):
        export.convert(trained, tmp_path / "m.gguf", llama_cpp=tmp_path)
