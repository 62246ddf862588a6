"""Attention of packed tokens, plugged into transformers' own interface.

Everything but attention treats tokens alone, so a pack is one row for the model; only here the
cells of the pack are told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from pyr.engines.fast.plan import Pack

OTHER_ATTENTION = ("sliding_window", "softcap", "s_aux", "position_bias")
"""What some models hand to the attention function and this one does not do."""


class UnsupportedAttention(Exception):
    """The model's attention is not plain causal attention through the interface."""


@dataclass(frozen=True, slots=True)
class DeviceCell:
    """A cell with its indices and its additive mask on the model's device."""

    start: int
    stop: int
    keys: slice | Tensor
    mask: Tensor | None


def to_device(pack: Pack, device: torch.device, dtype: torch.dtype) -> list[DeviceCell]:
    """The cells of `pack`, their masks additive in `dtype` once for all layers."""
    cells = []
    for cell in pack.cells:
        keys = cell.keys if isinstance(cell.keys, slice) else torch.from_numpy(cell.keys).to(device)
        mask = None
        if cell.mask is not None:
            allowed = torch.from_numpy(cell.mask).to(device)
            mask = torch.zeros(allowed.shape, dtype=dtype, device=device)
            mask = mask.masked_fill_(~allowed, float("-inf"))[None, None]
        cells.append(DeviceCell(cell.start, cell.stop, keys, mask))
    return cells


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    packed_cells: Sequence[DeviceCell] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention cell by cell; the signature is that of transformers' AttentionInterface.

    query: [1, heads, T, D]; key, value: [1, kv_heads, spine + T, D]. Gives [1, T, heads, D].
    Raises UnsupportedAttention for what is not plain causal attention.
    """
    other = [name for name in OTHER_ATTENTION if kwargs.get(name) is not None]
    if packed_cells is None or attention_mask is not None or other:
        raise UnsupportedAttention(", ".join(other) or "it does not pass the cells on")
    grouped = query.shape[1] != key.shape[1]
    if grouped and query.device.type != "cpu":
        # With a mask, CUDA has no fast kernel for grouped heads.
        key, value = (
            each.repeat_interleave(query.shape[1] // key.shape[1], 1) for each in (key, value)
        )
        grouped = False
    out = query.new_empty(1, query.shape[2], query.shape[1], value.shape[3])
    for cell in packed_cells:
        if isinstance(cell.keys, slice):
            keys, values = key[:, :, cell.keys], value[:, :, cell.keys]
        else:
            keys, values = key.index_select(2, cell.keys), value.index_select(2, cell.keys)
        attended = scaled_dot_product_attention(
            query[:, :, cell.start : cell.stop],
            keys,
            values,
            attn_mask=cell.mask,
            is_causal=cell.mask is None,
            scale=scaling,
            enable_gqa=grouped,
        )
        out[:, cell.start : cell.stop] = attended.transpose(1, 2)
    return out, None


@contextmanager
def attending_by(model: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Let `model` attend by `function` inside the block; outside, it is as it was.

    name: under which transformers knows the function.
    """
    AttentionInterface.register(name, function)
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def packed_attention(model: Any) -> AbstractContextManager[None]:
    """Let `model` attend to packs inside the block."""
    return attending_by(model, "pyr_packed", attend)
