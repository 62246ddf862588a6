"""Copies that differ in their bytes and not in what they compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyr.checkpoint import identify
from pyr.errors import CheckpointError, UsageError
from pyr.faults.folders import Tensors, copy, read_json
from pyr.files import new_folder


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
