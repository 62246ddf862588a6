"""`FastLM`: lm-eval's HFLM with the scoring replaced; encodings and answers are HFLM's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from lm_eval.models.utils import _add_special_kwargs, has_bos_prefix
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from numpy.typing import NDArray

from pyr.engines.fast import generate
from pyr.engines.fast.plan import Budget, Request
from pyr.engines.fast.score import Scorer, Scores
from pyr.engines.hflm import ReferenceLM, refuse_tokens_without_rows
from pyr.engines.loading import Loaded
from pyr.errors import MeasureError

Tokens = NDArray[np.int32]

_PAIRS_A_BLOCK = 1024
"""Requests encoded at once; neighbours share their contexts."""


class FastLM(ReferenceLM):
    """Scores as HFLM with `logits_cache=False` does, each distinct token prefix computed once."""

    def __init__(
        self,
        loaded: Loaded,
        *,
        budget: Budget | None = None,
        batch_size: int = 8,
        max_length: int | None = None,
    ) -> None:
        super().__init__(loaded, batch_size=batch_size, max_length=max_length)
        self.scorer = Scorer(loaded.model, budget)

    # ------------------------------------------------------------------ lm-eval's methods

    def loglikelihood(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """For each (context, continuation) its log-likelihood and whether greedy would say it.

        Raises MeasureError naming the request if a continuation has no token or a logit is NaN.
        """
        return self.loglikelihood_encoded(self.encode_pairs([each.args for each in requests]))

    def encode_pairs(
        self, pairs: Sequence[tuple[str, str]]
    ) -> list[tuple[tuple[str, str], Tokens, Tokens]]:
        """Each (context, continuation) with the ids of both, as lm-eval splits them.

        Neighbours with the same context share its ids.
        """
        return [encoded for block in _blocks(pairs) for encoded in self._encode_block(block)]

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """The log-likelihood of each whole text, in lm-eval's windows; 0 for an empty text."""
        texts = [instance.args[0] for instance in requests]
        encoded = self.encode(texts)
        refuse_tokens_without_rows(self.model, self.tokenizer, encoded.values())
        windows: list[Request] = []
        owners: list[int] = []
        for index, text in enumerate(texts):
            for window in get_rolling_token_windows(
                token_list=encoded[text].tolist(),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            ):
                context, continuation = make_disjoint_window(window)
                windows.append(self._request(context, continuation))
                owners.append(index)
        scores = self.scorer.score(windows)
        self._check_not_nan(scores, windows, [f"text: {texts[each][:80]!r}" for each in owners])
        parts: list[list[float]] = [[] for _ in texts]
        for owner, loglikelihood in zip(owners, scores.loglikelihood.tolist(), strict=True):
            parts[owner].append(loglikelihood)
        answers = [math.fsum(part) for part in parts]
        for text, answer in zip(texts, answers, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), answer)
        return answers

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """The greedy or sampled answer to each (context, options); see `generate.py`."""
        answers = generate.generate_until(
            self.model,
            self.tokenizer,
            requests,
            max_length=self.max_length,
            add_bos_token=self.add_bos_token,
        )
        for instance, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("generate_until", instance.args, answer)
        return answers

    def generate_ended(self, requests: Sequence[Any]) -> list[tuple[str, bool]]:
        """The answers of `generate_until`, each with whether a stop ended it and not its length."""
        found = generate.answers(
            self.model,
            self.tokenizer,
            requests,
            max_length=self.max_length,
            add_bos_token=self.add_bos_token,
        )
        return [
            (each.stops.text(each.tokens), bool(each.tokens) and each.stops.reached(each.tokens))
            for each in found
        ]

    def loglikelihood_encoded(
        self, encoded: Sequence[tuple[Any, Sequence[int] | Tokens, Sequence[int] | Tokens]]
    ) -> list[tuple[float, bool]]:
        """The answers of `loglikelihood` to requests encoded by `encode_pairs`."""
        for pair, context, continuation in encoded:
            if not len(context):
                raise _no_context(pair)
            if not 0 < len(continuation) <= self.max_length:
                raise _bad_continuation(pair, len(continuation), self.max_length)
        ids = (part for _, *parts in encoded for part in parts)
        refuse_tokens_without_rows(self.model, self.tokenizer, ids)
        asked = [self._request(context, continuation) for _, context, continuation in encoded]
        scores = self.scorer.score(asked)
        self._check_not_nan(scores, asked, [_named(pair) for pair, _, _ in encoded])
        answers = list(zip(scores.loglikelihood.tolist(), scores.greedy.tolist(), strict=True))
        for (pair, _, _), answer in zip(encoded, answers, strict=True):
            if pair is not None:
                self.cache_hook.add_partial("loglikelihood", pair, answer)
        return answers

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[Any, Sequence[int], Sequence[int]]],
        disable_tqdm: bool = False,
        override_bs: int | None = None,
    ) -> list[tuple[float, bool]]:
        return self.loglikelihood_encoded(requests)

    def _check_not_nan(
        self, scores: Scores, asked: Sequence[Request], names: Sequence[str]
    ) -> None:
        """Raise MeasureError naming a request whose logits are NaN.

        A NaN reaches all that goes through the attention with it (0 * NaN is NaN), so the
        suspects are asked again, each alone.
        """
        suspects = np.flatnonzero(np.isnan(scores.loglikelihood)).tolist()
        if not suspects:
            return
        alone = (each for each in suspects if self._is_nan(asked[each]))
        raise MeasureError(
            f"a logit is NaN ({len(suspects)} of {len(names)} requests were scored beside it).",
            where=names[next(alone, suspects[0])],
            remedy="the weights or the arithmetic overflow: try --set dtype=float32",
        )

    def _is_nan(self, request: Request) -> bool:
        return bool(np.isnan(self.scorer.score([request]).loglikelihood[0]))

    # ------------------------------------------------------------------ encoding

    def encode(
        self, texts: Sequence[str], add_special_tokens: bool | None = None
    ) -> Mapping[str, Tokens]:
        """What HFLM's `tok_encode` gives for each text, every distinct text encoded once."""
        distinct = list(dict.fromkeys(texts))
        prefix = self.tokenizer.decode(self.prefix_token_id)
        with_prefix = [
            add_special_tokens is None and has_bos_prefix(text, prefix) for text in distinct
        ]
        found: dict[str, Tokens] = {}
        for has_prefix in (False, True):
            chosen = [
                text for text, has in zip(distinct, with_prefix, strict=True) if has == has_prefix
            ]
            if not chosen:
                continue
            special = _add_special_kwargs(add_special_tokens, self.add_bos_token)
            if has_prefix:
                special = {"add_special_tokens": False}
            ids = self.tokenizer(
                chosen, return_attention_mask=False, return_token_type_ids=False, **special
            )["input_ids"]
            found |= {
                text: np.asarray(each, np.int32) for text, each in zip(chosen, ids, strict=True)
            }
        return found

    def _encode_block(
        self, pairs: Sequence[tuple[str, str]]
    ) -> list[tuple[tuple[str, str], Tokens, Tokens]]:
        """lm-eval's split of each pair: by length, after the context's trailing space moved over.

        Source: `TemplateLM._encode_pair` and `TemplateLM.loglikelihood`. Where a merge crosses the
        split, the sequence is not the encoding of the whole text; so it is there, and so here.
        """
        bare = self.encode([rest for context, rest in pairs if not context], False)
        split = {pair: _move_space(*pair) for pair in pairs if pair[0]}
        filled = [text for context, rest in split.values() for text in (context, context + rest)]
        texts = self.encode(filled)
        encoded = []
        for pair in pairs:
            if pair[0]:
                context, rest = split[pair]
                before = texts[context]
                encoded.append((pair, before, texts[context + rest][len(before) :]))
            else:
                encoded.append((pair, *self._after_prefix(bare[pair[1]])))
        return encoded

    def _after_prefix(self, continuation: Tokens) -> tuple[Tokens, Tokens]:
        """An empty context stands for the prefix token, unless the text itself starts with it."""
        if len(continuation) and continuation[0] == self.prefix_token_id:
            return continuation[:1], continuation[1:]
        return np.asarray([self.prefix_token_id], np.int32), continuation

    def _request(
        self, context: Sequence[int] | Tokens, continuation: Sequence[int] | Tokens
    ) -> Request:
        """Cut from the left to what the model can take, the last token being no input."""
        whole = np.concatenate([np.asarray(context, np.int32), np.asarray(continuation, np.int32)])
        return Request(whole[-(self.max_length + 1) :], len(continuation))


def _blocks(pairs: Sequence[tuple[str, str]]) -> Iterator[Sequence[tuple[str, str]]]:
    for start in range(0, len(pairs), _PAIRS_A_BLOCK):
        yield pairs[start : start + _PAIRS_A_BLOCK]


def _move_space(context: str, continuation: str) -> tuple[str, str]:
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def _named(pair: Any) -> str:
    if pair is None:
        return "a request given as tokens"
    context, continuation = pair
    return f"context: {context[-80:]!r}, continuation: {continuation[:80]!r}"


def _no_context(pair: Any) -> MeasureError:
    return MeasureError(
        "a context has no token: nothing to predict the first token of the answer from.",
        where=_named(pair),
        remedy="make the context empty (the prefix token stands in) or give it a word",
    )


def _bad_continuation(pair: Any, length: int, limit: int) -> MeasureError:
    if length:
        what = f"a continuation has {length} tokens, more than the model's {limit}."
        remedy = "leave the item out, or use a model with a longer context"
    else:
        what = "a continuation has no token of its own: the tokenizer merges it into the context."
        remedy = "change the task's target_delimiter so that context and answer part at a space"
    return MeasureError(what, where=_named(pair), remedy=remedy)
