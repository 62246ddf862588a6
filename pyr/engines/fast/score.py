"""Scores requests: runs the packs of a plan through the stock transformers model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

from pyr.engines import cache_keyword
from pyr.engines.fast.attention import packed_attention, to_device
from pyr.engines.fast.plan import Budget, Ints, Pack, Packer, Request, Stream, arrange
from pyr.errors import MeasureError

KeyValues = list[tuple[Tensor, Tensor]]
"""A pair for each layer, both [1, kv_heads, positions, D]."""

_ROWS_A_SOFTMAX = 32
_ROWS_A_SOFTMAX_ON_DEVICE = 1024
"""Rows of logits taken at once: 32 of 49,152 words are 6 MB, which a CPU's cache holds."""

_LOGIT_BYTES = 256 * 2**20
"""What the logits of one pack may take."""


@dataclass(frozen=True, slots=True)
class Scores:
    """By request: the log-likelihood of what it scores, and whether it is what greedy would say."""

    loglikelihood: NDArray[np.float64]
    greedy: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Retained:
    """A prefix of the last call with its keys and values, and the weights they are of."""

    tokens: NDArray[np.int32]
    key_values: KeyValues
    weights: int


def default_budget(model: Any) -> Budget:
    """What fits the device: measured on CPUs of two cores, an estimate for a GPU."""
    rows = max(1, _LOGIT_BYTES // (4 * model.get_output_embeddings().weight.shape[0]))
    if model.device.type == "cpu":
        return Budget(tokens=1024, scored=min(1024, rows), cell_rows=128, cell_overhead=1000)
    # A launch costs a GPU what a large masked square does.
    return Budget(tokens=8192, scored=min(8192, 8 * rows), cell_rows=1024, cell_overhead=300_000)


class Scorer:
    """Log-likelihoods of token sequences under one model, every distinct prefix computed once."""

    def __init__(self, model: Any, budget: Budget | None = None) -> None:
        self.model = model
        self.budget = budget or default_budget(model)
        self.work = Work(Shape.of(model))
        self._cache_keyword = cache_keyword(model)
        self._retained: _Retained | None = None

    def score(self, requests: Sequence[Request]) -> Scores:
        """The scores of `requests`, in their order.

        Log-softmax in float32 whatever the model's dtype, sums in float64. When memory runs out
        the budget is halved and the work goes on.
        Raises MeasureError when not even one token fits. A NaN logit gives a NaN here.
        """
        if not requests:
            return Scores(np.empty(0), np.empty(0, np.bool_))
        kept = self._kept()
        stream = arrange(requests, kept.tokens if kept else None)
        self.work.need(stream, sum(len(each.tokens) - 1 for each in requests))
        spine = _first(kept.key_values, stream.retained) if kept and stream.retained else None
        self._retained = None
        with torch.inference_mode(), packed_attention(self.model):
            return self._run(stream, spine)

    def _run(self, stream: Stream, spine: KeyValues | None) -> Scores:
        packer = Packer(stream)
        log_probs: list[Tensor] = []
        hits: list[Tensor] = []
        while not packer.finished:
            pack = packer.cut(self.budget)
            done = self._try(pack, stream, spine)
            if done is None:
                self._halve()
                continue
            log_prob_E, hit_E, spine = done
            log_probs.append(log_prob_E)
            hits.append(hit_E)
            self.work.did(pack)
            packer.advance(pack)
        if spine is not None:
            self._retained = _Retained(stream.common, spine, _weights_stamp(self.model))
        # The one copy from the device of a call.
        answers = torch.stack([torch.cat(log_probs).double(), torch.cat(hits).double()]).cpu()
        return _summed(stream, answers[0].numpy(), answers[1].numpy())

    def _try(
        self, pack: Pack, stream: Stream, spine: KeyValues | None
    ) -> tuple[Tensor, Tensor, KeyValues | None] | None:
        """The forward pass of `pack`, or None if it did not fit into memory."""
        try:
            return self._forward(pack, stream, spine)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _forward(
        self, pack: Pack, stream: Stream, spine: KeyValues | None
    ) -> tuple[Tensor, Tensor, KeyValues | None]:
        """Log-probabilities of the pack's entries, which of them are the argmax, the next spine."""
        device = self.model.device
        caching = pack.spine > 0 or len(pack.keep) > 0
        cache = DynamicCache(spine) if spine else DynamicCache()
        logits_NV = self.model(
            input_ids=torch.from_numpy(pack.tokens_T).to(device)[None],
            position_ids=torch.from_numpy(pack.positions_T).to(device)[None],
            **{self._cache_keyword: cache if caching else None},
            use_cache=caching,
            logits_to_keep=torch.from_numpy(pack.rows_N).to(device),
            packed_cells=to_device(pack, device, self.model.dtype),
        ).logits[0]
        targets_E = stream.entry_target_E[pack.entries]
        log_prob_E, hit_E = _gather(logits_NV, pack.entry_row_E, targets_E)
        if not len(pack.keep):
            return log_prob_E, hit_E, None
        keep = torch.from_numpy(pack.keep).to(device)
        kept = [(k.index_select(2, keep), v.index_select(2, keep)) for k, v, *_ in cache]
        return log_prob_E, hit_E, kept

    def _halve(self) -> None:
        if self.budget.tokens == 1:
            raise MeasureError(
                "out of memory: not even one token fits beside the model.",
                where=str(self.model.device),
                remedy="use a device with more memory, or a smaller dtype",
            )
        self.budget = self.budget.times(0.5)
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()

    def _kept(self) -> _Retained | None:
        """What the last call left, unless the weights have changed since."""
        kept = self._retained
        return kept if kept and kept.weights == _weights_stamp(self.model) else None


def _gather(logits_NV: Tensor, rows_E: Ints, targets_E: Ints) -> tuple[Tensor, Tensor]:
    """Of each entry the log-probability (float32), and whether its target is the argmax.

    The argmax is that of the log-softmax in the model's own dtype, as lm-eval takes it: its
    rounding can make ties, of which the first counts.
    """
    device = logits_NV.device
    step = _ROWS_A_SOFTMAX if device.type == "cpu" else _ROWS_A_SOFTMAX_ON_DEVICE
    log_probs = [torch.empty(0, device=device)]
    hits = [torch.empty(0, dtype=torch.bool, device=device)]
    for first in range(0, len(logits_NV), step):
        # Entries stand in the order of their rows, so each piece of rows has a run of entries.
        start, stop = np.searchsorted(rows_E, [first, first + step])
        rows = torch.from_numpy(rows_E[start:stop] - first).to(device)
        targets = torch.from_numpy(targets_E[start:stop]).to(device)
        log_prob_RV = torch.log_softmax(logits_NV[first : first + step], -1, dtype=torch.float32)
        log_probs.append(log_prob_RV[rows, targets])
        hits.append(_is_argmax(log_prob_RV.to(logits_NV.dtype), rows, targets))
    return torch.cat(log_probs), torch.cat(hits)


def _is_argmax(score_RV: Tensor, rows: Tensor, targets: Tensor) -> Tensor:
    """Of each (row, target) whether it is the argmax; of equal scores the first counts."""
    if score_RV.device.type != "cpu":
        return score_RV.argmax(-1)[rows] == targets
    # On a CPU argmax takes seven times as long as amax: it is asked only where it may say yes.
    hits = score_RV[rows, targets] == score_RV.amax(-1)[rows]
    best = score_RV[rows[hits]].argmax(-1)
    hits[hits.clone()] = best == targets[hits]
    return hits


def _summed(stream: Stream, log_prob_E: NDArray[np.float64], hit_E: NDArray[np.float64]) -> Scores:
    count = stream.num_requests
    owners = stream.entry_request_E
    return Scores(
        loglikelihood=np.bincount(owners, weights=log_prob_E, minlength=count).astype(np.float64),
        greedy=np.bincount(owners, weights=1.0 - hit_E, minlength=count) == 0,
    )


def _first(key_values: KeyValues, length: int) -> KeyValues:
    return [(key[:, :, :length], value[:, :, :length]) for key, value in key_values]


def _weights_stamp(model: Any) -> int:
    """Changes when a weight is written to or replaced, so that no key outlives its weights."""
    return hash(tuple((each.data_ptr(), each._version) for each in model.parameters()))


def is_out_of_memory(error: RuntimeError) -> bool:
    """True for want of memory: PyTorch has a class for a device's, only words for the host's."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or (
        "out of memory" in text or "can't allocate memory" in text
    )


# ------------------------------------------------------------------
# Counted work: what scoring must compute at the least, and what was computed.


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
