"""What data is read from: data sets of the hub or a mirror of it, and files; and what it holds."""

from __future__ import annotations

import functools
import glob
import hashlib
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from pyr.errors import DataMissing

FILE = "file:"
"""How a run names a source that is a file or folder, not a data set of the hub."""

_TAIL_BYTES = 4 * 1024 * 1024


def locate(mirror: Path, dataset: str) -> Path | None:
    """Return the folder of hub data set `dataset` in `mirror`, or None if it is not there.

    An id with an organisation (``allenai/ai2_arc``) is looked for at exactly that place; one
    without (``hellaswag``) also under every organisation.
    Raises DataMissing if several organisations have a data set of that name.
    """
    exact = mirror / dataset
    if exact.is_dir():
        return exact
    if "/" in dataset:
        return None
    found = sorted(path for path in mirror.glob(f"*/{dataset}") if path.is_dir())
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(mirror)) for path in found)
        raise DataMissing(
            f"data set '{dataset}' is ambiguous: the mirror has {names}",
            where=f"mirror: {mirror}",
            remedy="name it with its organisation, as dataset_path in the suite's task entry",
        )
    return found[0] if found else None


def fingerprint(folder: Path) -> str:
    """Return a cheap sha256 of a data set's content, as hex; the same wherever it lies.

    Covers each file's relative name, its size and its last 4 MiB: all of a README.md, and of a
    large Parquet file the footer with the sizes and extremes of every column. Hidden files, such
    as a download's own notes under ``.cache``, and compiled Python are no content.
    """
    digest = hashlib.sha256()
    for path in sorted(_content(folder), key=lambda path: path.relative_to(folder).as_posix()):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            file.seek(max(0, size - _TAIL_BYTES))
            digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()


def files_fingerprint(pattern: str) -> str:
    """Return `fingerprint` of all files and folders that the glob finds; "" if there are none."""
    found = sorted(map(Path, glob.glob(pattern, recursive=True)))
    return " ".join(fingerprint(each) for each in found)


def source_fingerprint(name: str, mirror: Path | None) -> str | None:
    """Return `fingerprint` of what a run calls `name`, a file or a data set; "" if it is gone.

    None for what cannot be told without loading it.
    """
    if name.startswith(FILE):
        return files_fingerprint(name.removeprefix(FILE))
    if mirror is None or name.startswith("task:"):
        return None
    place = locate(mirror, name)
    return fingerprint(place) if place else ""


@functools.cache
def hub_answers() -> bool:
    """Return whether the hub can be asked: not offline by choice, and a connection is made.

    Asked here since its own client tries for over a minute. Behind a proxy it is taken to answer.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if urllib.request.getproxies():
        return True
    place = urllib.parse.urlsplit(constants.ENDPOINT)
    try:
        port = place.port or (80 if place.scheme == "http" else 443)
        socket.create_connection((place.hostname or "", port), timeout=3).close()
    except OSError:
        return False
    return True


def fetch_command(dataset: str) -> str:
    """Return the command that fetches `dataset` from the hub into a mirror called DIR."""
    return f"hf download --repo-type dataset {dataset} --local-dir DIR/{dataset}"


def _content(folder: Path) -> Iterator[Path]:
    for path in [folder] if folder.is_file() else folder.rglob("*"):
        parts = path.relative_to(folder).parts
        passing = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if path.is_file() and not passing:
            yield path
