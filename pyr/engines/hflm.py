"""lm-eval's HFLM with what it lacks for models that other people made. Imports lm-eval.

Its scores are HFLM's at batch size 1, which is lm-eval's default, whatever the batch: a model
whose scores depend on the padding of a batch is asked one request at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lm_eval.models import huggingface
from lm_eval.models.huggingface import HFLM
from numpy.typing import NDArray

from pyr.engines import tensors
from pyr.engines.loading import Loaded
from pyr.errors import MeasureError

_PROBE_TOKENS = 12
LENGTH_RULES = ("dynamic", "longrope")
"""Rotary embeddings that depend on the longest sequence of a batch: HFLM's scores do too."""


class ReferenceLM(HFLM):  # type: ignore[misc]
    """HFLM without a logits cache or bars, and with words for what it crashes on.

    Its logits cache scores wrongly when two requests share a context but split it at different
    points (lm_eval/models/huggingface.py, `_loglikelihood_tokens`).
    """

    def __init__(self, loaded: Loaded, **options: Any) -> None:
        huggingface.tqdm = _quiet_bar
        super().__init__(
            pretrained=loaded.model,
            tokenizer=loaded.tokenizer,
            backend=loaded.backend,
            logits_cache=False,
            **options,
        )
        if loaded.backend == "seq2seq":
            # HFLM compares with this class; it sets it only where it chooses the backend itself.
            import transformers

            self.AUTO_MODEL_CLASS = transformers.AutoModelForSeq2SeqLM
        self.loaded = loaded
        self.notes = list(loaded.notes)

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
        texts = ([*context, *continuation] for _, context, continuation in requests)
        refuse_tokens_without_rows(self.model, self.tokenizer, texts)
        answers: list[tuple[float, bool]] = super()._loglikelihood_tokens(
            requests, disable_tqdm, override_bs
        )
        return answers

    def tok_batch_encode(self, strings: list[str], **options: Any) -> Any:
        """As HFLM's. Raises MeasureError for a token that the model has no row for."""
        ids, mask = super().tok_batch_encode(strings, **options)
        refuse_tokens_without_rows(self.model, self.tokenizer, ids.tolist())
        return ids, mask


def reference_lm(loaded: Loaded, batch_size: int) -> ReferenceLM:
    """HFLM over a loaded model, at batch size 1 where a batch would change its scores."""
    alone = loaded.backend == "causal" and padding_counts(loaded.model)
    lm = ReferenceLM(loaded, batch_size=1 if alone else batch_size)
    if alone:
        lm.notes.append(
            "scores of this model depend on the padding of a batch: requests are asked one by one"
        )
    return lm


def padding_counts(model: Any) -> bool:
    """Whether what stands behind a text changes the model's logits on it.

    HFLM pads on the right without a mask. That is harmless for a causal model alone: BERT and its
    like, without `is_decoder`, look at the padding.
    """
    import torch

    config = model.config.get_text_config(decoder=True)
    rule = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rule in LENGTH_RULES:
        return True
    count = min(_PROBE_TOKENS, tensors.num_rows(model))
    ids_L = torch.arange(count, device=model.device)
    padded_L = torch.cat([ids_L, torch.zeros_like(ids_L)])
    with torch.inference_mode():
        alone_LV = model(ids_L[None]).logits[0].float()
        beside_LV = model(padded_L[None]).logits[0, :count].float()
    # Rounding differs with the shape of a batch; in bfloat16 by a hundredth of the spread.
    spread = 0.001 if model.dtype == torch.float32 else 0.1
    return bool((alone_LV - beside_LV).abs().max() > spread * alone_LV.std())


def refuse_tokens_without_rows(
    model: Any, tokenizer: Any, texts: Iterable[Sequence[int] | NDArray[Any]]
) -> None:
    """MeasureError if the embedding has no row for a token that is to be scored or continued."""
    rows = tensors.num_rows(model)
    added = tokenizer.get_added_vocab().values()
    if max([len(tokenizer) - 1, *added]) < rows:
        return
    for ids in texts:
        highest = int(max(ids, default=0))
        if highest >= rows:
            raise MeasureError(
                f"the tokenizer writes {tokenizer.convert_ids_to_tokens(highest)!r} as token "
                f"{highest}, and the embedding has {rows} rows.",
                where=tokenizer.decode([int(each) for each in ids if each < rows][:40]),
                remedy="leave the task out, or resize the embedding and train the row",
            )


def _quiet_bar(*arguments: Any, **options: Any) -> Any:
    """A tqdm that shows nothing: HFLM's rolling scorer shows one whatever it is told."""
    import tqdm

    return tqdm.tqdm(*arguments, **{**options, "disable": True})
