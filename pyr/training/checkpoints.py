"""Checkpoints that are complete or absent.

The trainer writes into `<phase>/.writing/checkpoint-N`. When it is done, every file is fsynced, the
marker `complete.json` with the sha256 of each is written last, and the folder is renamed to
`<phase>/checkpoint-N`. A kill at any moment leaves either that folder whole or none; what lies in
`.writing` is thrown away at the next start. Older checkpoints go only after the new one has been
read back and found as it was written.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyr.checkpoint import MARKER
from pyr.files import differences, fsync, manifest

WRITING = ".writing"
FINAL = "final"
_ONLY_FOR_RESUMING = ("optimizer", "scheduler", "scaler", "rng_state", "training_args")


@dataclass(frozen=True, slots=True)
class Saved:
    """A complete checkpoint."""

    folder: Path
    step: int
    about: Mapping[str, Any]
    """What the marker says besides the files."""


def publish(phase: Path, step: int, *, about: Mapping[str, Any]) -> Saved:
    """Make the checkpoint that was written aside visible. OSError if the disk does not let it."""
    aside = phase / WRITING / f"checkpoint-{step}"
    folder = phase / f"checkpoint-{step}"
    _seal(aside, {"step": step, **about})
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    fsync(phase)
    return Saved(folder, step, {"step": step, **about})


def _seal(folder: Path, about: Mapping[str, Any]) -> None:
    # A marker that a killed process left there belongs to other files.
    (folder / MARKER).unlink(missing_ok=True)
    digests = manifest(folder)
    body = json.dumps({**about, "files": digests}, indent=2, sort_keys=True) + "\n"
    for name in digests:
        fsync(folder / name)
    (folder / MARKER).write_text(body, encoding="utf-8")
    fsync(folder / MARKER)
    fsync(folder)


def faults(folder: Path) -> list[str]:
    """What is not as the marker says; empty for a sound checkpoint."""
    try:
        marker = _marker(folder)
    except (OSError, ValueError):
        return [f"no readable {MARKER}"]
    return differences(folder, marker["files"])


def newest(phase: Path) -> Saved | None:
    """The newest sound checkpoint of a phase. One that is damaged is passed over."""
    for step in reversed(_steps(phase)):
        folder = phase / f"checkpoint-{step}"
        if not faults(folder):
            return Saved(folder, step, _marker(folder))
    return None


def final(phase: Path) -> Saved | None:
    """The phase's result, or None while there is none."""
    folder = phase / FINAL
    if not (folder / MARKER).is_file():
        return None
    about = _marker(folder)
    return Saved(folder, about["step"], about)


def prune(phase: Path, *, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, if the newest is sound."""
    steps = _steps(phase)
    if not steps or faults(phase / f"checkpoint-{steps[-1]}"):
        return
    for step in steps[:-keep]:
        folder = phase / f"checkpoint-{step}"
        # The marker goes first: a kill halfway leaves a folder that is no checkpoint.
        (folder / MARKER).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def clear(phase: Path) -> None:
    """Throw away what was being written when the last process ended."""
    shutil.rmtree(phase / WRITING, ignore_errors=True)
    for folder in phase.glob("checkpoint-*"):
        if not (folder / MARKER).is_file():
            shutil.rmtree(folder, ignore_errors=True)


def conclude(phase: Path, saved: Saved) -> Saved:
    """Make the phase's result of its last checkpoint: the model, without what resuming needs.

    The files are hard links where the file system has them.
    """
    aside = phase / WRITING / FINAL
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for file in saved.folder.iterdir():
        if file.is_file() and not file.name.startswith((*_ONLY_FOR_RESUMING, MARKER)):
            _link(file, aside / file.name)
    about = {key: value for key, value in saved.about.items() if key != "files"}
    _seal(aside, about)
    aside.rename(phase / FINAL)
    fsync(phase)
    return Saved(phase / FINAL, saved.step, about)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _steps(phase: Path) -> list[int]:
    """Steps of the checkpoints that have their marker, ascending."""
    folders = [marker.parent.name for marker in phase.glob(f"checkpoint-*/{MARKER}")]
    return sorted(int(name.removeprefix("checkpoint-")) for name in folders)


def _marker(folder: Path) -> dict[str, Any]:
    marker: dict[str, Any] = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    return marker
