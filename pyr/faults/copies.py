"""Copies that differ in their bytes and not in what they compute."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyr.checkpoint import identify
from pyr.errors import CheckpointError, UsageError
from pyr.files import new_folder

if TYPE_CHECKING:
    from torch import Tensor
import re


def as_folder(gguf: Path, target: Path) -> Path:
    """Writes the GGUF file `gguf` as an ordinary float32 Hugging Face folder; gives `target`.

    The weights are those that transformers dequantises, so the logits are exactly those of the
    file loaded by transformers. Takes about four bytes on disk for each parameter.
    Raises CheckpointError if it is no GGUF file that transformers can read, PyrError if `target`
    exists or cannot be written.
    """
    if identify(gguf).format != "gguf":
        raise CheckpointError(f"{gguf.name} is no GGUF file", where=str(gguf))
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    try:
        model = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(**place)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise CheckpointError(
            f"transformers cannot read {gguf.name}: {error}",
            where=str(gguf),
            remedy="copy it again, or take the model's safetensors folder",
        ) from error
    # save_pretrained refuses a model that was loaded quantised, whatever it holds by now: its
    # tensors go into a fresh model of the same class, with the quantisation struck from the config.
    config = model.config
    del config.quantization_config
    with torch.device("meta"):
        plain = type(model)(config)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    plain.generation_config = model.generation_config
    with new_folder(target) as folder:
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return target


def saved_again(source: Path, target: Path) -> Path:
    """A copy loaded and saved by transformers, in the number format it is stored in."""
    return _saved(source, target, max_shard_size="100GB")


def in_shards(source: Path, target: Path, *, size: str = "100MB") -> Path:
    """The same, its weights in files of at most `size` each."""
    return _saved(source, target, max_shard_size=size)


def as_bfloat16(source: Path, target: Path) -> Path:
    """A copy stored in bfloat16, of weights that are exact in it.

    Raises UsageError naming the first tensor that is not: its copy would not be harmless.
    """
    import torch

    def halved(tensors: Tensors) -> Tensors:
        changed = {}
        for name, tensor in tensors.items():
            half = tensor.to(torch.bfloat16)
            if not torch.equal(half.to(tensor.dtype), tensor):
                raise UsageError(
                    f"{name} is not exact in bfloat16: a copy in it would be another model.",
                    where=str(source),
                    remedy="make this copy of weights that were stored in bfloat16",
                )
            changed[name] = half
        return changed

    def stated(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "dtype": "bfloat16"}

    return copy(source, target, tensors=halved, files={"config.json": stated})


def untied(source: Path, target: Path) -> Path:
    """A copy that stores its output head apart, the same as its embeddings.

    Raises UsageError if they are not tied.
    """
    if not read_json(source / "config.json").get("tie_word_embeddings"):
        raise UsageError(f"the embeddings of {source.name} are not tied.", where=str(source))

    def apart(tensors: Tensors) -> Tensors:
        embeddings = tensors.get("model.embed_tokens.weight")
        return tensors if embeddings is None else {**tensors, "lm_head.weight": embeddings.clone()}

    def stated(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "tie_word_embeddings": False}

    return copy(source, target, tensors=apart, files={"config.json": stated})


def _saved(source: Path, target: Path, *, max_shard_size: str) -> Path:
    identify(source)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(source, dtype="auto")
    tokenizer = AutoTokenizer.from_pretrained(source)
    with new_folder(target) as folder:
        model.save_pretrained(folder, max_shard_size=max_shard_size)
        tokenizer.save_pretrained(folder)
    return target


# ------------------------------------------------------------------
# Reading and writing the files of a copy: what is not changed is copied byte by byte.


# Of a Trainer's folder only what makes the model: no optimizer, no random states, no pickles.
_MODEL_SUFFIXES = (".json", ".txt", ".jinja", ".model", ".py")
_TRAINER_FILES = ("trainer_state.json",)

Tensors = dict[str, "Tensor"]


def copy(
    source: Path,
    target: Path,
    *,
    tensors: Callable[[Tensors], Tensors] | None = None,
    files: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Path:
    """A copy of the checkpoint folder `source`, changed; gives `target`.

    tensors: applied to the tensors of each weight file in turn, by name. files: what becomes of the
    content of a JSON file, or of the text of another, by its name; `source` must hold it.
    A Trainer's step is not copied: the copy is no step of that training.
    Raises CheckpointError if `source` is no sound folder, PyrError if `target` exists or cannot be
    written.
    """
    if identify(source).format != "safetensors":
        raise CheckpointError(
            f"{source.name} is no folder with safetensors.",
            where=str(source),
            remedy="make one of a GGUF file with pyr.faults.as_folder",
        )
    changes = files or {}
    with new_folder(target) as folder:
        weights = weight_files(source)
        for file in sorted(source.iterdir()):
            if file.name in weights and tensors is not None:
                _copy_weights(file, folder / file.name, tensors)
            elif file.name in changes:
                _copy_text(file, folder / file.name, changes[file.name])
            elif file.name in weights or _is_models(file):
                shutil.copyfile(file, folder / file.name)
    return target


def weight_files(folder: Path) -> set[str]:
    """Names of the files that hold the weights of a folder that `identify` took."""
    single = "model.safetensors"
    if (folder / single).is_file():
        return {single}
    index = json.loads((folder / f"{single}.index.json").read_text(encoding="utf-8"))
    return set(index["weight_map"].values())


def read_json(file: Path) -> Any:
    """The content of a JSON file of a checkpoint. Raises CheckpointError if there is none."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{file.name} is missing: {error.strerror or error}.", where=str(file.parent)
        ) from error


