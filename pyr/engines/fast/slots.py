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
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers.cache_utils import DynamicCache, DynamicLayer

from pyr.engines.fast.attention import OTHER_ATTENTION, UnsupportedAttention, attending_by
from pyr.engines.fast.blocks import Block, Row


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
