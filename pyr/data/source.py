"""A source of text, and the one reader of its rows: files, hub data sets, Python functions.

Tokenizer recipes and training phases list sources of the same form. Each refuses the few keys that
mean nothing to it (`refuse_keys`).
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import lzma
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import Field, model_validator

from pyr.errors import ContentError, DataMissing
from pyr.schema import Strict

PACKINGS = (".xz", ".gz")
_SUFFIXES = (".jsonl", ".json", ".txt", ".parquet")
_FORMS = f"texts are {', '.join(_SUFFIXES)} files, plain or packed as {' or '.join(PACKINGS)}"
_REPLACED = {
    "invent": "rows: generate.py:{value} with arguments: {{count: N}}; copy train/tiny/generate.py",
    "python": "rows: generate.py:python_{value}; copy train/tiny/generate.py",
    "contents": "rows: fetch.py:fetch with arguments: {{url: ...}}; copy train/pyr-135m/fetch.py",
}
"""Former keys of a source, and what to write in their place."""
TRAINING_KEYS = ("replay", "column", "use", "documents", "sample")
"""Keys of a source that only a training phase reads."""
TOKENIZER_KEYS = ("fields", "part", "cut")
"""Keys of a source that only a tokenizer's recipe reads."""

Part = Literal["train", "held-out", "all"]
Row = dict[str, Any]


class Keep(Strict):
    """What a row's column must satisfy for the row to be used."""

    at_least: float | None = None
    at_most: float | None = None
    lacks: list[str] = Field(default_factory=list)
    """Words that may not stand in the column: a text, or a list of texts."""
    has: list[str] = Field(default_factory=list)
    """Words of which one must."""
    characters: int = Field(default=0, ge=0)
    """How long the column's text must be."""


class Source(Strict):
    """Where documents come from, which of them are used, and how much they count."""

    name: str
    """In a tokenizer's recipe the domain, which several sources may share."""
    files: list[str] = Field(default_factory=list)
    """Globs below the folders of the data: .jsonl, .json, .txt or .parquet, also .xz and .gz."""
    hub: str = ""
    """A hub data set, streamed."""
    config: str | None = None
    split: str = "train"
    rows: str = ""
    """``FILE.py:FUNCTION``, a file beside the recipe: a Python function that gives rows (dicts).
    Beside `files` or `hub` it is given their rows, to complete them: see `call_rows`."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of that function."""
    replay: str = ""
    """The data of an earlier phase, by its name."""
    column: str = "text"
    """What holds the text; for chats the list of messages."""
    fields: list[str] = Field(default_factory=list)
    """Columns to read; by default those of `text` and of the usual chat forms that are there."""
    keep: dict[str, Keep] = Field(default_factory=dict)
    """Filters by column."""
    weight: float = Field(default=1.0, gt=0)
    """Of a phase: the share of its tokens, relative to the other sources. For a tokenizer: how
    often each document counts; 2.5 is two copies, and a third of every other document."""
    documents: int | None = Field(default=None, gt=0)
    """Read no more than so many."""
    megabytes: float | None = Field(default=None, gt=0)
    """Read no more than so many million bytes of text."""
    sample: float = Field(default=1.0, gt=0, le=1)
    """Use only this share of the rows; which ones follows from what they hold."""
    part: Part = "all"
    """Which documents, by `held_out` of the file this source stands in."""
    cut: int | None = Field(default=None, gt=0)
    """Take a passage of so many characters from each longer document."""
    use: bool = True
    """False: not used unless a person says so with ``--set PHASE.SOURCE.use=true``."""
    why: str = ""
    """Licence, terms, and why it is here."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_former_keys(cls, raw: Any) -> Any:
        for key, instead in _REPLACED.items():
            if isinstance(raw, dict) and raw.get(key):
                written = instead.format(value=raw[key])
                name = raw.get("name", "")
                raise ValueError(f"source '{name}': the key '{key}' is gone; write {written}")
        return raw

    @model_validator(mode="after")
    def _read_one_place(self) -> Source:
        given = [place for place in ("files", "hub", "replay") if getattr(self, place)]
        # A function stands alone, or completes the rows of files or of a hub data set.
        if self.rows and given not in (["files"], ["hub"]):
            given.append("rows")
        if len(given) != 1:
            found = ", ".join(given) or "none"
            raise ValueError(
                f"source '{self.name}' needs exactly one of files, hub, rows, replay; found {found}"
            )
        return self


def refuse_keys(sources: list[Source], keys: Iterable[str], *, reader: str) -> list[Source]:
    """Return the sources. ValueError if one sets a key that `reader` does not read."""
    plain = Source.model_construct(name="")
    for source in sources:
        for key in keys:
            if getattr(source, key) != getattr(plain, key):
                raise ValueError(f"source '{source.name}': {reader} has no key '{key}'")
    return sources


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files of sources are looked for, and what functions that give rows are told."""

    folders: tuple[Path, ...]
    """Looked in, in this order."""
    seed: int = 0
    """For rows that are made up."""
    cache: Path | None = None
    """A folder for what functions download; None keeps nothing."""
    remedy: str = "name the folder of the data with --data DIR"
    """What to do where a file is missing."""


