"""lm-eval's HFLM with what it lacks for models that other people made. Imports lm-eval.

What it gives is what HFLM gives at batch size 1, which is lm-eval's default. HFLM pads a batch: on
the right without a mask to score, on the left with one to generate. Where that changes what a model
says, as BERT's without `is_decoder` and RWKV's, requests are asked one by one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lm_eval.models import huggingface
from lm_eval.models.huggingface import HFLM
from numpy.typing import NDArray

from pyr.engines import tensors
from pyr.engines.loading import Loaded
from pyr.errors import MeasureError

_LENGTHS_TRIED = 4
_PROMPT_TRIED = 64
_TOKENS_TRIED = 8
_ALONE = "padding changes what this model says: requests are asked one by one"
_GENERATION_ERRORS = (
    RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError,
)  # fmt: skip
LENGTH_RULES = ("dynamic", "longrope")
"""Rotary embeddings that depend on the longest sequence of a batch: HFLM's scores do too."""


class ReferenceLM(HFLM):  # type: ignore[misc]
    """HFLM without a logits cache or bars, and with words for what it crashes on.

    Its logits cache scores wrongly when two requests share a context but split it at different
    points (lm_eval/models/huggingface.py, `_loglikelihood_tokens`).
    """

    batch_size_per_gpu: int

    def __init__(self, loaded: Loaded, **options: Any) -> None:
        huggingface.tqdm = _quiet_bar
        super().__init__(
            pretrained=loaded.model,
            tokenizer=loaded.tokenizer,
            backend=loaded.backend,
            logits_cache=False,
            **options,
        )
        self.loaded = loaded
        self.notes = list(loaded.notes)
        self._looks_behind = False

    @property
    def max_length(self) -> int:
        """As HFLM's; XLNet's config says -1 for texts of any length."""
        length = int(super().max_length)
        return length if length > 0 else self._DEFAULT_MAX_LENGTH

    @functools.cached_property
    def lacks_rows(self) -> bool:
        """Whether the tokenizer has tokens that the embedding has no row for."""
        return _highest_id(self.tokenizer) >= tensors.num_rows(self.model)

    def lacking_row(self, ids: Sequence[int]) -> str:
        """What is wrong with ids that hold a token without a row; empty for all others."""
        if not self.lacks_rows:
            return ""
        return _lacking_row(self.tokenizer, tensors.num_rows(self.model), ids)

    @functools.cached_property
    def cannot_generate(self) -> str:
        """Why transformers cannot let this model go on from a text; empty where it can."""
        return _generation_fault(self.model)

    def tok_decode(self, tokens: Any, skip_special_tokens: bool = True) -> Any:
        """As HFLM's; where there is no end token, there is no text of it to stop at."""
        if tokens is None:
            return None
        return super().tok_decode(tokens, skip_special_tokens=skip_special_tokens)

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[Any, Sequence[int], Sequence[int]]],
        disable_tqdm: bool = False,
        override_bs: int | None = None,
    ) -> list[tuple[float, bool]]:
        texts = [[*context, *continuation] for _, context, continuation in requests]
        refuse_tokens_without_rows(self.model, self.tokenizer, texts)
        # Some decoders begin with the last token of the padded answer, as MBart's.
        with self._one_by_one(self.backend == "seq2seq" or self._padding_counts(texts)):
            answers: list[tuple[float, bool]] = super()._loglikelihood_tokens(
                requests, disable_tqdm, override_bs
            )
        return answers

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """As HFLM's, one by one where padding on the left changes what the model says."""
        _end_rows(self.model, self.tokenizer)
        prompts = sorted((self.tok_encode(request.args[0]) for request in requests), key=len)
        # An encoder-decoder may write as much as the padded prompt is long, and what was asked for.
        alone = self.backend == "seq2seq"
        if not alone and self.batch_size > 1 and len(prompts) > 1:
            shortest, most = prompts[0][:_PROMPT_TRIED], len(prompts[-1])
            length = min(most, 2 * _PROMPT_TRIED)
            pad = self.tokenizer.pad_token_id
            alone = left_padding_counts(self.model, shortest, length, pad=pad)
        with self._one_by_one(alone):
            said: list[str] = super().generate_until(requests, disable_tqdm)
        return said

    def _padding_counts(self, texts: Sequence[Sequence[int]]) -> bool:
        """Whether padding changes scores, as far as texts of these lengths tell.

        A model may look at its padding only where there is much of it, or in texts of some length.
        """
        if not self._looks_behind and self.batch_size > 1:
            whole = sorted((text[-self.max_length :] for text in texts if text), key=len)
            for text in whole[:: max(1, len(whole) // _LENGTHS_TRIED)]:
                self._looks_behind |= padding_counts(self.model, text, len(whole[-1]))
        return self._looks_behind

    @contextmanager
    def _one_by_one(self, alone: bool) -> Iterator[None]:
        batch_size = self.batch_size_per_gpu
        if alone:
            self.batch_size_per_gpu = 1
            if _ALONE not in self.notes:
                self.notes.append(_ALONE)
        try:
            yield
        finally:
            self.batch_size_per_gpu = batch_size

    def tok_batch_encode(self, strings: list[str], **options: Any) -> Any:
        """As HFLM's. Raises MeasureError for a token that the model has no row for."""
        ids, mask = super().tok_batch_encode(strings, **options)
        refuse_tokens_without_rows(self.model, self.tokenizer, ids.tolist())
        return ids, mask


def _generation_fault(model: Any) -> str:
    import torch

    ids_BL = torch.tensor([[0, 1]], device=model.device)
    try:
        model.generate(
            ids_BL, attention_mask=torch.ones_like(ids_BL), max_new_tokens=3, pad_token_id=0
        )
    except _GENERATION_ERRORS as error:
        said = " ".join(str(error).split()[:40]) or type(error).__name__
        return f"{type(model).__name__} cannot go on from a text: {said}"
    return ""


def _end_rows(model: Any, tokenizer: Any) -> None:
    """Let a row of a batch end at the tokenizer's end token, as it does when it is alone.

    HFLM looks for that token in the text, and lets a row go on until the last of its batch ends.
    """
    config = model.generation_config
    declared = config.eos_token_id
    listed = declared if isinstance(declared, list) else [declared]
    ends = {number for number in [*listed, tokenizer.eos_token_id] if number is not None}
    config.eos_token_id = sorted(ends) or None


def padding_counts(model: Any, text: Sequence[int] = range(12), length: int = 24) -> bool:
    """Whether a text's logits change when zeros stand behind it, to a whole of `length` tokens."""
    import torch

    config = model.config.get_text_config(decoder=True)
    rule = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rule in LENGTH_RULES:
        return True
    ids_L = torch.tensor(list(text), device=model.device)
    padded_L = torch.cat([ids_L, ids_L.new_zeros(length - len(ids_L))])
    with torch.inference_mode():
        alone_LV = model(ids_L[None]).logits[0]
        beside_LV = model(padded_L[None]).logits[0, : len(ids_L)]
    return _differ(model, alone_LV, beside_LV)


def left_padding_counts(model: Any, prompt: Sequence[int], length: int, *, pad: int) -> bool:
    """Whether what is said after a prompt changes when masked pads make it `length` tokens long.

    A model that cannot generate says so by itself, when it is asked to.
    """
    import torch

    ids_L = torch.tensor(list(prompt) or [0], device=model.device)
    pads_L = ids_L.new_full((max(1, length - len(ids_L)),), pad)
    mask_L = torch.cat([torch.zeros_like(pads_L), torch.ones_like(ids_L)])
    options = {"max_new_tokens": _TOKENS_TRIED, "do_sample": False, "pad_token_id": pad}
    options |= {"output_logits": True, "return_dict_in_generate": True}
    try:
        alone = model.generate(ids_L[None], attention_mask=torch.ones_like(ids_L)[None], **options)
        padded_L = torch.cat([pads_L, ids_L])
        beside = model.generate(padded_L[None], attention_mask=mask_L[None], **options)
    except _GENERATION_ERRORS:
        return True
    steps = zip(alone.logits, beside.logits, strict=False)
    return len(alone.logits) != len(beside.logits) or any(
        _differ(model, first, second) for first, second in steps
    )


def _differ(model: Any, first: Any, second: Any) -> bool:
    """Whether logits differ by more than rounding, which is as the spread of the logits is."""
    import torch

    spread = 0.001 if model.dtype == torch.float32 else 0.1
    return bool((first.float() - second.float()).abs().max() > spread * first.float().std())


def refuse_tokens_without_rows(
    model: Any, tokenizer: Any, texts: Iterable[Sequence[int] | NDArray[Any]]
) -> None:
    """MeasureError if the embedding has no row for a token that is to be scored or continued."""
    rows = tensors.num_rows(model)
    if _highest_id(tokenizer) < rows:
        return
    for ids in texts:
        if why := _lacking_row(tokenizer, rows, ids):
            raise MeasureError(
                why,
                where=tokenizer.decode([int(each) for each in ids if each < rows][:40]),
                remedy="leave the task out, or resize the embedding and train the row",
            )


def _highest_id(tokenizer: Any) -> int:
    return int(max([len(tokenizer) - 1, *tokenizer.get_added_vocab().values()]))


def _lacking_row(tokenizer: Any, rows: int, ids: Sequence[int] | NDArray[Any]) -> str:
    highest = int(max(ids, default=0))
    if highest < rows:
        return ""
    token = tokenizer.convert_ids_to_tokens(highest)
    return f"the tokenizer writes {token!r} as token {highest}, and the embedding has {rows} rows"


def _quiet_bar(*arguments: Any, **options: Any) -> Any:
    """A tqdm that shows nothing: HFLM's rolling scorer shows one whatever it is told."""
    import tqdm

    return tqdm.tqdm(*arguments, **{**options, "disable": True})
