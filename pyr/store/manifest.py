"""`run.json`: a run as it stands on disk, with the sha256 of every file that belongs to it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyr.errors import StoreError
from pyr.schema import Checkpoint, Run, Skipped
from pyr.store import files

NAME = "run.json"
_LAYOUT = 2


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `run.json` says."""

    run: Run
    files: Mapping[str, str] = field(default_factory=dict)
    """sha256 by file name; empty while the run is under way."""


def write(folder: Path, manifest: Manifest) -> None:
    """Put the manifest into the run's folder, whole or not at all; raises StoreError."""
    raw = {
        "layout": _LAYOUT,
        **dataclasses.asdict(manifest.run),
        "files": dict(sorted(manifest.files.items())),
    }
    files.write(folder / NAME, (json.dumps(raw, indent=1, default=str) + "\n").encode())


def exists(folder: Path) -> bool:
    """True if the folder is a run's."""
    return os.path.isfile(folder / NAME)


def read(folder: Path) -> Manifest:
    """The manifest of the run in the folder, whose name is the run's id; raises StoreError."""
    path = folder / NAME
    try:
        raw = json.loads(files.read(path))
        layout = raw.pop("layout")
        if layout != _LAYOUT:
            raise StoreError(
                f"the run was written in layout {layout}; this Pyr reads layout {_LAYOUT}.",
                where=str(path),
                remedy="read it with the version of Pyr that wrote it",
            )
        return Manifest(files=raw.pop("files"), run=_run({**raw, "id": folder.name}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"this is no run of Pyr, or a damaged one: {type(error).__name__}: {error}",
            where=str(path),
            remedy="move that folder out of the results folder, or restore it from a copy",
        ) from error


def _run(raw: dict[str, Any]) -> Run:
    return Run(
        **{
            **raw,
            "checkpoint": Checkpoint(**raw["checkpoint"]),
            "notes": tuple(raw["notes"]),
            "skipped": tuple(Skipped(**skipped) for skipped in raw["skipped"]),
        }
    )
