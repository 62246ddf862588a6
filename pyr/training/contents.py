"""Texts that a data set only points at: fetched by id, kept on disk, the missing ones counted.

smollm-corpus/python-edu holds blob ids of Software Heritage, whose store has a gzip file for each.
What has been fetched stays below `<data>/contents`, so that a preparation that was broken off goes
on where it ended.
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


class Contents:
    """Fetches what rows point at. `missing` counts the rows whose content is not there."""

    def __init__(self, url: str, kept: Path | None, *, pause: float = 1.0) -> None:
        """url: with a column's name in braces, as ``https://host/{blob_id}``.

        kept: the folder of what has been fetched; None keeps nothing.
        pause: seconds before a second attempt, doubled every time.
        """
        self._url = url
        self._kept = kept
        self._pause = pause
        self.missing = 0

    def fill(self, rows: Iterable[dict[str, Any]], column: str) -> Iterator[dict[str, Any]]:
        """The rows in their order with their content in `column`; those without are counted.

        Raises DataMissing if the store does not answer, rather than train on what is left.
        """
        source = iter(rows)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while batch := list(islice(source, _BATCH)):
                for row, text in zip(batch, pool.map(self._text, batch), strict=True):
                    if text is None:
                        self.missing += 1
                    else:
                        yield {**row, column: text}

    def _text(self, row: dict[str, Any]) -> str | None:
        try:
            url = self._url.format_map(row)
        except KeyError as error:
            raise ContentError(
                f"contents: a row has no column {error}.", where=self._url
            ) from error
        file = self._kept / _name(url)[:2] / f"{_name(url)}.gz" if self._kept else None
        packed = file.read_bytes() if file and file.is_file() else self._fetch(url)
        if packed is None:
            return None
        if file and not file.is_file():
            write(file, packed)
        try:
            return gzip.decompress(packed).decode("utf-8", "replace")
        except (OSError, EOFError, zlib.error):
            return None

    def _fetch(self, url: str) -> bytes | None:
        said: Exception | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(self._pause * 2 ** (attempt - 1))
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


def _name(url: str) -> str:
    return url.rsplit("/", 1)[1]
