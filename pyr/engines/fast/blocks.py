"""Memory for rows of keys and values of very different lengths, within a budget of tokens.

A row lies in a block with others of its size and moves to a block of wider rows when it is full,
so that neither memory nor attention pays for the longest row in every other.
Shapes: N rows of a block, H key/value heads, C columns (tokens) of a row, D head width.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

_NARROWEST = 64


@dataclass(slots=True, eq=False)
class Row:
    """The first `length` columns of one row of a block, and whose they are."""

    owner: Any
    length: int
    block: Block

    @property
    def number(self) -> int:
        """Which row of its block it is."""
        return self.block.rows.index(self)


@dataclass(slots=True, eq=False)
class Block:
    """Rows of equal width; those in use come first. Tensors are made when a layer first writes."""

    num_columns: int
    num_rows: int
    rows: list[Row] = field(default_factory=list)
    layers: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @property
    def num_tokens(self) -> int:
        """Tokens that it has room for."""
        return self.num_columns * self.num_rows

    def tensors(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's keys and values, [N, H, C, D]; the arguments show dtype, H and D."""
        if layer not in self.layers:
            # Zeros, not empty: a masked column still takes part as 0 * value, and 0 * NaN is NaN.
            self.layers[layer] = (self._zeros(keys), self._zeros(values))
        return self.layers[layer]

    def _zeros(self, like: Tensor) -> Tensor:
        return like.new_zeros(self.num_rows, like.shape[1], self.num_columns, like.shape[3])


class Blocks:
    """All blocks, together at most `budget` tokens, a first row excepted."""

    def __init__(self, budget: int, block_tokens: int) -> None:
        self.budget = budget
        self.block_tokens = block_tokens
        self.blocks: list[Block] = []

    @property
    def rows(self) -> list[Row]:
        """The rows in use, block by block."""
        return [row for block in self.blocks for row in block.rows]

    @property
    def num_free(self) -> int:
        """Tokens of the budget that no block has taken."""
        return self.budget - sum(block.num_tokens for block in self.blocks)

    def place(self, owner: Any, length: int, *, spare: int = 0) -> Row | None:
        """A row for `length` tokens and at least one more; None if that is beyond the budget.

        spare: tokens that must stay free for others if a new block is needed.
        """
        num_columns = _columns(length + 1)
        block = self._open_block(num_columns) or self._new_block(num_columns, spare)
        if block is None:
            return None
        row = Row(owner, length, block)
        block.rows.append(row)
        return row

    def widen(self, row: Row) -> bool:
        """Move a row to where it has room for one more token; False if the budget has none."""
        wider = self.place(row.owner, row.length)
        if wider is None:
            return False
        old, number = row.block, row.number
        _copy(old, number, wider.block, wider.number, row.length)
        self._close_gap(old, number)
        wider.block.rows[wider.number] = row
        row.block = wider.block
        return True

    def remove(self, row: Row) -> None:
        """Forget a row. Another of its width takes its place, and an empty block is freed."""
        self._close_gap(row.block, row.number)

    def _open_block(self, num_columns: int) -> Block | None:
        for block in self.blocks:
            if block.num_columns == num_columns and len(block.rows) < block.num_rows:
                return block
        return None

    def _new_block(self, num_columns: int, spare: int) -> Block | None:
        fitting = (self.num_free - spare) // num_columns
        num_rows = min(fitting, max(1, self.block_tokens // num_columns))
        if num_rows < 1 and self.blocks:
            return None
        self.blocks.append(Block(num_columns, max(1, num_rows)))
        return self.blocks[-1]

    def _close_gap(self, block: Block, number: int) -> None:
        """Let the last row of this width fill the place of row `number`, whose data may go."""
        last = [each for each in self.blocks if each.num_columns == block.num_columns][-1]
        filler = last.rows.pop()
        if last is not block or number < len(block.rows):
            _copy(last, len(last.rows), block, number, filler.length)
            block.rows[number] = filler
            filler.block = block
        if not last.rows:
            self.blocks.remove(last)


def _copy(source: Block, number: int, target: Block, target_number: int, length: int) -> None:
    for layer, tensors in source.layers.items():
        for old, new in zip(tensors, target.tensors(layer, *tensors), strict=True):
            new[target_number, :, :length] = old[number, :, :length]


def _columns(num_tokens: int) -> int:
    """The narrowest width that holds so many: 64, 96, 128, 192, 256, 384, ..."""
    width = _NARROWEST
    while width < num_tokens:
        if width * 3 // 2 >= num_tokens:
            return width * 3 // 2
        width *= 2
    return width
