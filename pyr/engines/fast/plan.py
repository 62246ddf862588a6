"""What to compute and in which order: a stream of distinct tokens, cut into packs.

The token sequences of all requests are sorted, which walks the trie of their prefixes depth
first. What a sequence adds to the one before it is a *span*; the spans laid end to end are the
*stream*, in which every distinct (prefix, token) stands exactly once. The stream can be cut
anywhere: what comes after a cut shares with what came before it only a prefix of one sequence, the
*spine*, so that the keys and values of at most one sequence are carried from pack to pack. That
bounds the memory whatever the number of requests.

Inside a pack, tokens that look at much the same keys share one call of the attention function, a
*cell*. Letters of shapes: U stream tokens, T tokens of a pack, K keys, E scored entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_LEAST_RETAINED = 32
"""Tokens of a common prefix from which keeping its keys for the next call pays."""


@dataclass(frozen=True, slots=True)
class Request:
    """Token ids, of which the last `num_scored` are scored and the very last is never an input."""

    tokens: NDArray[np.int32]
    num_scored: int


@dataclass(frozen=True, slots=True)
class Budget:
    """What one pack may hold: half of it after running out of memory."""

    tokens: int = 1024
    scored: int = 1024
    """Positions with logits: each costs a row of the size of the vocabulary."""
    cell_rows: int = 128
    cell_overhead: int = 1000
    """What one more call of the attention function costs, in (query, key) pairs."""

    def times(self, factor: float) -> Budget:
        """So many times the tokens and the scored positions, at least one of each."""
        return Budget(
            max(1, int(self.tokens * factor)),
            max(1, int(self.scored * factor)),
            self.cell_rows,
            self.cell_overhead,
        )


@dataclass(frozen=True, slots=True)
class Stream:
    """The distinct tokens of all requests in depth-first order, and what is scored where."""

    tokens_U: NDArray[np.int32]
    depth_U: NDArray[np.int32]
    """Position of a token in its sequence; at the start of a span, what it shares."""
    starts: Ints
    """Where the spans start, ascending."""
    entry_node_E: Ints
    """Stream index whose logits an entry reads; ascending."""
    entry_target_E: Ints
    entry_request_E: Ints
    num_requests: int
    retained: int
    """Leading tokens whose keys and values must be given from an earlier call."""
    common: NDArray[np.int32]
    """The prefix that all sequences share, empty where it is too short to be kept."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Rows start:stop of a pack that go through one call of the attention function."""

    start: int
    stop: int
    keys: slice | Ints
    """Where its keys lie along [spine, pack]."""
    mask: NDArray[np.bool_] | None
    """[rows, keys], True where a row looks; None for the plain causal mask."""


@dataclass(frozen=True, slots=True)
class Pack:
    """One forward pass."""

    start: int
    stop: int
    tokens_T: Ints
    positions_T: Ints
    spine: int
    """Keys and values given from earlier packs, those of positions 0:spine."""
    cells: Sequence[Cell]
    rows_N: Ints
    """Rows of the pack whose logits are needed, ascending."""
    entry_row_E: Ints
    """For each entry of the pack the index into rows_N."""
    entries: slice
    """The entries of the stream that this pack answers."""
    keep: Ints
    """Where, along [spine, pack], the spine of the next pack lies."""
    path: Ints
    """Stream index by position after this pack."""


