"""The files of weights in a model folder: which there are, what they hold, how to get them.

Weights that a distributed training left in pieces are named, with the command that joins them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pyr.errors import CheckpointError

CONFIG = "config.json"
_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLED = "pytorch_model.bin"
_PICKLED_INDEX = "pytorch_model.bin.index.json"
_LFS = b"version https://git-lfs.github.com/spec/"
"""How the small file begins that Git leaves in the place of a large one."""
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
"""Names that torch.compile, FSDP, activation checkpoints and DeepSpeed put before a module's own.

DistributedDataParallel's is `module`; it wraps whole models alone.
"""


def weight_files(folder: Path, *, allow_pickle: bool = False) -> tuple[list[Path], bool]:
    """The files that hold the weights, and whether they are pickles. Raises CheckpointError.

    The choice is transformers' own: where a whole file lies, shards beside it are left over.
    """
    if (folder / _SINGLE).is_file():
        return [folder / _SINGLE], False
    if (folder / _INDEX).is_file():
        return _shards(folder, _INDEX), False
    if (folder / _PICKLED).is_file():
        pickles = [folder / _PICKLED]
    elif (folder / _PICKLED_INDEX).is_file():
        pickles = _shards(folder, _PICKLED_INDEX)
    else:
        raise no_weights(folder)
    if not allow_pickle:
        raise CheckpointError(
            f"the weights of {folder} are pickled ({pickles[0].name}): loading them can run code.",
            remedy="save them as safetensors, or --set allow_pickle=true if you trust their origin",
        )
    return pickles, True


def holds_weights(folder: Path) -> bool:
    """Whether the folder holds a file of weights, or the index of one, that transformers loads."""
    names = (_SINGLE, _INDEX, _PICKLED, _PICKLED_INDEX)
    return any((folder / name).is_file() for name in names)


def _shards(folder: Path, index: str) -> list[Path]:
    listed = read_json(folder / index).get("weight_map")
    shards = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing or not shards:
        raise CheckpointError(
            f"{len(missing)} of {len(shards)} weight shards are missing: {missing[:3]}",
            where=str(folder),
            remedy="copy the whole folder again",
        )
    return [folder / shard for shard in shards]


def check_safetensors(file: Path) -> dict[str, Any]:
    """The header of a safetensors file; CheckpointError if header and file size disagree.

    Format: 8 bytes little-endian header length, JSON header, tensor data
    (https://github.com/huggingface/safetensors#format).
    """
    size = file.stat().st_size
    _refuse_lfs(file)
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(size, 100_000_000):
                raise ValueError(f"a header of {length} bytes in a file of {size}")
            header: dict[str, Any] = json.loads(stream.read(length))
        ends = [
            entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"
        ]
        expected = 8 + length + max(ends, default=0)
        if expected != size:
            raise ValueError(f"{size} bytes where the header says {expected}")
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{file.name} is damaged or cut short: {error}",
            where=str(file),
            remedy="copy it again, or take the checkpoint before it",
        ) from error
    return header


def _refuse_lfs(file: Path) -> None:
    with file.open("rb") as stream:
        if stream.read(len(_LFS)) == _LFS:
            raise CheckpointError(
                f"{file.name} is a pointer of Git LFS: the file itself was not fetched.",
                where=str(file),
                remedy="in that folder: git lfs pull",
            )


def read_json(file: Path) -> dict[str, Any]:
    """The object that a JSON file of a checkpoint holds. Raises CheckpointError."""
    _refuse_lfs(file)
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(
            f"{file.name} is not readable JSON: {error}", where=str(file), remedy="copy it again"
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{file.name} is not a JSON object.", where=str(file))
    return value


# ------------------------------------------------------------------ what is there instead


def no_weights(folder: Path) -> CheckpointError:
    """Say what a folder without weights holds in their place, and what to do with it."""
    joined = pieces_of_training(folder)
    if joined:
        what, remedy = joined
        return CheckpointError(
            f"{folder} holds no weights but {what}.", where=f"looked for: {_SINGLE}", remedy=remedy
        )
    if any(folder.glob("model-*-of-*.safetensors")):
        remedy = "there are shards without their index: copy model.safetensors.index.json too"
    elif others := sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        names = ", ".join(file.name for file in others[:3])
        remedy = f"transformers reads no weights of other names ({names}): save_pretrained"
    else:
        remedy = "save the model with save_pretrained"
    return CheckpointError(
        f"{folder} holds no weights.", where=f"looked for: {_SINGLE}, {_INDEX}", remedy=remedy
    )


def pieces_of_training(folder: Path) -> tuple[str, str] | None:
    """What a distributed training left of the weights, and the command that joins its pieces.

    Sources: accelerate's FSDP guide (merge-weights), DeepSpeed's zero_to_fp32.py, and
    torch.distributed.checkpoint.format_utils.
    """
    for place in (folder, *sorted(each for each in folder.glob("*") if each.is_dir())):
        if "optimizer" not in place.name and (place / ".metadata").is_file():
            kind = "FSDP" if "fsdp" in place.name else "distributed checkpoint (DCP)"
            command = f"accelerate merge-weights {place} {folder}"
            hint = f"{command}  (where it holds an optimizer too: {_dcp_to_torch(place)})"
            return f"shards of {kind} ({place.name})", command if kind == "FSDP" else hint
    zero = sorted(folder.glob("*/*_model_states.pt")) or sorted(folder.glob("*_model_states.pt"))
    if zero:
        root = folder.parent if zero[0].parent == folder else folder
        script = root / "zero_to_fp32.py"
        start = f"python {script}" if script.is_file() else "python -m deepspeed.utils.zero_to_fp32"
        return (
            f"shards of DeepSpeed ({zero[0].relative_to(folder)})",
            f"{start} {root} {root} --safe_serialization",
        )
    whole = sorted(folder.glob("pytorch_model_fsdp*.bin"))
    if whole:
        return (
            f"the whole state of FSDP ({whole[0].name})",
            f"mv {whole[0]} {folder / _PICKLED}, then --set allow_pickle=true",
        )
    ranks = sorted(folder.glob("**/mp_rank_*/model_optim_rng.pt"))
    if ranks:
        return (
            f"shards of Megatron-LM ({ranks[0].relative_to(folder)})",
            "convert it with Megatron-LM's tools/checkpoint/convert.py or Megatron Bridge",
        )
    return None


def _dcp_to_torch(place: Path) -> str:
    return f"python -m torch.distributed.checkpoint.format_utils dcp_to_torch {place} all.pt"


# ------------------------------------------------------------------ names of wrapped models


def bare_name(name: str) -> str:
    """A tensor's name as the model itself gives it, without what wrapped the model in training."""
    parts = [part for part in name.split(".") if part not in _WRAPPERS]
    if parts[0] == "module":
        parts = parts[1:]
    return ".".join(parts)


def wrappers(names: Iterable[str]) -> list[str]:
    """What wrapped the model when tensors of these names were saved, each written once."""
    found: dict[str, None] = {}
    for name in names:
        parts = name.split(".")
        outer = [part for part in parts if part not in _WRAPPERS][:1] == ["module"]
        found |= dict.fromkeys([part for part in parts if part in _WRAPPERS])
        found |= {"module": None} if outer else {}
    return list(found)
