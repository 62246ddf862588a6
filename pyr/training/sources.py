"""Rows and documents of a source: files, hub data sets, the Python installation, the inventor."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pyr.errors import ContentError, DataMissing
from pyr.training import invent
from pyr.training.contents import Contents
from pyr.training.recipe import Keep, Source

_INVENTED = 20_000
_NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


@dataclass(frozen=True, slots=True)
class Places:
    """Where files are looked for, in this order; and the seed of what is made up."""

    folders: tuple[Path, ...]
    seed: int
    contents: Path | None = None
    """Where fetched contents are kept."""


@dataclass(slots=True)
class Counted:
    """What became of the rows of a source."""

    read: int = 0
    filtered: int = 0
    empty: int = 0
    repeated: int = 0
    left_out: int = 0
    """By `sample`."""
    missing: int = 0
    """Rows whose content was not where they point."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Rows left out, by the column that was not as asked."""


Fate = Literal["used", "repeated", "left out", "enough"]


class Sieve:
    """Which rows of a source are used, asked row after row: repetitions, `sample`, the limits."""

    def __init__(self, source: Source, counted: Counted) -> None:
        self._source = source
        self._counted = counted
        self._left = (source.megabytes or float("inf")) * 1e6
        self._seen: set[bytes] = set()
        self._used = 0

    def fate(self, digest: bytes, size: int) -> Fate:
        """What becomes of the next row; ``enough`` says that it and all after it are not read."""
        if digest in self._seen:
            self._counted.repeated += 1
            return "repeated"
        self._seen.add(digest)
        if int.from_bytes(digest[:4], "big") >= self._source.sample * 2**32:
            self._counted.left_out += 1
            return "left out"
        self._left -= size
        if self._left < 0 or (self._source.documents and self._used == self._source.documents):
            return "enough"
        self._used += 1
        return "used"


@dataclass(frozen=True, slots=True)
class Sifted:
    """A row with what becomes of it."""

    digest: bytes
    """Of its content."""
    size: int
    """Bytes of its content."""
    fate: Fate
    row: dict[str, Any]


def rows(source: Source, places: Places, counted: Counted) -> Iterator[dict[str, Any]]:
    """The rows of a source that its filters keep; exact repetitions once.

    Raises DataMissing if no file is there, ContentError if one cannot be read.
    """
    for each in sifted(source, places, counted):
        if each.fate == "used":
            yield each.row


def sifted(
    source: Source, places: Places, counted: Counted, part: int | None = None
) -> Iterator[Sifted]:
    """Every row that the source's filters keep and that is not empty, to the last that is read.

    part: one of `parts`, read as if there were no other; None for the whole source.
    """
    sieve = Sieve(source, counted)
    for row in _filled(_wanted(source, places, counted, part), source, places, counted):
        content = row.get(source.column) or row.get("messages") or row.get("prompt")
        if not content:
            counted.empty += 1
            continue
        digest = hashlib.blake2b(repr(content).encode("utf-8", "replace"), digest_size=12).digest()
        size = len(str(content).encode("utf-8", "replace"))
        found = Sifted(digest, size, sieve.fate(digest, size), row)
        yield found
        if found.fate == "enough":
            return


def parts(source: Source, places: Places) -> int:
    """Into how many parts a source can be split that together, in order, are the whole."""
    if source.contents and (source.documents or source.megabytes):
        # Contents are fetched ahead: what is missing at the limit depends on where reading began.
        return 1
    if source.files:
        return len(files_of(source, places))
    return int(_hub(source).num_shards) if source.hub else 1


def _wanted(
    source: Source, places: Places, counted: Counted, part: int | None
) -> Iterator[dict[str, Any]]:
    """The rows that the source's filters keep; the others are counted."""
    for row in _raw(source, places, part):
        counted.read += 1
        wrong = _unwanted(row, source.keep)
        if wrong:
            counted.filtered += 1
            counted.reasons[wrong] = counted.reasons.get(wrong, 0) + 1
        else:
            yield row


def _filled(
    wanted: Iterator[dict[str, Any]], source: Source, places: Places, counted: Counted
) -> Iterator[dict[str, Any]]:
    """The rows with their contents, where they only point at them."""
    if not source.contents:
        yield from wanted
        return
    found = Contents(source.contents, places.contents)
    for row in found.fill(wanted, source.column):
        yield row
        counted.missing = found.missing
    counted.missing = found.missing


def files_of(source: Source, places: Places) -> list[Path]:
    """The files that a source's globs match, sorted; DataMissing for a glob without any."""
    found = []
    for pattern in source.files:
        matches = [match for folder in places.folders for match in sorted(folder.glob(pattern))]
        if not matches:
            raise DataMissing(
                f"source '{source.name}': no file {pattern}.",
                where=f"looked in: {', '.join(str(folder) for folder in places.folders)}",
                remedy="name the folder of the data with --data DIR",
            )
        found += matches
    return found


