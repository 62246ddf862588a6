"""Rows without padding, in an order that a seed decides.

A phase is one stream of tokens, laid out before it begins. Each source goes through its documents
in a new random order every epoch until it has given its share; the sources are interleaved evenly,
each epoch before the next. Row `r` of length L is tokens r*L to (r+1)*L of the stream: what a
step reads follows from its number alone, so resuming skips and repeats nothing.

Attention stays inside a document: positions begin at 0 with every piece, from which transformers
derives the mask (`masking_utils.find_packed_sequence_indices`). The first token of a piece has no
label, as it cannot be predicted from another document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyr.data.shards import Shards
from pyr.errors import DataMissing

if TYPE_CHECKING:
    import torch

Ints = npt.NDArray[np.int64]
NO_LABEL = -100
"""What transformers' losses leave out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The pieces of a phase in their order: whole documents, but for the last of each source."""

    source: npt.NDArray[np.int16]
    document: Ints
    ends: Ints
    """Where each piece ends in the stream."""

    @property
    def tokens(self) -> int:
        """Of the whole stream."""
        return int(self.ends[-1])

    def digest(self) -> str:
        """Return a sha256 of the order: two plans with the same read the same."""
        order = self.source.tobytes() + self.document.tobytes() + self.ends.tobytes()
        return hashlib.sha256(order).hexdigest()


def lay_out(sources: Sequence[Shards], weights: Sequence[float], *, tokens: int, seed: int) -> Plan:
    """Return the order in which `tokens` tokens are read, each source by its share of the weights.

    Raises DataMissing for a source without documents to train on.
    """
    quotas = np.floor(np.asarray(weights) / sum(weights) * tokens).astype(np.int64)
    # What rounding leaves over goes to the largest.
    quotas[int(np.argmax(quotas))] += tokens - quotas.sum()
    numbers, documents, lengths, places = [], [], [], []
    for number, (shards, quota) in enumerate(zip(sources, quotas.tolist(), strict=True)):
        if not quota:
            continue
        chosen = _draw_documents(number, shards, quota, seed)
        length = shards.lengths[chosen].copy()
        # The last piece ends where the source has given its share.
        length[-1] -= length.sum() - quota
        numbers.append(np.full(len(chosen), number, dtype=np.int16))
        documents.append(chosen)
        lengths.append(length)
        # Where a piece's middle stands in the phase, from 0 to 1: so all sources are interleaved.
        places.append((np.cumsum(length) - length / 2) / quota)
    order = np.argsort(np.concatenate(places), kind="stable")
    return Plan(
        source=np.concatenate(numbers)[order],
        document=np.concatenate(documents)[order],
        ends=np.cumsum(np.concatenate(lengths)[order]),
    )


def _draw_documents(number: int, shards: Shards, quota: int, seed: int) -> Ints:
    """Return documents of a source that hold its quota of tokens, every epoch in a new order."""
    usable = np.flatnonzero(~shards.held_out & (shards.lengths > 0))
    if not len(usable):
        raise DataMissing(
            f"{shards.folder.name} holds no document to train on.",
            where=str(shards.folder),
            remedy="lower held_out, or give it more documents",
        )
    chosen, left, epoch = [], quota, 0
    while left > 0:
        order = usable[np.random.default_rng([seed, number, epoch]).permutation(len(usable))]
        before = np.cumsum(shards.lengths[order]) - shards.lengths[order]
        order = order[before < left]
        chosen.append(order)
        left -= int(shards.lengths[order].sum())
        epoch += 1
    return np.concatenate(chosen)


class Rows:
    """The rows of a phase, for transformers' Trainer: input_ids, position_ids, labels (int64)."""

    def __init__(self, sources: Sequence[Shards], plan: Plan, *, length: int) -> None:
        self._sources = list(sources)
        self._plan = plan
        self._length = length

    def __len__(self) -> int:
        return self._plan.tokens // self._length

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        import torch

        ids = np.empty(self._length, dtype=np.int64)
        positions = np.empty(self._length, dtype=np.int64)
        labels = np.empty(self._length, dtype=np.int64)
        done = 0
        for shards, document, inside, count in self._pieces(row):
            offset = int(shards.starts[document]) + inside
            part = slice(done, done + count)
            ids[part] = shards.tokens(offset, count)
            positions[part] = np.arange(count)
            labels[part] = np.where(shards.loss(offset, count), ids[part], NO_LABEL)
            labels[done] = NO_LABEL
            done += count
        arrays = {"input_ids": ids, "position_ids": positions, "labels": labels}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def describe(self, rows: range) -> str:
        """Return the documents that rows hold in words, a few at most: for a failure's message."""
        names: dict[str, None] = {}
        for row in rows:
            for shards, document, _, _ in self._pieces(row):
                name = shards.manifest.get("name", shards.folder.name)
                names[f"{name} document {document}"] = None
        shown = list(names)[:4]
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        return f"{', '.join(shown)}{more}"

    def _pieces(self, row: int) -> Iterator[tuple[Shards, int, int, int]]:
        """Yield what a row is made of: source, document, offset in it, tokens."""
        if not 0 <= row < len(self):
            raise IndexError(row)
        low, high = row * self._length, (row + 1) * self._length
        ends = self._plan.ends
        first = int(np.searchsorted(ends, low, side="right"))
        last = int(np.searchsorted(ends, high, side="left"))
        for piece in range(first, last + 1):
            begin = int(ends[piece - 1]) if piece else 0
            start, stop = max(low, begin), min(high, int(ends[piece]))
            shards = self._sources[int(self._plan.source[piece])]
            yield shards, int(self._plan.document[piece]), start - begin, stop - start


def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return rows, stacked. No attention mask: transformers reads documents from the positions."""
    import torch

    batch = {}
    for name in rows[0]:
        batch[name] = torch.stack([row[name] for row in rows])
    return batch
