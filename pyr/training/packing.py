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
from collections.abc import Sequence
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
    epochs: tuple[float, ...]
    """How often each source's documents are read."""

    @property
    def tokens(self) -> int:
        """Of the whole stream."""
        return int(self.ends[-1])

    def digest(self) -> str:
        """sha256 of the order: two plans with the same read the same."""
        found = hashlib.sha256()
        for part in (self.source, self.document, self.ends):
            found.update(np.ascontiguousarray(part).tobytes())
        return found.hexdigest()


def lay_out(sources: Sequence[Shards], weights: Sequence[float], *, tokens: int, seed: int) -> Plan:
    """The order in which `tokens` tokens are read, each source by its share of the weights.

    Raises DataMissing for a source without documents to train on.
    """
    quotas = _quotas(tokens, weights)
    parts = [
        _pieces(number, shards, quota, seed)
        for number, (shards, quota) in enumerate(zip(sources, quotas, strict=True))
        if quota
    ]
    place = np.concatenate([part.place for part in parts])
    order = np.argsort(place, kind="stable")
    return Plan(
        source=np.concatenate([part.source for part in parts])[order],
        document=np.concatenate([part.document for part in parts])[order],
        ends=np.cumsum(np.concatenate([part.length for part in parts])[order]),
        epochs=tuple(
            quota / max(1, int(shards.lengths[~shards.held_out].sum()))
            for shards, quota in zip(sources, quotas, strict=True)
        ),
    )


@dataclass(frozen=True, slots=True)
class _Pieces:
    source: npt.NDArray[np.int16]
    document: Ints
    length: Ints
    place: npt.NDArray[np.float64]
    """Where in the phase, from 0 to 1."""


def _quotas(tokens: int, weights: Sequence[float]) -> list[int]:
    shares = np.floor(np.asarray(weights) / sum(weights) * tokens).astype(np.int64)
    shares[int(np.argmax(shares))] += tokens - shares.sum()
    return [int(share) for share in shares]


def _pieces(number: int, shards: Shards, quota: int, seed: int) -> _Pieces:
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
    document = np.concatenate(chosen)
    length = shards.lengths[document].copy()
    length[-1] += min(left, 0)
    ends = np.cumsum(length)
    return _Pieces(
        source=np.full(len(document), number, dtype=np.int16),
        document=document,
        length=length,
        place=(ends - length / 2) / quota,
    )


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
        for shards, offset, count in self._parts(row):
            part = slice(done, done + count)
            ids[part] = shards.tokens(offset, count)
            positions[part] = np.arange(count)
            labels[part] = np.where(shards.loss(offset, count), ids[part], NO_LABEL)
            labels[done] = NO_LABEL
            done += count
        arrays = {"input_ids": ids, "position_ids": positions, "labels": labels}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def describe(self, rows: range) -> str:
        """The documents that rows hold, in words, a few at most: for the message of a failure."""
        names: dict[str, None] = {}
        for row in rows:
            for piece in self._pieces(row):
                shards = self._sources[int(self._plan.source[piece])]
                name = shards.manifest.get("name", shards.folder.name)
                names[f"{name} document {int(self._plan.document[piece])}"] = None
        shown = list(names)[:4]
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        return f"{', '.join(shown)}{more}"

    def _pieces(self, row: int) -> range:
        first = int(np.searchsorted(self._plan.ends, row * self._length, side="right"))
        last = int(np.searchsorted(self._plan.ends, (row + 1) * self._length, side="left"))
        return range(first, last + 1)

    def _parts(self, row: int) -> list[tuple[Shards, int, int]]:
        """What a row is made of: source, offset in it, tokens."""
        if not 0 <= row < len(self):
            raise IndexError(row)
        low, high = row * self._length, (row + 1) * self._length
        found = []
        for piece in self._pieces(row):
            begin = int(self._plan.ends[piece - 1]) if piece else 0
            end = int(self._plan.ends[piece])
            shards = self._sources[int(self._plan.source[piece])]
            inside = max(low, begin) - begin
            count = min(high, end) - max(low, begin)
            found.append((shards, int(shards.starts[self._plan.document[piece]]) + inside, count))
        return found


def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows, stacked. No attention mask: transformers reads documents from the positions."""
    import torch

    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
