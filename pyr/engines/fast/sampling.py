"""How the next token is drawn: transformers' own arithmetic, and one generator for each answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pyr.errors import ContentError, UsageError

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


# ------------------------------------------------------------------
# Answers held to a grammar: tokens that it does not allow are ruled out before one is chosen.
#
# A request asks for it by the generation option `structural_tag`, in the form of xgrammar (Dong et
# al. 2024, arXiv 2411.15100), which is an optional package.


class Constraint:
    """The grammar of one answer, and how far the answer has come in it."""

    def __init__(self, matcher: Any, bitmask: Any) -> None:
        self._matcher = matcher
        self._bitmask = bitmask
        self._num_seen = 0

    def allow(self, logits_1V: Tensor, said: Sequence[int]) -> Tensor:
        """The logits after the tokens `said`, minus infinity where the grammar allows none.

        said: the answer so far; it may only grow from one call to the next.
        """
        import xgrammar

        for token in said[self._num_seen :]:
            self._matcher.accept_token(token)
        self._num_seen = len(said)
        self._matcher.fill_next_token_bitmask(self._bitmask)
        allowed_1V = logits_1V.clone()
        xgrammar.apply_token_bitmask_inplace(allowed_1V, self._bitmask.to(logits_1V.device))
        return allowed_1V


class Grammars:
    """Compiles grammars for one tokenizer, each distinct one once."""

    def __init__(self, tokenizer: Any, num_logits: int, eos_ids: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._num_logits = num_logits
        self._eos_ids = eos_ids
        self._known: dict[str, Any] = {}

    def constraint(self, structural_tag: Mapping[str, Any]) -> Constraint:
        """A fresh constraint for one answer.

        Raises UsageError without xgrammar, ContentError for a tag that it cannot compile.
        """
        xgrammar = _xgrammar()
        # Not sorted: the order of a schema's properties is the order that they are asked for in.
        written = json.dumps(structural_tag)
        if written not in self._known:
            try:
                self._known[written] = self._compiler.compile_structural_tag(written)
            except (RuntimeError, ValueError) as error:
                raise ContentError(
                    f"a grammar cannot be compiled: {error}", where="structural_tag"
                ) from error
        matcher = xgrammar.GrammarMatcher(self._known[written])
        return Constraint(matcher, xgrammar.allocate_token_bitmask(1, self._num_logits))

    @cached_property
    def _compiler(self) -> Any:
        xgrammar = _xgrammar()
        info = xgrammar.TokenizerInfo.from_huggingface(
            self._tokenizer, vocab_size=self._num_logits, stop_token_ids=sorted(self._eos_ids)
        )
        return xgrammar.GrammarCompiler(info, max_threads=1)


def _xgrammar() -> Any:
    try:
        import xgrammar
    except ImportError as error:
        raise UsageError(
            "answers held to a grammar need xgrammar, which is not installed.",
            remedy="pip install 'pyr-lm[grammar]'",
        ) from error
    return xgrammar
