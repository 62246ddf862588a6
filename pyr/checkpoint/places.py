"""Where a checkpoint lies: a folder, a snapshot in the hub's cache, a base model and its adapter.

The hub's cache (`models--ORG--NAME`) keeps the files of a model under `snapshots/REVISION`, and
says in `refs/main` which revision the name stands for:
https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

from __future__ import annotations

from pathlib import Path

from pyr.checkpoint.weights import CONFIG, holds_weights, read_json
from pyr.errors import CheckpointError

ADAPTER_CONFIG = "adapter_config.json"
_CACHED = "models--"


def snapshot(folder: Path) -> Path:
    """The snapshot that a folder of the hub's cache stands for; any other folder as it is.

    Raises CheckpointError if nothing in the cache says which of several is meant.
    """
    root = folder.parent if folder.name == "snapshots" else folder
    if not root.name.startswith(_CACHED) or not (root / "snapshots").is_dir():
        return folder
    snapshots = sorted(each for each in (root / "snapshots").iterdir() if each.is_dir())
    main = root / "refs" / "main"
    named = root / "snapshots" / main.read_text().strip() if main.is_file() else None
    if named in snapshots:
        return named
    if len(snapshots) == 1:
        return snapshots[0]
    what = f"{len(snapshots)} revisions, and refs/main names none of them" if snapshots else "none"
    raise CheckpointError(
        f"{root.name} is a folder of the hub's cache that holds {what}.",
        where=str(root / "snapshots"),
        remedy=f"name one of them: {snapshots[-1]}" if snapshots else "fetch the model again",
    )


def cached_name(folder: Path) -> str:
    """What a reader calls a snapshot of the hub's cache: ORG--NAME; empty for other folders.

    A revision that `refs/main` does not name is added.
    """
    root = folder.parent.parent
    if folder.parent.name != "snapshots" or not root.name.startswith(_CACHED):
        return ""
    name, main = root.name.removeprefix(_CACHED), root / "refs" / "main"
    others = [each for each in folder.parent.iterdir() if each != folder]
    is_main = main.is_file() and main.read_text().strip() == folder.name
    return name if is_main or not others else f"{name}-{folder.name[:7]}"


def cached_models(folder: Path) -> list[Path]:
    """The models that a folder of the hub's cache holds, by name."""
    return sorted(each for each in folder.glob(f"{_CACHED}*") if (each / "snapshots").is_dir())


def cached(repository: str) -> Path:
    """Where the hub's cache of this machine keeps a model ORG/NAME, whether it is there or not."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"{_CACHED}{repository.replace('/', '--')}"


# ------------------------------------------------------------------ adapters


def has_adapter(folder: Path) -> bool:
    """Whether peft saved an adapter in the folder."""
    return (folder / ADAPTER_CONFIG).is_file()


def base_of(folder: Path) -> Path:
    """The folder of the full model that the adapter in `folder` is laid over.

    A full model beside the adapter is its base, as transformers has it. Otherwise the adapter
    names a path (seen from here or from its own folder) or a model in the hub's cache.
    Raises CheckpointError if it is not on this machine.
    """
    if (folder / CONFIG).is_file() and holds_weights(folder):
        return folder
    about = read_json(folder / ADAPTER_CONFIG)
    named = about.get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise CheckpointError(
            "the adapter names no base model.",
            where=f"base_model_name_or_path in {folder / ADAPTER_CONFIG}",
            remedy="write the path of the model that it was trained on there",
        )
    revision = about.get("revision")
    fetched = cached(named)
    if revision and (fetched / "snapshots" / str(revision)).is_dir():
        return fetched / "snapshots" / str(revision)
    for place in (Path(named), folder / named, folder.parent / named, fetched):
        if not place.is_dir() or place.resolve() == folder.resolve():
            continue
        base = snapshot(place)
        if (base / CONFIG).is_file():
            return base
    raise CheckpointError(
        f"the adapter's base model is not here: {named}",
        where=f"base_model_name_or_path in {folder / ADAPTER_CONFIG}; looked in: {fetched}",
        remedy=f"fetch it: hf download {named}, or write the path of its folder there",
    )


def adapter_files(folder: Path, *, allow_pickle: bool) -> list[Path]:
    """What peft reads of an adapter: its config and its weights. Raises CheckpointError."""
    safe, pickled = folder / "adapter_model.safetensors", folder / "adapter_model.bin"
    if safe.is_file():
        return [folder / ADAPTER_CONFIG, safe]
    if not pickled.is_file():
        raise CheckpointError(
            f"{folder} holds an adapter's config and no weights.",
            where=f"looked for: {safe.name}",
            remedy="save it again: model.save_pretrained(folder)",
        )
    if not allow_pickle:
        raise CheckpointError(
            f"the adapter in {folder} is pickled ({pickled.name}): loading it can run code.",
            remedy="save it as safetensors, or --set allow_pickle=true if you trust its origin",
        )
    return [folder / ADAPTER_CONFIG, pickled]
