"""Adapters that peft saved (LoRA and its like), merged in memory into their base model."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyr.checkpoint.places import adapter_files, has_adapter
from pyr.engines import tensors
from pyr.errors import CheckpointError, UsageError

_PREFIX = "base_model.model."
"""What peft puts before the names of the model's own modules."""


@contextmanager
def base_alone(folder: Path) -> Iterator[Path]:
    """Give a folder with the model in `folder` and without an adapter that lies beside it.

    transformers would load that adapter by itself, and say nothing of the model's own tensors.
    """
    if not has_adapter(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory() as place:
        for file in folder.iterdir():
            if not file.name.startswith("adapter_"):
                (Path(place) / file.name).symlink_to(file.resolve())
        yield Path(place)


def merge(model: Any, folder: Path) -> Any:
    """The model with the adapter in `folder` merged into its weights.

    Raises UsageError if peft is not installed, CheckpointError if the adapter is not of this
    model or of a kind that cannot be merged.
    """
    try:
        import peft
    except ImportError as error:
        raise UsageError(
            f"{folder} is an adapter, and peft is not installed.",
            remedy='install it: pip install "pyr-lm[peft]"',
        ) from error
    held = _held(folder)
    try:
        config = peft.PeftConfig.from_pretrained(str(folder))
        if config.is_prompt_learning:
            raise CheckpointError(
                f"an adapter of the kind {config.peft_type.value} cannot be merged into a model.",
                where=str(folder),
                remedy="evaluate LoRA and its like, or a model that was merged",
            )
        _prepare(model, held)
        with warnings.catch_warnings():
            # peft warns of what is missing; here it is an error.
            warnings.simplefilter("ignore")
            wrapped = peft.PeftModel.from_pretrained(model, str(folder), config=config)
            _refuse_misfits(folder, held.keys(), peft.get_peft_model_state_dict(wrapped).keys())
            return wrapped.merge_and_unload()
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"peft cannot lay the adapter over its base model: {' '.join(str(error).split()[:40])}",
            where=str(folder),
            remedy="see that base_model_name_or_path names the model that it was trained on",
        ) from error


def _held(folder: Path) -> dict[str, list[int]]:
    """The shapes of the adapter's tensors by name."""
    file = adapter_files(folder, allow_pickle=True)[-1]
    if file.suffix != ".safetensors":
        import torch

        held = torch.load(file, map_location="meta", weights_only=True)
        return {name: list(tensor.shape) for name, tensor in held.items()}
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return {name: opened.get_slice(name).get_shape() for name in opened.keys()}


def _prepare(model: Any, held: dict[str, list[int]]) -> None:
    """Make the base model fit: rows for tokens that were added, and a head of its own.

    What is learned for the embedding or the head alone may not change the other: where both are
    one tensor, they are parted.
    """
    import torch

    ends = {}
    for name, module in model.named_modules():
        if module in (model.get_input_embeddings(), model.get_output_embeddings()):
            ends[name] = module
    rows = [held.get(f"{_PREFIX}{name}.weight", [0])[0] for name in ends]
    if rows and max(rows) > tensors.num_rows(model):
        model.resize_token_embeddings(max(rows))
    head = model.get_output_embeddings()
    tied = head is not None and head.weight is model.get_input_embeddings().weight
    if tied and any(name.startswith(f"{_PREFIX}{end}.") for name in held for end in ends):
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
        tensors.never_tie(model)


def _refuse_misfits(folder: Path, held: Set[str], placed: Set[str]) -> None:
    """CheckpointError unless each tensor of the file has a place, and each place its tensor."""
    left_out = sorted(held - placed)
    # Of the base model's own tensors peft lists the embedding and the head, which need not be held.
    lacking = sorted(name for name in placed - held if ".lora_" in name)
    for what, names in (("have no place in the base model", left_out), ("are missing", lacking)):
        if names:
            raise CheckpointError(
                f"{len(names)} tensors of the adapter {what}: {', '.join(names[:3])}",
                where=str(folder),
                remedy="the adapter is of another model, or the save was cut short",
            )
