"""Identify a checkpoint by what it holds: `identify(path) -> Checkpoint`, without torch.

A checkpoint is a Hugging Face folder (safetensors, sharded or not), a Trainer `checkpoint-N`
folder, or a `.gguf` file. Its digest covers weights, config, tokenizer and chat template, so that
an overwritten path is a new checkpoint and a moved one is still the same.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pyr.data.chat_formats import GGUF_TEMPLATE_KEY, TEMPLATE_FILES, TEMPLATE_KEY
from pyr.errors import CheckpointError
from pyr.schema import Checkpoint

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
_CONFIG_FILES = ("config.json", "generation_config.json")
MARKER = "complete.json"
"""What `pyr train` writes last into a checkpoint: where in which training it stands."""
_WHAT_IS_TAKEN = "give a model folder, a Trainer checkpoint-N folder or a .gguf file"
_MERGE = "it is a PEFT adapter: merge it into its base model first (merge_and_unload)"
_LFS = b"version https://git-lfs.github.com/spec/"
"""How the small file begins that Git leaves in the place of a large one."""


def identify(path: Path | str, *, allow_pickle: bool = False) -> Checkpoint:
    """Say what lies at `path`. Reads every byte once (about a second a gigabyte).

    allow_pickle: take `.bin` and `.pt` weights too; loading them runs code that they may hold.
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
    about = _read_json(file) if file.is_file() else {}
    return about if {"recipe", "phase", "step", "tokens"} <= about.keys() else {}


# ------------------------------------------------------------------ folders


def _identify_folder(folder: Path, *, allow_pickle: bool) -> Checkpoint:
    config = _read_json(folder / "config.json") if (folder / "config.json").is_file() else None
    if config is None:
        raise _not_a_model(folder)
    weights, pickled = weight_files(folder, allow_pickle=allow_pickle)
    for file in weights:
        if file.suffix == ".safetensors":
            check_safetensors(file)
    _check_tokenizer(folder, config)
    digests = {
        "weights": _digest(weights),
        "config": _digest(_present(folder, _CONFIG_FILES)),
        "tokenizer": _digest(_present(folder, _TOKENIZER_FILES)),
        "template": _digest(_present(folder, TEMPLATE_FILES)),
    }
    state_file = folder / "trainer_state.json"
    state = _read_json(state_file) if state_file.is_file() else {}
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
        chat=_has_template(folder),
    )


def _not_a_model(folder: Path) -> CheckpointError:
    inside = sorted(
        (child for child in folder.glob("checkpoint-*") if (child / "config.json").is_file()),
        key=lambda child: (len(child.name), child.name),
    )
    if inside:
        remedy = f"name one of its checkpoints, as {inside[-1]}"
    elif (folder / "adapter_config.json").is_file():
        remedy = _MERGE
    elif any(folder.glob("*.gguf")):
        remedy = f"name the file itself: {next(iter(sorted(folder.glob('*.gguf'))))}"
    else:
        remedy = "save the model with save_pretrained, the tokenizer too"
    return CheckpointError(f"{folder} holds no config.json: it is no model folder.", remedy=remedy)


def weight_files(folder: Path, *, allow_pickle: bool = False) -> tuple[list[Path], bool]:
    """The files that hold the weights, and whether they are pickles. Raises CheckpointError.

    The choice is transformers' own: where a whole file lies, shards beside it are left over.
    """
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"], False
    if index.is_file():
        listed = _read_json(index).get("weight_map")
        shards = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
        missing = [shard for shard in shards if not (folder / shard).is_file()]
        if missing or not shards:
            raise CheckpointError(
                f"{len(missing)} of {len(shards)} weight shards are missing: {missing[:3]}",
                where=str(folder),
                remedy="copy the whole folder again",
            )
        return [folder / shard for shard in shards], False
    pickles = sorted([*folder.glob("pytorch_model*.bin"), *folder.glob("*.pt")])
    if not pickles:
        raise _no_weights(folder)
    if not allow_pickle:
        raise CheckpointError(
            f"the weights of {folder} are pickled ({pickles[0].name}): loading them can run code.",
            remedy="save them as safetensors, or --set allow_pickle=true if you trust their origin",
        )
    return pickles, True


def _no_weights(folder: Path) -> CheckpointError:
    if (folder / "adapter_config.json").is_file():
        remedy = _MERGE
    elif any(folder.glob("model-*-of-*.safetensors")):
        remedy = "there are shards without their index: copy model.safetensors.index.json too"
    else:
        remedy = "save the model with save_pretrained"
    return CheckpointError(
        f"{folder} holds no weights.",
        where="looked for: model.safetensors, model.safetensors.index.json",
        remedy=remedy,
    )


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


def _check_tokenizer(folder: Path, config: dict[str, Any]) -> None:
    if not _present(folder, ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise CheckpointError(
            f"{folder} holds no tokenizer.",
            where="looked for: tokenizer.json, tokenizer.model, vocab.json",
            remedy="save the tokenizer beside the model: tokenizer.save_pretrained(folder)",
        )
    rows = config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size")
    file = folder / "tokenizer.json"
    if not isinstance(rows, int) or not file.is_file():
        return
    tokenizer = _read_json(file)
    highest = _highest_id(tokenizer)
    if highest >= rows:
        raise CheckpointError(
            f"the tokenizer is larger than the embedding: token id {highest}, {rows} rows.",
            where=str(folder),
            remedy="take the model's own tokenizer, or call model.resize_token_embeddings",
        )


def _highest_id(tokenizer: dict[str, Any]) -> int:
    vocab = tokenizer.get("model", {}).get("vocab", {})
    ids = vocab.values() if isinstance(vocab, dict) else range(len(vocab))
    added = (token["id"] for token in tokenizer.get("added_tokens", []))
    return max((*ids, *added), default=-1)


def _has_template(folder: Path) -> bool:
    if _present(folder, TEMPLATE_FILES):
        return True
    file = folder / "tokenizer_config.json"
    return file.is_file() and bool(_read_json(file).get(TEMPLATE_KEY))


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
    digests = {"weights": _digest([file])}
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
    if mark:
        phase = f"{mark['recipe']}-{mark['phase']}"
        return f"{phase}-{mark['step']}" if folder.name.startswith("checkpoint-") else phase
    if folder.name.startswith("checkpoint-") and folder.parent.name:
        return f"{folder.parent.name}-{folder.name}"
    return folder.name or "root"


def _present(folder: Path, names: Iterable[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).is_file()]


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _combine(digests: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def _whole(value: object) -> int | None:
    """A number of steps or tokens; None for anything else that may stand there."""
    return value if isinstance(value, int) else None


def _refuse_lfs(file: Path) -> None:
    with file.open("rb") as stream:
        if stream.read(len(_LFS)) == _LFS:
            raise CheckpointError(
                f"{file.name} is a pointer of Git LFS: the file itself was not fetched.",
                where=str(file),
                remedy="in that folder: git lfs pull",
            )


def _read_json(file: Path) -> dict[str, Any]:
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