def find_files(source: Source, places: Places) -> list[Path]:
    """Return the files that the source's globs match, sorted; DataMissing for a glob without."""
    files: list[Path] = []
    for pattern in source.files:
        before = len(files)
        for folder in places.folders:
            files += sorted(folder.glob(pattern))
        if len(files) == before:
            raise DataMissing(
                f"source '{source.name}': no file {pattern}.",
                where=f"looked in: {', '.join(str(folder.resolve()) for folder in places.folders)}",
                remedy=places.remedy,
            )
    return files


def count_parts(source: Source, places: Places) -> int:
    """Return into how many parts a source can be split that together, in order, are the whole."""
    if source.rows and (source.documents or source.megabytes):
        # A function may read ahead: what it has counted at the limit depends on where it began.
        return 1
    if source.files:
        return len(find_files(source, places))
    return int(_open_hub(source).num_shards) if source.hub else 1


def read_rows(source: Source, places: Places, part: int | None = None) -> Iterator[Row]:
    """Yield the rows of files or of a hub data set, or those that a function gives.

    part: one of `count_parts`; None for the whole source.
    Raises DataMissing if something is not there, ContentError if it cannot be read.
    """
    if source.files:
        files = find_files(source, places)
        for file in files if part is None else [files[part]]:
            yield from read_file(file)
    elif source.hub:
        data = _open_hub(source)
        if part is not None:
            data = data.shard(num_shards=data.num_shards, index=part)
        try:
            yield from data
        except (OSError, ValueError) as error:
            raise _unreadable(source, error) from error
    elif source.rows:
        yield from call_rows(source, places)
    else:
        raise ContentError(f"source '{source.name}' replays '{source.replay}' and has no rows.")


def _open_hub(source: Source) -> Any:
    import datasets

    try:
        return datasets.load_dataset(source.hub, source.config, split=source.split, streaming=True)
    except (OSError, ValueError) as error:
        raise _unreadable(source, error) from error


def _unreadable(source: Source, error: Exception) -> DataMissing:
    return DataMissing(
        f"source '{source.name}': the data set {source.hub} cannot be read: {error}",
        remedy="check the name and the network, or name local files instead",
    )


# ------------------------------------------------------------------ files


def read_file(file: Path) -> Iterator[Row]:
    """Yield the rows of a file; a plain text file is one row.

    Raises ContentError if it cannot be read.
    """
    kind = bare_name(file).suffix
    try:
        if kind == ".parquet":
            yield from _read_parquet(file)
        elif kind == ".txt":
            with open_text(file) as stream:
                yield {"text": stream.read(), "id": file.name}
        else:
            yield from _read_json_lines(file)
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise ContentError(f"{file} cannot be read: {error}", remedy=_FORMS) from error


