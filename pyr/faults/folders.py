"""Reading and writing the files of a copy: what is not changed is copied byte by byte."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyr.checkpoint import identify
from pyr.errors import CheckpointError
from pyr.files import new_folder

if TYPE_CHECKING:
    from torch import Tensor

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