def _raw(source: Source, places: Places, part: int | None) -> Iterator[dict[str, Any]]:
    from pyr.tokenization.texts import read_rows

    if source.files:
        files = files_of(source, places)
        for file in files if part is None else [files[part]]:
            yield from read_rows(file)
    elif source.hub:
        yield from _hub_rows(source, part)
    elif source.python == "code":
        yield from _python_code()
    elif source.python == "docs":
        yield from _python_docs()
    elif source.invent:
        count = source.documents or _INVENTED
        yield from invent.rows(source.invent, seed=places.seed, count=count)
    else:
        raise ContentError(f"source '{source.name}' replays '{source.replay}' and has no rows.")


def _hub_rows(source: Source, part: int | None) -> Iterator[dict[str, Any]]:
    streamed = _hub(source)
    if part is not None:
        streamed = streamed.shard(num_shards=streamed.num_shards, index=part)
    try:
        yield from streamed
    except (OSError, ValueError) as error:
        raise _unreadable(source, error) from error


def _hub(source: Source) -> Any:
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


def _unwanted(row: dict[str, Any], keep: dict[str, Keep]) -> str:
    """The first column that is not as asked, or an empty string."""
    for column, asked in keep.items():
        value = row.get(column)
        if not _kept(value, asked):
            return column
    return ""


def _kept(value: Any, asked: Keep) -> bool:
    if asked.at_least is not None and not (_number(value) >= asked.at_least):
        return False
    if asked.at_most is not None and not (_number(value) <= asked.at_most):
        return False
    words = str(value or "").lower()
    if len(words) < asked.characters:
        return False
    if any(word.lower() in words for word in asked.lacks):
        return False
    return not asked.has or any(word.lower() in words for word in asked.has)


def _number(value: Any) -> float:
    """The value as a number; NaN, which no bound admits, where it is none."""
    try:
        return float(str(value).replace(",", ""))
    except ValueError:
        return float("nan")


# ------------------------------------------------------------------ the Python installation


def _standard_library() -> Iterator[tuple[str, str]]:
    """Name and text of every module of the standard library, tests left out."""
    root = Path(sysconfig.get_path("stdlib"))
    for folder, below, files in os.walk(root):
        below[:] = sorted(set(below) - _NOT_LIBRARY)
        for file in sorted(Path(folder) / name for name in files if name.endswith(".py")):
            try:
                yield str(file.relative_to(root)), file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue


def _python_code() -> Iterator[dict[str, Any]]:
    for name, text in _standard_library():
        if text.strip():
            yield {"id": name, "text": text}


def _python_docs() -> Iterator[dict[str, Any]]:
    """Documentation strings of at least 200 characters, each a document."""
    for name, text in _standard_library():
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        for number, docstring in enumerate(_docstrings(tree)):
            yield {"id": f"{name}#{number}", "text": docstring}


def _docstrings(tree: ast.AST) -> Iterator[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        docstring = ast.get_docstring(node) if isinstance(node, documented) else None
        if docstring and len(docstring) >= 200:
            yield docstring


# ------------------------------------------------------------------ chats


def messages_of(row: dict[str, Any], column: str) -> list[dict[str, Any]]:
    """A row's chat as roles and contents; ShareGPT and prompt with response are understood."""
    found = row.get(column) or row.get("messages") or row.get("conversations") or row.get("turns")
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return [_message(each) for each in found]
    if isinstance(found, list):
        return _in_turns(found)
    prompt, response = row.get("prompt"), row.get("response")
    if isinstance(prompt, str) and isinstance(response, str):
        return [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
    return []


_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
}


def _message(raw: dict[str, Any]) -> dict[str, Any]:
    if raw.get("from") == "function_call":
        return {"role": "assistant", "content": "", "tool_calls": _calls(raw["value"])}
    if "from" in raw:
        return {"role": _ROLES.get(raw["from"], raw["from"]), "content": raw.get("value") or ""}
    return {key: value for key, value in raw.items() if value is not None}


def _calls(written: str) -> list[dict[str, Any]]:
    """Glaive's form: one call as JSON, or a list of them; anything else is no call."""
    try:
        found = json.loads(written)
    except ValueError:
        return []
    return found if isinstance(found, list) else [found]


def _in_turns(texts: Sequence[Any]) -> list[dict[str, Any]]:
    """A list of texts is user and assistant in turn."""
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": str(text)} for i, text in enumerate(texts)]