def refuse_shards(source: Path) -> None:
    """Raise CheckpointError unless all weights are in one file."""
    if len(weight_files(source)) > 1:
        raise CheckpointError(
            f"the weights of {source.name} are in shards.",
            where=str(source),
            remedy="save it in one file: model.save_pretrained(folder, max_shard_size='100GB')",
        )


def _is_models(file: Path) -> bool:
    return file.suffix in _MODEL_SUFFIXES and file.name not in _TRAINER_FILES


def _copy_weights(source: Path, target: Path, change: Callable[[Tensors], Tensors]) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(source, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        metadata = file.metadata()
    save_file(change(tensors), target, metadata=metadata)


def _copy_text(source: Path, target: Path, change: Callable[[Any], Any]) -> None:
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".json":
        text = json.dumps(change(json.loads(text)), ensure_ascii=False, indent=2)
    else:
        text = change(text)
    target.write_text(text, encoding="utf-8")


# ------------------------------------------------------------------
# Copies whose weights are sound, and that are given other texts than they were trained on.


_PROMPT = re.compile(
    r"\{%-?\s*if\s+add_generation_prompt\s*-?%\}.*?\{%-?\s*endif\s*-?%\}", re.DOTALL
)


def without_merge(source: Path, target: Path, *, merge: int = 0) -> Path:
    """A copy whose BPE tokenizer lacks one of its merges, the most frequent one by default.

    Raises CheckpointError if its tokenizer.json holds no such merge.
    """
    merges = read_json(source / "tokenizer.json")["model"].get("merges", [])
    if not 0 <= merge < len(merges):
        raise CheckpointError(
            f"the tokenizer has {len(merges)} merges, none of number {merge}.", where=str(source)
        )

    def lacking(tokenizer: dict[str, Any]) -> dict[str, Any]:
        model = tokenizer["model"]
        rest = model["merges"][:merge] + model["merges"][merge + 1 :]
        return {**tokenizer, "model": {**model, "merges": rest}}

    return copy(source, target, files={"tokenizer.json": lacking})


def without_generation_prompt(source: Path, target: Path) -> Path:
    """A copy whose chat template never opens the assistant's turn.

    Raises CheckpointError if its template asks for no generation prompt.
    """

    def closed(template: str) -> str:
        shorter, count = _PROMPT.subn("", template)
        if not count:
            raise CheckpointError("the chat template asks for no generation prompt.")
        return shorter

    def inside(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "chat_template": closed(config["chat_template"])}

    if (source / "chat_template.jinja").is_file():
        return copy(source, target, files={"chat_template.jinja": closed})
    if isinstance(read_json(source / "tokenizer_config.json").get("chat_template"), str):
        return copy(source, target, files={"tokenizer_config.json": inside})
    raise CheckpointError(f"{source.name} has no chat template.", where=str(source))


def add_bos(source: Path, target: Path) -> Path:
    """A copy whose tokenizer begins every text with its BOS token.

    Raises CheckpointError if it names no BOS token that its vocabulary holds.
    """
    token = read_json(source / "tokenizer_config.json").get("bos_token")
    bos = token.get("content") if isinstance(token, dict) else token
    added = read_json(source / "tokenizer.json").get("added_tokens", [])
    ids = {each["content"]: each["id"] for each in added}
    if bos not in ids:
        raise CheckpointError(f"the tokenizer of {source.name} has no BOS token.")

    def begun(tokenizer: dict[str, Any]) -> dict[str, Any]:
        start = {"SpecialToken": {"id": bos, "type_id": 0}}
        first = {"Sequence": {"id": "A", "type_id": 0}}
        second = {"Sequence": {"id": "B", "type_id": 1}}
        opening = {
            "type": "TemplateProcessing",
            "single": [start, first],
            "pair": [start, first, second],
            "special_tokens": {bos: {"id": bos, "ids": [ids[bos]], "tokens": [bos]}},
        }
        before = tokenizer.get("post_processor")
        both = {"type": "Sequence", "processors": [before, opening]} if before else opening
        return {**tokenizer, "post_processor": both}

    return copy(source, target, files={"tokenizer.json": begun})
