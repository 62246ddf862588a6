"""Damaged and converted copies of a checkpoint: what a sound evaluation must tell apart.

`add_noise` writes a copy that is worse by a chosen amount; `as_folder` turns a GGUF file into an
ordinary Hugging Face folder.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pyr.checkpoint import identify
from pyr.errors import CheckpointError, UsageError
from pyr.mirror import new_folder

if TYPE_CHECKING:
    from torch import Tensor

# Of a Trainer's folder only what makes the model: no optimizer, no random states, no pickles.
_MODEL_SUFFIXES = (".json", ".txt", ".jinja", ".model", ".py")
_TRAINER_FILES = ("trainer_state.json",)


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
    kind = identify(source).format
    if kind == "gguf":
        with tempfile.TemporaryDirectory() as spare:
            plain = as_folder(source, Path(spare) / source.stem)
            return add_noise(plain, target, fraction=fraction, seed=seed)
    with new_folder(target) as folder:
        weights = _weight_files(source)
        for file in sorted(source.iterdir()):
            if file.name in weights:
                _copy_noisy(file, folder / file.name, fraction=fraction, seed=seed)
            elif file.suffix in _MODEL_SUFFIXES and file.name not in _TRAINER_FILES:
                shutil.copyfile(file, folder / file.name)
    return target


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


def _weight_files(folder: Path) -> set[str]:
    """Names of the files that hold the weights of a folder that `identify` took."""
    single = "model.safetensors"
    if (folder / single).is_file():
        return {single}
    index = json.loads((folder / f"{single}.index.json").read_text(encoding="utf-8"))
    return set(index["weight_map"].values())


def _copy_noisy(source: Path, target: Path, *, fraction: float, seed: int) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(source, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        metadata = file.metadata()
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.dim() >= 2:
            tensors[name] = _noisy(tensor, fraction=fraction, seed=seed)
    save_file(tensors, target, metadata=metadata)


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