def arrange(requests: Sequence[Request], retained: NDArray[np.int32] | None = None) -> Stream:
    """The stream of `requests`.

    retained: token ids of a prefix whose keys and values are still at hand. They are taken where
    the first sequence starts with them and nothing inside them is scored.
    """
    # Big-endian bytes compare as the numbers do, at the speed of memcmp.
    keys = [request.tokens[:-1].astype(">i4").tobytes() for request in requests]
    order = sorted(range(len(requests)), key=keys.__getitem__)
    del keys
    longest = max((len(request.tokens) for request in requests), default=0)
    path = np.full(longest, -1, np.int64)
    previous = np.empty(0, np.int32) if retained is None else retained
    limit = min((len(each.tokens) - 1 - each.num_scored for each in requests), default=0)
    inherited, common, end = 0, longest, 0
    tokens, depths, starts, nodes, targets, owners = [], [], [], [], [], []
    for rank, index in enumerate(order):
        request = requests[index]
        inputs = request.tokens[:-1]
        shared = _common_length(previous, inputs)
        if rank == 0:
            shared = inherited = min(shared, limit)
        else:
            common = min(common, shared)
        if shared < len(inputs):
            starts.append(end)
            tokens.append(inputs[shared:])
            depths.append(np.arange(shared, len(inputs), dtype=np.int32))
            path[shared : len(inputs)] = np.arange(end, end + len(inputs) - shared)
            end += len(inputs) - shared
        first = len(inputs) - request.num_scored
        nodes.append(path[first : len(inputs)].copy())
        targets.append(request.tokens[first + 1 :])
        owners.append(np.full(request.num_scored, index))
        previous = inputs
    node_E = _joined(nodes)
    by_node = np.argsort(node_E, kind="stable")
    common = min(common, len(previous))
    return Stream(
        tokens_U=_joined(tokens, np.int32),
        depth_U=_joined(depths, np.int32),
        starts=np.asarray(starts, np.int64),
        entry_node_E=node_E[by_node],
        entry_target_E=_joined(targets)[by_node],
        entry_request_E=_joined(owners)[by_node],
        num_requests=len(requests),
        retained=inherited,
        common=previous[: common if common >= _LEAST_RETAINED else 0].copy(),
    )


def _joined(parts: Sequence[NDArray[Any]], dtype: type = np.int64) -> NDArray[Any]:
    return np.concatenate(parts, dtype=dtype) if parts else np.empty(0, dtype)


def _common_length(left: NDArray[np.int32], right: NDArray[np.int32]) -> int:
    length = min(len(left), len(right))
    different = left[:length] != right[:length]
    return int(different.argmax()) if different.any() else length


