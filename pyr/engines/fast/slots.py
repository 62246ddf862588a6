"""Forward passes of the stock model over rows that start, grow and end independently.

To the model each pass is a batch without a cache; keys and values are kept, and attended to, by
the attention function that it is lent through transformers' AttentionInterface. Every row starts
at column 0, so a token's column is its position.
Shapes: B rows of a pass, L its new tokens a row, Q query heads, H key/value heads, C columns,
D head width, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers.cache_utils import DynamicCache, DynamicLayer

from pyr.engines.fast.attention import OTHER_ATTENTION, UnsupportedAttention, attending_by


@dataclass(frozen=True, slots=True)
class Prefix:
    """Keys and values of the tokens at columns `start` to `end`, by layer, each [H, C, D]."""

    start: int
    end: int
    layers: dict[int, tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class _Part:
    """Neighbouring rows of a pass that are neighbours in a block as well.

    A decoding step has `columns_B`, where each row writes; a prefill writes at `past`.
    `num_new` tokens a row count here, `width` columns are looked at, `mask` is additive.
    """

    block: Block
    batch: slice
    rows: slice
    past: int
    num_new: int
    width: int
    columns_B: Tensor | None
    mask: Tensor | None

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None
    ) -> Tensor:
        """Keep the new keys and values, and attend to all: [B, L, Q, D]."""
        keys, values = (each[self.rows] for each in self.block.tensors(layer, key, value))
        if self.columns_B is None:
            keys[:, :, self.past : self.width] = key[:, :, : self.num_new]
            values[:, :, self.past : self.width] = value[:, :, : self.num_new]
        else:
            rows_B = torch.arange(len(self.columns_B), device=key.device)
            keys[rows_B, :, self.columns_B] = key[:, :, 0]
            values[rows_B, :, self.columns_B] = value[:, :, 0]
        keys, values = keys[:, :, : self.width], values[:, :, : self.width]
        num_rows, num_queries, num_kv = len(query), query.shape[1], key.shape[1]
        if self.columns_B is not None:
            # The query heads of one key head are as several queries of it: nothing is repeated.
            query = query.reshape(num_rows, num_kv, num_queries // num_kv, -1)
        elif num_queries != num_kv:
            keys, values = (
                each.repeat_interleave(num_queries // num_kv, 1) for each in (keys, values)
            )
        attended = scaled_dot_product_attention(
            query[:, :, : self.num_new] if self.columns_B is None else query,
            keys,
            values,
            attn_mask=self.mask,
            is_causal=self.columns_B is None and self.mask is None,
            scale=scaling,
        )
        if self.columns_B is not None:
            return attended.reshape(num_rows, 1, num_queries, -1)
        return attended.transpose(1, 2)


class _Pass:
    """One forward pass: which rows of which blocks its batch is made of."""

    def __init__(self, parts: list[_Part]) -> None:
        self.parts = parts
        self.num_layers = 0

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None
    ) -> Tensor:
        self.num_layers += 1
        num_rows, num_heads, num_new, _ = query.shape
        out = query.new_zeros(num_rows, num_new, num_heads, value.shape[3])
        for part in self.parts:
            batch = part.batch
            attended = part.attend(layer, query[batch], key[batch], value[batch], scaling)
            out[batch, : part.num_new] = attended
        return out


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    slot_pass: _Pass | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention over slots; the signature is that of transformers' AttentionInterface.

    query: [B, Q, L, D]; key, value: [B, H, L, D], the new tokens alone. Gives [B, L, Q, D].
    Raises UnsupportedAttention for what is not plain causal attention.
    """
    other = [name for name in OTHER_ATTENTION if kwargs.get(name) is not None]
    if slot_pass is None or attention_mask is not None or other:
        raise UnsupportedAttention(", ".join(other) or "it does not pass the slots on")
    return slot_pass.attend(module.layer_idx, query, key, value, scaling), None


def slot_attention(model: Any) -> AbstractContextManager[None]:
    """Let `model` attend to slots inside the block."""
    return attending_by(model, "pyr_slots", _attend)


