"""How the next token is drawn: transformers' own arithmetic, and one generator for each answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyr.errors import ContentError

# In the order in which transformers applies them (generation/utils.py, `_get_logits_processor`),
# with the value that means "off" there. The first two also shape a greedy answer.
_PENALTIES = {
    "repetition_penalty": ("RepetitionPenaltyLogitsProcessor", 1.0),
    "no_repeat_ngram_size": ("NoRepeatNGramLogitsProcessor", 0),
}
_WARPERS = {
    "temperature": ("TemperatureLogitsWarper", 1.0),
    "top_k": ("TopKLogitsWarper", 0),
    "top_p": ("TopPLogitsWarper", 1.0),
    "min_p": ("MinPLogitsWarper", None),
    "typical_p": ("TypicalLogitsWarper", 1.0),
}
_MEANINGLESS = {"num_beams": 1, "num_return_sequences": 1, "use_cache": True}
_TOP_K = 50


@dataclass(frozen=True, slots=True)
class Sampler:
    """The steps from logits to the next token. Greedy without penalties needs none."""

    processors: tuple[Any, ...]
    draws: bool

    def choose(self, logits_1V: Tensor, tokens: Sequence[int], dice: torch.Generator) -> int:
        """The next token after `tokens` (prompt and answer so far), from float32 logits."""
        ids_1L = torch.tensor([tokens], device=logits_1V.device)
        scores_1V = logits_1V
        for processor in self.processors:
            scores_1V = processor(ids_1L, scores_1V)
        if not self.draws:
            return int(scores_1V.argmax())
        cumulative_V = scores_1V[0].softmax(0).double().cumsum(0).cpu()
        # One number for each token, whatever the device: the draw must not depend on the batch.
        threshold = torch.rand(1, generator=dice, dtype=torch.float64) * cumulative_V[-1]
        return min(int(torch.searchsorted(cumulative_V, threshold, right=True)), _last(scores_1V))


def _last(scores_1V: Tensor) -> int:
    """The highest token that is still possible: rounding must not draw a token of weight zero."""
    return int(torch.isfinite(scores_1V[0]).nonzero()[-1])


def sampler(options: Mapping[str, Any]) -> Sampler | None:
    """The sampler for a request's options, `do_sample` and all; None for plain greedy.

    What the checkpoint's generation_config.json says of sampling and penalties is not asked:
    two checkpoints must be decoded alike. As in transformers, sampling without `top_k` keeps 50.
    Raises ContentError for an option that has no meaning here.
    """
    import transformers

    draws = bool(options["do_sample"])
    _check(options, draws=draws)
    table = {**_PENALTIES, **_WARPERS} if draws else _PENALTIES
    settings = {"top_k": _TOP_K, **options} if draws else options
    processors = tuple(
        getattr(transformers, class_name)(settings[name])
        for name, (class_name, off) in table.items()
        if settings.get(name) not in (None, off)
    )
    return Sampler(processors, draws) if processors or draws else None


def _check(options: Mapping[str, Any], *, draws: bool) -> None:
    unknown = {
        name
        for name, value in options.items()
        if name not in {"do_sample", *_PENALTIES, *_WARPERS} and value != _MEANINGLESS.get(name)
    }
    if unknown:
        raise ContentError(
            f"generation options that the fast engine does not know: {', '.join(sorted(unknown))}",
            where="generation_kwargs",
            remedy="drop them, or use --engine reference",
        )
    if draws and not options.get("temperature", 0.0) > 0:
        raise ContentError(
            "sampling at temperature 0.",
            where="generation_kwargs",
            remedy="set a temperature above 0, or do_sample: false",
        )


def dice(seed: int, context: str, options: Mapping[str, Any], repeat: int) -> torch.Generator:
    """The generator of one answer: the same for the same request, whatever else is asked."""
    text = json.dumps([seed, context, options, repeat], sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
