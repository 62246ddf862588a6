"""A trained model as others take it: a Hugging Face folder with its card and its scores."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyr.checkpoint import MARKER
from pyr.compare import compare
from pyr.errors import CheckpointError, UsageError
from pyr.schema import Comparison
from pyr.store import Results

_LEFT_BEHIND = ("trainer_state.json", MARKER)


def to_folder(checkpoint: Path, folder: Path, results: Sequence[Results], *, name: str) -> Path:
    """Copy the model with its tokenizer and generation settings, and write its card.

    results: stored runs of it, whose scores go into the card.
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


def card(config: dict[str, Any], results: Sequence[Results], *, name: str) -> str:
    """The model card: front matter that the hub reads scores from, what it is, and a table."""
    from huggingface_hub import ModelCardData

    scores = {each.run.id: _scores(each) for each in results}
    entries = [entry for rows in scores.values() for entry in _entries(rows)]
    front = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        model_name=name if entries else None,
        eval_results=entries or None,
    )
    what = (
        f"{config['architectures'][0]}: {config['num_hidden_layers']} layers, hidden "
        f"{config['hidden_size']}, {config['vocab_size']} tokens, "
        f"{config['max_position_embeddings']} positions."
    )
    lines = ["---", front.to_yaml(), "---", "", f"# {name}", "", what, ""]
    for each in results:
        lines += [*_table(each, scores[each.run.id]), ""]
    return "\n".join(lines)


def _scores(results: Results) -> list[Comparison]:
    rows = [row for row in compare(results, None) if row.candidate is not None]
    return [row for row in rows if row.kind != "check"]


def _entries(rows: Sequence[Comparison]) -> Iterator[Any]:
    from huggingface_hub import EvalResult

    for row in rows:
        assert row.candidate is not None
        yield EvalResult(
            task_type="text-generation",
            dataset_type=row.task,
            dataset_name=row.task,
            metric_type=row.metric,
            metric_value=float(f"{row.candidate.value:.6g}"),
        )


def _table(results: Results, rows: Sequence[Comparison]) -> Iterator[str]:
    run = results.run
    yield f"## Scores\n\nSuite `{run.suite}`, engine `{run.engine_used}`, run `{run.id}`.\n"
    if run.checkpoint.tokens:
        yield f"Training tokens: {run.checkpoint.tokens:,}.\n"
    yield "| measure | score | standard error | n |\n|---|---:|---:|---:|"
    for row in rows:
        assert row.candidate is not None
        score = row.candidate
        yield f"| {row.measure} | {score.value:.4g} | {score.se:.2g} | {score.n} |"


# ------------------------------------------------------------------
# A trained model as a GGUF file, by the converter of a llama.cpp checkout; checked afterwards.


_HASH_METHOD = "get_vocab_base_pre"
TEXTS = (
    "Once upon a time there was a fox. It wasn't old, it's new!",
    "def add(a, b):\n\treturn a + b  # 12345 + 0.5\n\n\nclass A:\n    pass\n",
    "one\r\ntwo\r\n\r\n   three    four\t\tfive \n \n",
    "1 22 333 4444 55555 3.14 1,000,000 v2.0.1 0x1F",
    "\u0663\u0664 \u00bd \u00b2 \u4e09 \u2167",
    "na\u00efve cafe\u0301 \u00c5ngstr\u00f6m \u0915\u094d\u0937 \u65e5\u672c \u0440\u0443",
    "\U0001f600 \U0001f469\u200d\U0001f4bb \U0001f1e9\U0001f1ea \u2705",
    "'re 'RE we'll WE'LL don\u2019t !!! ?? ... --- ==> <= :-)",
    "https://example.org/a?b=c&d=%20#e",
    "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n",
    '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": 2}}\n</tool_call><|im_end|>\n',
    "<think>\nFour.\n</think>\n\n4<|im_end|><|endoftext|>",
)
"""What both must cut alike: words, code, white space, digits, scripts, signs, chat."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A GGUF file that holds the checkpoint's own vocabulary."""

    file: Path
    vocabulary: int
    pre_tokenizer: str
    texts: int | None
    """How many texts llama.cpp itself cut like the tokenizer; None if it is not installed."""


def convert(checkpoint: Path, file: Path, *, llama_cpp: Path, kind: str = "f32") -> Converted:
    """Convert, naming the pre-tokenizer for the converter, and compare the vocabularies.

    The converter knows a tokenizer by a hash over token ids, which every newly trained vocabulary
    changes. llama_cpp: the checkout. kind: as its ``--outtype``.
    Raises CheckpointError for a model that llama.cpp would compute wrongly or a vocabulary that
    came out different, UsageError for a folder that holds no converter, or one of another form.
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
    _run_converter(checkpoint, file, llama_cpp, kind)
    return Converted(
        file=file,
        vocabulary=compare_vocabularies(checkpoint, file),
        pre_tokenizer=pre_tokenizer_of(checkpoint),
        texts=compare_texts(checkpoint, file),
    )


def _run_converter(checkpoint: Path, file: Path, llama_cpp: Path, kind: str) -> None:
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


# ------------------------------------------------------------------ token parity


def compare_vocabularies(checkpoint: Path, file: Path) -> int:
    """How many tokens the file holds, each under its id of tokenizer.json, with the same merges.

    Raises CheckpointError naming the first that differs, or a begin, end or pad token that does.
    """
    import gguf

    fields = gguf.GGUFReader(file).fields
    theirs = fields["tokenizer.ggml.tokens"].contents()
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf-8"))
    ours = {number: text for text, number in tokenizer["model"]["vocab"].items()}
    ours |= {added["id"]: added["content"] for added in tokenizer["added_tokens"]}
    for number, text in ours.items():
        if number >= len(theirs) or theirs[number] != text:
            found = theirs[number] if number < len(theirs) else "nothing"
            raise _differs(file, f"token {number} is {found!r} in it and {text!r} in the tokenizer")
    merges = tokenizer["model"]["merges"]
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]
    if fields["tokenizer.ggml.merges"].contents() != pairs:
        raise _differs(file, "its merges are not the tokenizer's")
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        field = fields.get(f"tokenizer.ggml.{key}_token_id")
        if field is None or field.contents() != config[f"{name}_token_id"]:
            raise _differs(file, f"its {name} token is not {config[f'{name}_token_id']}")
    return len(ours)


def compare_texts(checkpoint: Path, file: Path) -> int | None:
    """How many of `TEXTS` llama.cpp cuts like the tokenizer; None if llama_cpp is not installed.

    Raises CheckpointError with the first text that it cuts otherwise.
    """
    if importlib.util.find_spec("llama_cpp") is None:
        return None
    import llama_cpp
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = llama_cpp.Llama(str(file), vocab_only=True, verbose=False)
    for text in TEXTS:
        ours = tokenizer(text, add_special_tokens=False)["input_ids"]
        theirs = model.tokenize(text.encode("utf-8"), add_bos=False, special=True)
        if theirs != ours:
            raise _differs(file, f"{text!r} is {theirs} to llama.cpp and {ours} to the tokenizer")
    return len(TEXTS)


def _differs(file: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{file.name} is not the tokenizer's: {what}.",
        where=str(file),
        remedy="do not use this file; try another llama.cpp checkout",
    )
