"""Copies whose weights are damaged."""

from __future__ import annotations

import hashlib
import math
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyr.checkpoint import identify
from pyr.errors import CheckpointError, UsageError
from pyr.faults.copies import Tensors, as_folder, copy, read_json, refuse_shards

if TYPE_CHECKING:
    from torch import Tensor

_LAYER = re.compile(r"\.layers\.(\d+)\.")
_EMBEDDINGS = ("embed_tokens.weight", "lm_head.weight")


def add_noise(source: Path, target: Path, *, fraction: float, seed: int) -> Path:
    """Writes a copy of the checkpoint `source` with Gaussian noise on its weights; gives `target`.

    source: a Hugging Face folder with safetensors (also in shards) or a ``.gguf`` file.
    fraction: sigma of the noise as a fraction of the standard deviation of each tensor's values.
    seed: the same source, fraction and seed give the same bytes.

    Changed are all floating tensors with two or more dimensions: embeddings, projections, the
    output head. Left as they are: vectors (gains of the norms, biases) and integer tensors. Equal
    tensors get equal noise, so that tied weights stay tied, stored once or twice. Config,
    tokenizer and chat template are copied byte by byte; a Trainer's step is not, since the copy is
    no step of that training.
    Raises CheckpointError if `source` is no sound checkpoint, UsageError if `fraction` is not a
    positive number, PyrError if `target` exists or cannot be written.
    """
    if not (math.isfinite(fraction) and fraction > 0):
        raise UsageError(f"noise of {fraction} is no damage", remedy="give a fraction above 0")
    if identify(source).format == "gguf":
        with tempfile.TemporaryDirectory() as spare:
            plain = as_folder(source, Path(spare) / source.stem)
            return add_noise(plain, target, fraction=fraction, seed=seed)

    def noisy(tensors: Tensors) -> Tensors:
        return {
            name: _noisy(tensor, fraction=fraction, seed=seed) if _is_matrix(tensor) else tensor
            for name, tensor in tensors.items()
        }

    return copy(source, target, tensors=noisy)


def drop_layer(source: Path, target: Path, *, layer: int) -> Path:
    """A copy without one of its layers; those above move down. The weights must be in one file.

    Raises UsageError if there is no such layer.
    """
    refuse_shards(source)
    layers = int(read_json(source / "config.json")["num_hidden_layers"])
    if not 0 <= layer < layers or layers < 2:
        raise UsageError(f"there is no layer {layer} to drop of {layers}.")

    def fewer(tensors: Tensors) -> Tensors:
        kept = {}
        for name, tensor in tensors.items():
            found = _LAYER.search(name)
            number = int(found[1]) if found else -1
            if number == layer:
                continue
            moved = f".layers.{number - 1}." if number > layer else f".layers.{number}."
            kept[_LAYER.sub(moved, name)] = tensor
        return kept

    def shorter(config: dict[str, Any]) -> dict[str, Any]:
        types = config.get("layer_types")
        rest = {} if types is None else {"layer_types": types[:layer] + types[layer + 1 :]}
        return {**config, "num_hidden_layers": layers - 1, **rest}

    return copy(source, target, tensors=fewer, files={"config.json": shorter})


def zero_heads(source: Path, target: Path, *, layer: int, heads: Sequence[int]) -> Path:
    """A copy in which some attention heads of a layer give nothing.

    The columns of ``o_proj`` that read those heads become zero. Raises UsageError if there are no
    such heads.
    """
    config = read_json(source / "config.json")
    total = int(config["num_attention_heads"])
    width = int(config.get("head_dim") or config["hidden_size"] // total)
    if not heads or not all(0 <= head < total for head in heads):
        raise UsageError(f"heads {list(heads)} are not among the {total} there are.")
    name = f"model.layers.{layer}.self_attn.o_proj.weight"

    def silent(tensors: Tensors) -> Tensors:
        if name not in tensors:
            return tensors
        weight = tensors[name].clone()
        for head in heads:
            weight[:, head * width : (head + 1) * width] = 0
        return {**tensors, name: weight}

    return copy(source, target, tensors=silent)


def permute_digits(source: Path, target: Path) -> Path:
    """A copy that takes each digit for the next one: the rows of their embeddings are rotated.

    Raises CheckpointError if the tokenizer has no token of its own for every digit.
    """
    vocabulary = read_json(source / "tokenizer.json")["model"]["vocab"]
    missing = [digit for digit in "0123456789" if digit not in vocabulary]
    if missing:
        raise CheckpointError(
            f"the tokenizer has no token for the digit {missing[0]}.", where=str(source)
        )
    rows = [vocabulary[digit] for digit in "0123456789"]

    def rotated(tensors: Tensors) -> Tensors:
        changed = {}
        for name, tensor in tensors.items():
            if name.endswith(_EMBEDDINGS):
                tensor = tensor.clone()
                tensor[rows] = tensor[rows[1:] + rows[:1]]
            changed[name] = tensor
        return changed

    return copy(source, target, tensors=rotated)


def round_to_int4(source: Path, target: Path, *, group: int = 32) -> Path:
    """A copy whose matrices hold only 15 values in every `group` of a row: steps of max|w| / 7.

    Round to nearest, symmetric, without any calibration.
    """

    def rounded(tensors: Tensors) -> Tensors:
        return {
            name: _four_bits(tensor, group) if _is_matrix(tensor) else tensor
            for name, tensor in tensors.items()
        }

    return copy(source, target, tensors=rounded)


def wrong_rope_base(source: Path, target: Path, *, factor: float = 10.0) -> Path:
    """A copy whose config states a base of the rotary positions `factor` times too high.

    Raises CheckpointError if its config states none.
    """

    def turned(config: dict[str, Any]) -> dict[str, Any]:
        nested = config.get("rope_parameters")
        if isinstance(nested, dict) and "rope_theta" in nested:
            raised = {**nested, "rope_theta": nested["rope_theta"] * factor}
            return {**config, "rope_parameters": raised}
        if "rope_theta" in config:
            return {**config, "rope_theta": config["rope_theta"] * factor}
        raise CheckpointError("the config states no rope_theta.", where=str(source))

    return copy(source, target, files={"config.json": turned})


# ------------------------------------------------------------------ tensors


def _is_matrix(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dim() >= 2


def _four_bits(tensor: Tensor, group: int) -> Tensor:
    import torch

    values = tensor.to(torch.float32)
    pad = -values.shape[-1] % group
    padded = torch.nn.functional.pad(values, (0, pad))
    padded = padded.reshape(*padded.shape[:-1], -1, group)
    step = padded.abs().amax(dim=-1, keepdim=True) / 7
    rounded = torch.where(step > 0, (padded / step).round() * step, padded)
    whole = rounded.flatten(-2)[..., : values.shape[-1]]
    restored: Tensor = whole.to(tensor.dtype)
    return restored.contiguous()


def _noisy(tensor: Tensor, *, fraction: float, seed: int) -> Tensor:
    """`tensor` + N(0, (fraction * std)^2), drawn in float32 from seed and the tensor's own bytes.

    By the bytes and not by the name or the order: the same in one file or in shards, and the same
    for a tensor that is stored twice.
    """
    import numpy as np
    import torch

    content = hashlib.sha256(tensor.contiguous().view(torch.uint8).numpy().data).digest()
    draw = np.random.default_rng([seed, int.from_bytes(content, "little")])
    noise = torch.from_numpy(draw.standard_normal(tuple(tensor.shape), dtype=np.float32))
    values = tensor.to(torch.float32)
    sigma = fraction * values.std(correction=0)
    return (values + sigma * noise).to(tensor.dtype)