class Packer:
    """Cuts a stream into packs, one at a time, so that the budget may change on the way."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.position = 0
        longest = int(stream.depth_U.max(initial=-1)) + 1
        self._path = np.full(max(longest, stream.retained), -1, np.int64)

    @property
    def finished(self) -> bool:
        """Whether the whole stream is done."""
        return self.position >= len(self.stream.tokens_U)

    def cut(self, budget: Budget) -> Pack:
        """The next pack within `budget`; the same again until `advance` is called."""
        stream, start = self.stream, self.position
        stop = self._stop(budget)
        spine = int(stream.depth_U[start])
        path = self._path.copy()
        builder = _CellBuilder(start, spine, budget)
        for span_start, span_stop in self._fragments(start, stop, budget.cell_rows):
            depth = int(stream.depth_U[span_start])
            path[depth : depth + span_stop - span_start] = np.arange(span_start, span_stop)
            builder.add(path[:depth], span_start, span_stop)
        if stop < len(stream.tokens_U):
            next_spine = int(stream.depth_U[stop])
        else:
            next_spine = len(stream.common)
        first, last = np.searchsorted(stream.entry_node_E, [start, stop])
        rows_N, entry_row_E = np.unique(stream.entry_node_E[first:last], return_inverse=True)
        return Pack(
            start=start,
            stop=stop,
            tokens_T=stream.tokens_U[start:stop].astype(np.int64),
            positions_T=stream.depth_U[start:stop].astype(np.int64),
            spine=spine,
            cells=builder.cells(),
            rows_N=rows_N - start,
            entry_row_E=entry_row_E,
            entries=slice(int(first), int(last)),
            keep=_keys_of(path[:next_spine], start, spine),
            path=path,
        )

    def advance(self, pack: Pack) -> None:
        """`pack` has been computed."""
        self._path = pack.path
        self.position = pack.stop

    def _stop(self, budget: Budget) -> int:
        """Where to cut: at the shallowest start of a span in the last quarter, if there is one."""
        stream, start = self.stream, self.position
        stop = min(start + budget.tokens, len(stream.tokens_U))
        nodes = stream.entry_node_E
        first, last = np.searchsorted(nodes, [start, stop])
        scored = np.unique(nodes[first:last])
        if len(scored) > budget.scored:
            stop = int(scored[budget.scored])
        if stop == len(stream.tokens_U):
            return stop
        low, high = np.searchsorted(stream.starts, [start + 3 * (stop - start) // 4 + 1, stop + 1])
        candidates = stream.starts[low:high]
        if not len(candidates):
            return stop
        depths = stream.depth_U[candidates]
        return int(candidates[len(depths) - 1 - int(depths[::-1].argmin())])

    def _fragments(self, start: int, stop: int, rows: int) -> Iterator[tuple[int, int]]:
        """The spans between start and stop, in pieces of at most `rows` tokens and equal size."""
        low, high = np.searchsorted(self.stream.starts, [start + 1, stop])
        edges = [start, *self.stream.starts[low:high].tolist(), stop]
        for left, right in zip(edges, edges[1:], strict=False):
            pieces = -(-(right - left) // rows)
            cuts = [left + (right - left) * piece // pieces for piece in range(pieces + 1)]
            yield from zip(cuts, cuts[1:], strict=False)


def _keys_of(path: Ints, start: int, spine: int) -> Ints:
    """Where the tokens of a path lie along [spine, pack]: in the pack if computed there."""
    return np.where(path >= start, path - start + spine, np.arange(len(path)))


class _CellBuilder:
    """Groups the fragments of a pack into cells.

    A fragment joins the open cell when the pairs that are then computed for nothing (its rows on
    the others' keys, and the other way round) cost less than a call of their own.
    """

    def __init__(self, pack_start: int, spine: int, budget: Budget) -> None:
        self._pack_start = pack_start
        self._spine = spine
        self._budget = budget
        self._done: list[Cell] = []
        self._base = np.empty(0, np.int64)
        self._start = self._stop = 0
        self._fragments: list[tuple[int, int, Ints]] = []

    def add(self, ancestors: Ints, start: int, stop: int) -> None:
        """Add stream tokens start:stop, the path before them being `ancestors`."""
        if not (self._fragments and self._joins(len(ancestors), stop - start)):
            self._close()
            self._start, self._base = start, ancestors.copy()
        in_cell = ancestors - self._start + len(self._base)
        columns = np.where(ancestors >= self._start, in_cell, np.arange(len(ancestors)))
        self._fragments.append((start, stop, columns))
        self._stop = stop

    def cells(self) -> list[Cell]:
        """All cells of the pack."""
        self._close()
        return self._done

    def _joins(self, depth: int, rows: int) -> bool:
        held = self._stop - self._start
        if held + rows > self._budget.cell_rows:
            return False
        for_nothing = rows * (len(self._base) + held - depth + held)
        # Gathering an ancestor's key and value costs about as much as twelve pairs.
        return for_nothing <= self._budget.cell_overhead + 12 * depth

    def _close(self) -> None:
        if not self._fragments:
            return
        base, rows = len(self._base), self._stop - self._start
        own = np.arange(self._start, self._stop) - self._pack_start + self._spine
        keys = np.concatenate([_keys_of(self._base, self._pack_start, self._spine), own])
        causal = base == 0 and len(self._fragments) == 1
        cell = Cell(
            start=self._start - self._pack_start,
            stop=self._stop - self._pack_start,
            keys=_as_slice(keys),
            mask=None if causal else self._mask(rows, base),
        )
        self._done.append(cell)
        self._fragments = []

    def _mask(self, rows: int, base: int) -> NDArray[np.bool_]:
        mask = np.zeros((rows, base + rows), np.bool_)
        for start, stop, columns in self._fragments:
            first, last = start - self._start, stop - self._start
            block = mask[first:last]
            block[:, columns] = True
            block[:, base + first : base + last] = np.tri(last - first, dtype=np.bool_)
        return mask


def _as_slice(keys: Ints) -> slice | Ints:
    """A run of keys as a slice: a view of the keys instead of a copy."""
    first, last = int(keys[0]), int(keys[-1])
    if last - first + 1 == len(keys) and bool((np.diff(keys) == 1).all()):
        return slice(first, last + 1)
    return keys