class Slots:
    """Runs the model over rows; `slot_attention` must be in force.

    Raises UnsupportedAttention if the model does not attend through the interface.
    """

    def __init__(self, model: Any) -> None:
        parameters = inspect.signature(model.forward).parameters
        self.model = model
        self._head = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}

    def fill(
        self, rows: Sequence[Row], tokens_BL: Sequence[Sequence[int]], prefixes: Sequence[Prefix]
    ) -> None:
        """Compute the keys and values of new rows: those of shared prefixes copied, then tokens.

        Each row's length says what it will hold. Shorter rows are padded on the right, where no
        real token looks.
        """
        past = prefixes[-1].end if prefixes else 0
        for row in rows:
            _paste(row, prefixes)
        width = max(map(len, tokens_BL))
        if not width:
            return
        ids_BL = torch.tensor([[*tokens, *[0] * (width - len(tokens))] for tokens in tokens_BL])
        positions_BL = torch.arange(past, past + width).expand(len(rows), -1)
        parts = [self._filling(*run, past) for run in _runs(rows)]
        self._forward(ids_BL, positions_BL, [part for part in parts if part.num_new])

    def step(self, rows: Sequence[Row], tokens_B: Sequence[int]) -> Tensor:
        """Append a token to each row; the float32 logits [B, V] that follow.

        rows: all that are in use, block by block, each with room for one more.
        """
        positions_B1 = torch.tensor([[row.length] for row in rows])
        parts = [self._stepping(*run) for run in _runs(rows)]
        logits_BV = self._forward(torch.tensor(tokens_B)[:, None], positions_B1, parts)
        for row in rows:
            row.length += 1
        return logits_BV

    def _filling(self, batch: slice, rows: Sequence[Row], past: int) -> _Part:
        width = max(row.length for row in rows)
        mask = None
        if past:
            seen = torch.ones(width - past, width, dtype=torch.bool, device=self.model.device)
            mask = self._additive(seen.tril(past))
        columns = slice(rows[0].number, rows[0].number + len(rows))
        return _Part(rows[0].block, batch, columns, past, width - past, width, None, mask)

    def _stepping(self, batch: slice, rows: Sequence[Row]) -> _Part:
        columns_B = torch.tensor([row.length for row in rows], device=self.model.device)
        width = max(row.length for row in rows) + 1
        mask = None
        if min(row.length for row in rows) + 1 < width:
            columns_C = torch.arange(width, device=self.model.device)
            mask = self._additive(columns_C <= columns_B[:, None])[:, None, None]
        numbers = slice(rows[0].number, rows[0].number + len(rows))
        return _Part(rows[0].block, batch, numbers, width - 1, 1, width, columns_B, mask)

    def _additive(self, seen: Tensor) -> Tensor:
        """Once for all layers: given as booleans, each layer would convert them anew."""
        zeros = torch.zeros(seen.shape, dtype=self.model.dtype, device=seen.device)
        return zeros.masked_fill_(~seen, float("-inf"))

    def _forward(self, ids_BL: Tensor, positions_BL: Tensor, parts: list[_Part]) -> Tensor:
        device = self.model.device
        slot_pass = _Pass(parts)
        output = self.model(
            input_ids=ids_BL.to(device),
            position_ids=positions_BL.to(device),
            use_cache=False,
            slot_pass=slot_pass,
            **self._head,
        )
        if not slot_pass.num_layers:
            raise UnsupportedAttention("it does not attend through the interface")
        logits_BV: Tensor = output.logits[:, -1].float()
        return logits_BV


def take(row: Row, start: int) -> Prefix:
    """A copy of a row from column `start` on, as a prefix for others."""
    number, columns = row.number, slice(start, row.length)
    layers = {
        layer: (keys[number, :, columns].clone(), values[number, :, columns].clone())
        for layer, (keys, values) in row.block.layers.items()
    }
    return Prefix(start, row.length, layers)


def _paste(row: Row, prefixes: Sequence[Prefix]) -> None:
    number = row.number
    for prefix in prefixes:
        columns = slice(prefix.start, prefix.end)
        for layer, (keys, values) in prefix.layers.items():
            all_keys, all_values = row.block.tensors(layer, keys[None], values[None])
            all_keys[number, :, columns] = keys
            all_values[number, :, columns] = values


def _runs(rows: Sequence[Row]) -> Iterator[tuple[slice, list[Row]]]:
    """Runs of rows in one block, and where they stand in the batch."""
    start = 0
    for _, group in groupby(rows, key=lambda row: id(row.block)):
        run = list(group)
        yield slice(start, start + len(run)), run
        start += len(run)


def unsupported(model: Any) -> str:
    """Why rows of this model cannot be decoded in slots; empty where they can.

    A sliding window or a recurrent state is not a list of columns that can be looked at alone.
    """
    if model.config.is_encoder_decoder:
        return "it is an encoder-decoder"
    if not model.is_backend_compatible():
        return "it does not attend through transformers' interface"
    kinds = {type(layer) for layer in DynamicCache(config=model.config).layers}
    if kinds != {DynamicLayer}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds - {DynamicLayer}))
        return f"its cache is no plain list of keys and values: {names or 'it has no layers'}"
    return ""


# ------------------------------------------------------------------
# Memory for rows of keys and values of very different lengths, within a budget of tokens.
#
# A row lies in a block with others of its size and moves to a block of wider rows when it is full,
# so that neither memory nor attention pays for the longest row in every other.
# Shapes: N rows of a block, H key/value heads, C columns (tokens) of a row, D head width.


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
