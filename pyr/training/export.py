"""A trained model in the forms that others take: a Hugging Face folder with its card, and GGUF."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyr.compare import compare
from pyr.errors import CheckpointError, UsageError
from pyr.store import Results

_LEFT_BEHIND = ("trainer_state.json", "complete.json")
_HASH_METHOD = "get_vocab_base_pre"


def to_folder(checkpoint: Path, folder: Path, results: Results | None, *, name: str) -> Path:
    """Copy the model with its tokenizer and generation settings, and write its card.

    results: a stored run of it, whose scores go into the card; None writes none.
    Raises UsageError if something lies at `folder` already.
    """
    if folder.exists():
        raise UsageError(f"{folder} is there already.", remedy="name a new folder")
    left = shutil.ignore_patterns(*_LEFT_BEHIND)
    shutil.copytree(checkpoint, folder, ignore=left)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    # The trainer switches the cache off; generation wants it.
    config["use_cache"] = True
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(config, results, name=name), encoding="utf-8")
    return folder


def card(config: dict[str, Any], results: Results | None, *, name: str) -> str:
    """The model card: front matter, what it is, and its scores with their standard errors."""
    head = ["---", "library_name: transformers", "pipeline_tag: text-generation", "---"]
    what = (
        f"{config['architectures'][0]}: {config['num_hidden_layers']} layers, hidden "
        f"{config['hidden_size']}, {config['vocab_size']} tokens, "
        f"{config['max_position_embeddings']} positions."
    )
    lines = [*head, "", f"# {name}", "", what, ""]
    if results is not None:
        lines += list(_scores(results))
    return "\n".join(lines) + "\n"


def _scores(results: Results) -> Iterator[str]:
    run = results.run
    yield f"## Scores\n\nSuite `{run.suite}`, engine `{run.engine}`, run `{run.id}`.\n"
    if run.checkpoint.tokens:
        yield f"Training tokens: {run.checkpoint.tokens:,}.\n"
    yield "| measure | score | standard error | n |\n|---|---:|---:|---:|"
    for row in compare(results, None):
        if row.candidate is not None and not row.measure.startswith("health/"):
            score = row.candidate
            yield f"| {row.measure} | {score.value:.4g} | {score.se:.2g} | {score.n} |"


def to_gguf(checkpoint: Path, file: Path, *, llama_cpp: Path, kind: str = "f32") -> Path:
    """Convert by the converter of a llama.cpp checkout, naming the pre-tokenizer for it.

    The converter knows a tokenizer by a hash over token ids, which every newly trained vocabulary
    changes. llama_cpp: the checkout. kind: as its ``--outtype``.
    Raises CheckpointError for a model that llama.cpp would compute wrongly, UsageError for a folder
    that holds no converter, or one of another form.
    """
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    if config.get("architectures") != ["ArceeForCausalLM"]:
        raise CheckpointError(
            f"{checkpoint} is {config.get('architectures')}: only ArceeForCausalLM is exported.",
            remedy="llama.cpp computes other classes with ReLU squared as if it were SwiGLU",
        )
    if not (llama_cpp / "convert_hf_to_gguf.py").is_file():
        raise UsageError(
            f"{llama_cpp} holds no convert_hf_to_gguf.py.", remedy="name a llama.cpp checkout"
        )
    arguments = [str(checkpoint), "--outfile", str(file), "--outtype", kind]
    with _on_path([llama_cpp, llama_cpp / "gguf-py"], ["convert_hf_to_gguf.py", *arguments]):
        models = importlib.import_module("conversion.base").TextModel
        converter = importlib.import_module("convert_hf_to_gguf")
        known = getattr(models, _HASH_METHOD, None)
        if known is None:
            raise UsageError(
                f"this llama.cpp has no TextModel.{_HASH_METHOD}.",
                where=str(llama_cpp),
                remedy="use a checkout whose converter lies in conversion/",
            )
        setattr(models, _HASH_METHOD, _named(known, pre_tokenizer_of(checkpoint)))
        converter.main()
    return file


def _named(known: Any, name: str) -> Any:
    """The converter's own answer where it has one, else the name of our pre-tokenizer."""

    def pre(self: Any, tokenizer: Any) -> str:
        try:
            return str(known(self, tokenizer))
        except NotImplementedError:
            return name

    return pre


def pre_tokenizer_of(checkpoint: Path) -> str:
    """llama.cpp's name for how the tokenizer cuts text: ``qwen2`` or ``smollm``."""
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf-8"))
    kinds = {part["type"] for part in tokenizer["pre_tokenizer"].get("pretokenizers", [])}
    if "Digits" in kinds:
        return "smollm"
    if "Split" in kinds:
        return "qwen2"
    raise CheckpointError(
        f"the pre-tokenizer of {checkpoint} is none that llama.cpp has a name for.",
        remedy="train the tokenizer with pre_tokenizer qwen2 or smollm",
    )


@contextmanager
def _on_path(folders: Sequence[Path], arguments: list[str]) -> Iterator[None]:
    """Import from these folders first, with this command line, while the block runs."""
    path, argv = list(sys.path), list(sys.argv)
    sys.path[:0] = [str(folder.resolve()) for folder in folders]
    sys.argv[:] = arguments
    try:
        yield
    finally:
        sys.path[:], sys.argv[:] = path, argv
