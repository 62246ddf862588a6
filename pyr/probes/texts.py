"""The texts probe: bits per byte of any set of texts, the same for every tokenizer.

A suite names the sets: files, folders of files, or a YAML list of sources. With the held-out
documents of every phase of a training it gives the forgetting matrix (`pyr/report/forgetting.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from pyr import content
from pyr.errors import ContentError, MeasureError
from pyr.files import json_sha256, text_sha256
from pyr.probes import Chunk, Subject, fixed_order
from pyr.schema import Record, Strict
from pyr.store import Document
from pyr.tokenization import listed

_DOCUMENTS_A_CHUNK = 64
_SHOWN = 400
"""Characters of a document that a report may show."""


class TextsOptions(Strict):
    """Which texts, and how many of each."""

    texts: dict[str, str] = Field(min_length=1)
    """By domain: a file or folder of .jsonl, .json, .txt or .parquet, or a YAML list of sources."""
    data: str = "."
    """The folder that the sources of a YAML list lie below."""
    limit: int | None = Field(default=None, gt=0)
    """Documents a domain, drawn in the suite's fixed random order."""


class Texts:
    """Records -log-likelihood / ln 2 / bytes of every document, weighted by its bytes."""

    def __init__(self, options: dict[str, Any], *, name: str) -> None:
        self.name = name
        self.options = content.check(options, TextsOptions, where=f"probe '{name}'")

    def reads(self) -> Iterator[str]:
        """Of every domain the texts."""
        for name in self.options.texts:
            yield json_sha256(self._texts(name))

    def writes(self) -> bool:
        """Nothing is generated."""
        return False

    def run(self, subject: Subject) -> Iterator[Chunk]:
        """All texts are read first; then 64 documents at a time are scored."""
        domains = {name: self._read(name, subject.seed) for name in self.options.texts}
        total = sum(map(len, domains.values()))
        number = 0
        for name, documents in domains.items():
            task = f"text_{name}"
            earlier = subject.earlier
            done = set(earlier.loc[earlier["task"] == task, "item"]) if len(earlier) else set()
            todo = [(item, text) for item, text in documents if item not in done]
            number += len(documents) - len(todo)
            for start in range(0, len(todo), _DOCUMENTS_A_CHUNK):
                subject.progress(self.name, number, total)
                chosen = todo[start : start + _DOCUMENTS_A_CHUNK]
                yield _score(task, chosen, subject.lm)
                number += len(chosen)
        subject.progress(self.name, total, total)

    def _read(self, name: str, seed: int) -> list[tuple[str, str]]:
        """The documents of a domain with their numbers, in the fixed random order."""
        found = self._texts(name)
        texts = [(str(number), text) for number, text in enumerate(found) if text.strip()]
        if not texts:
            where = str(content.given_or_shipped(self.options.texts[name]))
            raise ContentError(f"the texts of '{name}' are empty.", where=where)
        order = fixed_order(seed, name, len(texts))
        return [texts[number] for number in order[: self.options.limit]]

    def _texts(self, name: str) -> list[str]:
        path = content.given_or_shipped(self.options.texts[name])
        return [each.text for each in listed.read_texts([path], Path(self.options.data))]


def _score(task: str, documents: Sequence[tuple[str, str]], lm: Any) -> Chunk:
    from lm_eval.api.instance import Instance

    requests = [
        Instance("loglikelihood_rolling", {}, (text,), 0, (task, int(item), 1))
        for item, text in documents
    ]
    answers = lm.loglikelihood_rolling(requests, disable_tqdm=True)
    records = []
    for (item, text), nats in zip(documents, answers, strict=True):
        if not math.isfinite(nats):
            raise MeasureError(
                f"{task}, document {item}: log-likelihood {nats}.",
                remedy="the weights or the arithmetic overflow: try --set dtype=float32",
            )
        num_bytes = len(text.encode())
        records.append(
            Record(
                task=task,
                metric="bits_per_byte",
                item=item,
                value=-nats / math.log(2) / num_bytes,
                weight=float(num_bytes),
                direction="lower",
                unit="bits/byte",
                group="texts",
                doc_hash=text_sha256(text),
            )
        )
    shown = [
        Document(task=task, item=item, prompt=text[:_SHOWN], choices=(), target="")
        for item, text in documents
    ]
    return Chunk(records=records, documents=shown)
