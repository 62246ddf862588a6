"""The tensors of a checkpoint: what the files hold, and what the model makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyr.checkpoint.places import adapter_files
from pyr.checkpoint.weights import bare_name, weight_files
from pyr.errors import CheckpointError
from pyr.schema import Checkpoint

_TABLES = re.compile(
    r"inv_freq|cos_cached|sin_cached|freqs_cis|rope\.freqs|position_ids|masked_bias|num_batches_tracked"
)
"""Tables that are computed, not learned, by the names that models give them."""
_OTHER_TOWER = re.compile(
    r"vision|visual|image|audio|speech|video|tower|projector|pooler|seq_relationship|mtp"
)
"""Words for parts of a model beside its decoder."""


def names(checkpoint: Checkpoint) -> list[str]:
    """The names of the tensors in the files, sorted; empty for a GGUF file."""
    return sorted(name for file in _files(checkpoint) for name in _names(file))


def read(checkpoint: Checkpoint) -> Iterator[tuple[str, Any]]:
    """Every tensor in the files by name, an adapter's behind those of its base."""
    for file in _files(checkpoint):
        yield from _tensors(file)
    if checkpoint.base:
        yield from _tensors(adapter_files(Path(checkpoint.path), allow_pickle=True)[-1])


def num_rows(model: Any) -> int:
    """How many tokens have a row in the embedding."""
    return int(model.get_input_embeddings().weight.shape[0])


def never_tie(model: Any) -> None:
    """Leave heads and embeddings as they are from here on: transformers asks the configs."""
    from transformers import PreTrainedModel

    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            module.config.tie_word_embeddings = False


def kind(tensor: str) -> str:
    """A tensor's name without the numbers of its layer and expert."""
    return re.sub(r"\d+", "N", tensor)


def refuse_misfits(path: Path, loading: Mapping[str, Any], *, used: Iterable[str]) -> None:
    """CheckpointError unless the files hold what the config's model needs, and all its layers.

    used: names of the model's own tensors.
    """
    kinds = {kind(name) for name in used}
    unused = loading["unexpected_keys"]
    left_out = [name for name in unused if kind(name) != name and kind(name) in kinds]
    shapes = [
        f"{name} has the shape {list(held)}, the config says {list(asked)}"
        for name, held, asked in loading["mismatched_keys"]
    ]
    for what, names in (
        ("are missing from the weights", loading["missing_keys"]),
        ("of the weights are not the config's", shapes),
        ("of the weights have no place in the config's model", left_out),
    ):
        if names:
            raise CheckpointError(
                f"{len(names)} tensors {what}: {', '.join(sorted(names)[:3])}",
                where=str(path),
                remedy="the config is of another model, or the save was cut short: save it again",
            )


def split_unused(
    checkpoint: Checkpoint, model: Any, unexpected: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Tensors that the model has no place for: learned ones of its decoder, and all others.

    unexpected: as transformers lists them, without those that it knows it can do without.
    Computed tables are in neither list.
    """
    modules = {name for name, _ in model.named_modules()}
    base = model.base_model_prefix
    suspects = [name for name in sorted(unexpected) if not _TABLES.search(name)]
    masks = _masks(checkpoint, suspects)
    faults: list[str] = []
    others: list[str] = []
    for name in suspects:
        if name not in masks:
            (faults if _is_decoders(name, modules, base) else others).append(name)
    return faults, others


def _is_decoders(name: str, modules: set[str], base: str) -> bool:
    """Whether a tensor that has no place would stand in the decoder, by its name.

    It would where one of the decoder's modules would hold it; right under the model or its base,
    where it is of no other tower.
    """
    for full in (name, f"{base}.{name}"):
        parent = full
        while parent not in modules:
            parent = parent.rpartition(".")[0]
        if parent not in ("", base, "cls"):
            return True
    under_base = bool(base) and name.startswith(f"{base}.")
    return under_base and not _OTHER_TOWER.search(name)


def _masks(checkpoint: Checkpoint, suspects: Sequence[str]) -> set[str]:
    """Those of the suspects that hold a causal mask: ones where a token may look, else zeros."""
    named = set(suspects)
    found = set()
    for name, tensor in read(checkpoint) if named else ():
        if bare_name(name) in named and is_mask(tensor):
            found.add(bare_name(name))
    return found


def is_mask(tensor: Any) -> bool:
    """Whether a tensor is a triangle: of ones, or of one value and something else beyond it."""
    if tensor.ndim < 2 or tensor.shape[-1] != tensor.shape[-2] or tensor.shape[-1] < 2:
        return False
    square = tensor.reshape(-1, *tensor.shape[-2:])[0].float()
    if tensor.numel() != square.numel():
        return False
    below, above = square.tril(), square.triu(1)
    ones = square.new_ones(square.shape).tril()
    inside, beyond = square[0, 0], square[0, -1]
    return bool(
        inside != beyond and (below == ones * inside).all() and (above == (1 - ones) * beyond).all()
    )


# ------------------------------------------------------------------ files


def _files(checkpoint: Checkpoint) -> list[Path]:
    if checkpoint.format not in ("safetensors", "pickle"):
        return []
    return weight_files(Path(checkpoint.base or checkpoint.path), allow_pickle=True)[0]


def _names(file: Path) -> list[str]:
    if file.suffix != ".safetensors":
        return list(_unpickled(file, "meta"))
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return list(opened.keys())


def _tensors(file: Path) -> Iterator[tuple[str, Any]]:
    if file.suffix != ".safetensors":
        yield from sorted(_unpickled(file, "cpu").items())
        return
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        for name in sorted(opened.keys()):
            yield name, opened.get_tensor(name)


def _unpickled(file: Path, device: str) -> dict[str, Any]:
    """The tensors of a pickled file; nothing but tensors is unpickled."""
    import torch

    held: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
    return held