def _read_json_lines(file: Path) -> Iterator[Row]:
    with open_text(file) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ContentError(
                    f"{file.name}, line {number} is not JSON: {error}",
                    where=str(file),
                    remedy=_FORMS,
                ) from error
            yield row if isinstance(row, dict) else {"text": row}


def _read_parquet(file: Path) -> Iterator[Row]:
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=256):
                yield from batch.to_pylist()
    except ValueError as error:
        raise ContentError(f"{file} is no Parquet file: {error}", remedy=_FORMS) from error


def bare_name(file: Path) -> Path:
    """Return the file's path without .xz or .gz."""
    return file.with_suffix("") if file.suffix in PACKINGS else file


def readable_files(folder: Path) -> list[Path]:
    """Return the files of a folder that `read_file` reads."""
    return sorted(file for file in folder.iterdir() if bare_name(file).suffix in _SUFFIXES)


def open_text(file: Path) -> IO[str]:
    """Open a text file, unpacked if its name says .xz or .gz. Line ends stay as they are."""
    if file.suffix == ".xz":
        return lzma.open(file, "rt", encoding="utf-8", newline="")
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8", newline="")
    return file.open(encoding="utf-8", newline="")


# ------------------------------------------------------------------ functions that give rows


def rows_file(source: Source, places: Places) -> Path:
    """Return the Python file that `rows` names. Raises DataMissing if it is not there."""
    name = source.rows.rpartition(":")[0]
    for folder in places.folders:
        if (folder / name).is_file():
            return folder / name
    raise DataMissing(
        f"source '{source.name}': rows: {source.rows} names no file.",
        where=f"looked in: {', '.join(str(folder.resolve()) for folder in places.folders)}",
        remedy="write FILE.py:FUNCTION, with the file beside the recipe",
    )


def complete_rows(source: Source, places: Places, rows: Iterable[Row]) -> Iterable[Row]:
    """Return the rows of `files` or `hub`, completed by the source's function if it has one."""
    beside = source.files or source.hub
    return call_rows(source, places, rows) if source.rows and beside else rows


def call_rows(source: Source, places: Places, rows: Iterable[Row] = ()) -> Iterable[Row]:
    """Call the function that `rows` names, and return the rows that it gives.

    It is called with keyword arguments: `rows` (those of the files or the hub data set beside it),
    `seed` (the recipe's), `cache` (a folder for downloads, or None), and the source's `arguments`.
    A row whose column it sets to None is counted as missing.
    """
    file, _, name = source.rows.rpartition(":")
    function = load_function(rows_file(source, places), name)
    try:
        return function(rows=rows, seed=places.seed, cache=places.cache, **source.arguments)
    except TypeError as error:
        raise ContentError(
            f"source '{source.name}': rows: {source.rows} cannot be called: {error}",
            where=file,
            remedy="its signature is FUNCTION(*, rows, seed, cache, **arguments)",
        ) from error


def load_function(file: Path, name: str) -> Callable[..., Iterable[Row]]:
    """Return a function of a Python file, which is loaded by its path.

    Raises ContentError if the file cannot be loaded or has no such function.
    """
    # By path, as lm-eval loads a task's own functions: a recipe's folder is no package.
    spec = importlib.util.spec_from_file_location(str(file.resolve()), file)
    if spec is None or spec.loader is None:
        raise ContentError(f"{file} is no Python file.", remedy="write FILE.py:FUNCTION")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their own module up there.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        function: Callable[..., Iterable[Row]] = vars(module)[name]
    except (SyntaxError, ImportError, KeyError) as error:
        raise ContentError(
            f"the function '{name}' cannot be loaded: {type(error).__name__}: {error}",
            where=str(file),
        ) from error
    return function
