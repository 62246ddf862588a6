"""Identify a checkpoint by what it holds: `identify(path) -> Checkpoint`, without torch.

A checkpoint is a Hugging Face folder (safetensors, sharded or not), a Trainer `checkpoint-N`
folder, a model in the hub's cache, an adapter with its base model, or a `.gguf` file. Its digest
covers whatever is loaded from it, so that an overwritten path is a new checkpoint and a moved one
is still the same.

weights.py  the files of weights, and what other programs leave in their place
places.py   where a checkpoint lies: the hub's cache, adapters and their base models
parts.py    what is loaded beside the weights: config, tokenizer, template, the checkpoint's code
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyr.checkpoint import parts, places
from pyr.checkpoint.weights import (
    CONFIG,
    check_safetensors,
    no_weights,
    pieces_of_training,
    read_json,
    weight_files,
)
from pyr.data.chat_formats import GGUF_TEMPLATE_KEY
from pyr.errors import CheckpointError
from pyr.schema import Checkpoint

MARKER = "complete.json"
"""What `pyr train` writes last into a checkpoint: where in which training it stands."""
_WHAT_IS_TAKEN = "give a model folder, a Trainer checkpoint-N folder or a .gguf file"


def identify(path: Path | str, *, allow_pickle: bool = False) -> Checkpoint:
    """Say what lies at `path`. Reads every byte once (about a second a gigabyte).

    allow_pickle: take `.bin` weights too; loading them runs code that they may hold.
    Raises CheckpointError if it is no checkpoint, or one that is visibly damaged.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(
            f"no checkpoint at {path}: the path does not exist.", remedy=_fetch_or_name(path)
        )
    try:
        if path.is_file():
            return _identify_gguf(path)
        return _identify_folder(path, allow_pickle=allow_pickle)
    except OSError as error:
        raise CheckpointError(
            f"the checkpoint cannot be read: {error.strerror or error}.",
            where=str(error.filename or path),
            remedy="see who may read it: ls -l",
        ) from error


def _fetch_or_name(path: Path) -> str:
    """What to do where nothing lies: fetch what reads like a name on the hub, or name a path."""
    if not path.is_absolute() and len(path.parts) == 2 and not path.parent.exists():
        return f"a model of the hub is fetched first: hf download {path} --local-dir {path.name}"
    return _WHAT_IS_TAKEN


def marked(folder: Path) -> dict[str, Any]:
    """The recipe, phase, step and tokens that `pyr train` marked; empty for other checkpoints."""
    file = folder / MARKER
    about = read_json(file) if file.is_file() else {}
    return about if {"recipe", "phase", "step", "tokens"} <= about.keys() else {}


# ------------------------------------------------------------------ folders


def _identify_folder(folder: Path, *, allow_pickle: bool) -> Checkpoint:
    folder = places.snapshot(folder)
    adapter = places.has_adapter(folder)
    model = places.base_of(folder) if adapter else folder
    if not (model / CONFIG).is_file():
        raise _not_a_model(folder)
    config = read_json(model / CONFIG)
    weights, pickled = weight_files(model, allow_pickle=allow_pickle)
    for file in weights:
        if file.suffix == ".safetensors":
            check_safetensors(file)
    spoken = folder if parts.holds_tokenizer(folder) else model
    parts.check_tokenizer(spoken, config)
    digests = {"weights": parts.digest(weights), **parts.digests(model, spoken)}
    if adapter:
        digests["adapter"] = parts.digest(places.adapter_files(folder, allow_pickle=allow_pickle))
    state_file = folder / "trainer_state.json"
    state = read_json(state_file) if state_file.is_file() else {}
    mark = marked(folder)
    return Checkpoint(
        path=str(folder),
        name=_name(folder, mark),
        digest=_combine(digests),
        format="pickle" if pickled else "safetensors",
        digests=digests,
        phase=mark.get("phase", ""),
        step=_whole(mark.get("step", state.get("global_step"))),
        tokens=_whole(mark.get("tokens") or state.get("num_input_tokens_seen")) or None,
        chat=parts.has_template(spoken),
        base=str(model) if adapter else "",
    )


def _not_a_model(folder: Path) -> CheckpointError:
    inside = sorted(
        (child for child in folder.glob("checkpoint-*") if (child / CONFIG).is_file()),
        key=lambda child: (len(child.name), child.name),
    )
    cached = places.cached_models(folder)
    if inside:
        remedy = f"name one of its checkpoints, as {inside[-1]}"
    elif cached:
        remedy = f"it is the hub's cache: name one of its models, as {cached[-1]}"
    elif any(folder.glob("*.gguf")):
        remedy = f"name the file itself: {next(iter(sorted(folder.glob('*.gguf'))))}"
    elif pieces_of_training(folder):
        return no_weights(folder)
    else:
        remedy = "save the model with save_pretrained, the tokenizer too"
    return CheckpointError(f"{folder} holds no config.json: it is no model folder.", remedy=remedy)


# ------------------------------------------------------------------ gguf


def _identify_gguf(file: Path) -> Checkpoint:
    with file.open("rb") as stream:
        magic = stream.read(4)
    weights = file.suffix in (".safetensors", ".bin", ".json")
    if file.suffix != ".gguf" or magic != b"GGUF":
        raise CheckpointError(
            f"{file} is no model: not a folder, and not a GGUF file.",
            remedy=f"name its folder: {file.parent}" if weights else _WHAT_IS_TAKEN,
        )
    chat = _gguf_has_template(file)
    digests = {"weights": parts.digest([file])}
    return Checkpoint(
        path=str(file),
        name=file.stem,
        digest=_combine(digests),
        format="gguf",
        digests=digests,
        chat=chat,
    )


def _gguf_has_template(file: Path) -> bool:
    """Whether the metadata names a chat template; metadata stands before the tensors.

    A search for the key: gguf.GGUFReader takes 3 s to unpack a 49,152-token vocabulary.
    """
    with file.open("rb") as stream:
        return GGUF_TEMPLATE_KEY in stream.read(1 << 24)


# ------------------------------------------------------------------ small parts


def _name(folder: Path, mark: Mapping[str, Any]) -> str:
    """The folder's name; a Trainer's `checkpoint-N` takes its parent's name before it.

    A checkpoint of `pyr train` is called as its pulses and its phase's result are.
    """
    folder = folder.resolve()
    if cached := places.cached_name(folder):
        return cached
    if mark:
        phase = f"{mark['recipe']}-{mark['phase']}"
        return f"{phase}-{mark['step']}" if folder.name.startswith("checkpoint-") else phase
    if folder.name.startswith("checkpoint-") and folder.parent.name:
        return f"{folder.parent.name}-{folder.name}"
    return folder.name or "root"


def _combine(digests: dict[str, str]) -> str:
    """One digest of all parts but how it generates, which counts where answers are generated."""
    digests = {part: each for part, each in digests.items() if part != "generation"}
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def _whole(value: object) -> int | None:
    """A number of steps or tokens; None for anything else that may stand there."""
    return value if isinstance(value, int) else None
