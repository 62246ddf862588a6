"""Download texts that a data set references by id, with an on-disk cache.

smollm-corpus/python-edu holds blob ids of Software Heritage, whose store has a gzip file for each.
Pyr calls `fetch` as ``rows: fetch.py:fetch`` in a phase asks. What has been fetched stays below
`<data>/contents`, so that a preparation that was broken off goes on where it ended.
"""

from __future__ import annotations

import gzip
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from pyr.errors import ContentError, DataMissing
from pyr.files import write

_AT_ONCE = 32
_BATCH = 512
_ATTEMPTS = 4
_TIMEOUT_SECONDS = 60.0
_NOT_THERE = (403, 404, 410)


def fetch(
    *,
    rows: Iterable[dict[str, Any]],
    cache: Path | None,
    url: str,
    column: str = "text",
    pause: float = 1.0,
    **_: Any,
) -> Iterator[dict[str, Any]]:
    """Yield the rows in their order with their content in `column`; None where it is not there.

    url: with a column's name in braces, as ``https://host/{blob_id}``.
    cache: the folder of what has been fetched; None keeps nothing.
    pause: seconds before a second attempt, doubled every time.
    Raises DataMissing if the store does not answer, rather than train on what is left.
    """
    source = iter(rows)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while batch := list(islice(source, _BATCH)):
            texts = pool.map(lambda row: _text(_address(url, row), cache, pause), batch)
            for row, text in zip(batch, texts, strict=True):
                yield {**row, column: text}


def _address(url: str, row: dict[str, Any]) -> str:
    try:
        return url.format_map(row)
    except KeyError as error:
        raise ContentError(f"contents: a row has no column {error}.", where=url) from error


def _text(url: str, cache: Path | None, pause: float) -> str | None:
    name = url.rsplit("/", 1)[1]
    file = cache / name[:2] / f"{name}.gz" if cache else None
    packed = file.read_bytes() if file and file.is_file() else _download(url, pause)
    if packed is None:
        return None
    if file and not file.is_file():
        write(file, packed)
    try:
        return gzip.decompress(packed).decode("utf-8", "replace")
    except (OSError, EOFError, zlib.error):
        return None


def _download(url: str, pause: float) -> bytes | None:
    said: Exception | None = None
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in _NOT_THERE:
                return None
            said = error
        except (urllib.error.URLError, OSError) as error:
            said = error
    raise DataMissing(
        f"contents cannot be fetched: {said}",
        where=url,
        remedy="start it again later: what has been fetched is kept",
    )
