"""Counted work: what scoring must compute at the least, and what was computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyr.engines.fast.plan import Pack, Stream


@dataclass(frozen=True, slots=True)
class Shape:
    """Floating-point operations of a model: per token, per scored position, per attended pair."""

    token: float
    scored: float
    pair: float

    @classmethod
    def of(cls, model: Any) -> Shape:
        """Counts two operations a weight of every matrix that multiplies a hidden state.

        A pair of query and key costs 4 * heads * head_dim a layer (QK and AV). Experts that a
        token does not visit are counted as if it did.
        """
        from torch import nn

        config = model.config.get_text_config(decoder=True)
        head = model.get_output_embeddings().weight
        tables = {id(each.weight) for each in model.modules() if isinstance(each, nn.Embedding)}
        matrices = sum(
            weight.numel()
            for weight in model.parameters()
            if weight.ndim == 2 and id(weight) not in tables and weight is not head
        )
        heads = config.num_attention_heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
        return cls(2 * matrices, 2 * head.numel(), 4 * heads * head_dim * config.num_hidden_layers)


@dataclass(slots=True)
class Work:
    """What was computed, beside the least that any engine must compute for the same requests.

    The least: each distinct (prefix, token) once, each distinct scored position once, and for each
    token the pairs with itself and its ancestors.
    """

    shape: Shape
    requests: int = 0
    request_tokens: int = 0
    """Input tokens of the requests one by one: what would be computed without sharing."""
    tokens: int = 0
    unique_tokens: int = 0
    scored: int = 0
    unique_scored: int = 0
    pairs: int = 0
    unique_pairs: int = 0
    most_tokens: int = 0
    """Tokens of the largest pack."""
    most_scored: int = 0
    most_spine: int = 0

    def need(self, stream: Stream, request_tokens: int) -> None:
        """Count what `stream` asks for."""
        self.requests += stream.num_requests
        self.request_tokens += request_tokens
        self.unique_tokens += len(stream.tokens_U)
        self.unique_pairs += int(stream.depth_U.sum(dtype="int64")) + len(stream.depth_U)
        nodes = stream.entry_node_E
        self.unique_scored += int((nodes[1:] != nodes[:-1]).sum()) + (len(nodes) > 0)

    def did(self, pack: Pack) -> None:
        """Count what one forward pass computed."""
        self.tokens += len(pack.tokens_T)
        self.scored += len(pack.rows_N)
        for cell in pack.cells:
            keys = cell.keys
            width = keys.stop - keys.start if isinstance(keys, slice) else len(keys)
            self.pairs += (cell.stop - cell.start) * width
        self.most_tokens = max(self.most_tokens, len(pack.tokens_T))
        self.most_scored = max(self.most_scored, len(pack.rows_N))
        self.most_spine = max(self.most_spine, pack.spine)

    @property
    def flops(self) -> float:
        """Floating-point operations of all forward passes."""
        return self._flops(self.tokens, self.scored, self.pairs)

    @property
    def least_flops(self) -> float:
        """The unique-work limit: no engine can score these requests with fewer."""
        return self._flops(self.unique_tokens, self.unique_scored, self.unique_pairs)

    @property
    def fraction(self) -> float:
        """The unique-work limit over what was computed; 1 is the best possible."""
        return self.least_flops / self.flops if self.flops else 1.0

    def _flops(self, tokens: int, scored: int, pairs: int) -> float:
        return self.shape.token * tokens + self.shape.scored * scored + self.shape.pair * pairs
