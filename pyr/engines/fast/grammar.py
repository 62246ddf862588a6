"""Answers held to a grammar: tokens that it does not allow are ruled out before one is chosen.

A request asks for it by the generation option `structural_tag`, in the form of xgrammar (Dong et
al. 2024, arXiv 2411.15100), which is an optional package.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from torch import Tensor

from pyr.errors import ContentError, UsageError


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
