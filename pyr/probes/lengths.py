"""How long an answer may get where the task asks for more than the model can hold.

lm-eval's HFLM cuts the prompt to the context less the answer (0.4.13, `generate_until`): IFEval's
1,280 tokens leave a model of 1,400 only 120 tokens of prompt, and one of 1,280 stops it with an
assertion. Here the answer gives way to the prompt until it has half of the context.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Bounded(Protocol):
    """An LM that knows what it can hold, as lm-eval's HFLM does."""

    @property
    def max_length(self) -> int:
        """Tokens of prompt and answer together."""
        ...

    def tok_encode(self, string: str) -> Sequence[int]:
        """Token ids of a prompt."""
        ...


def allowed(prompt: int, asked: int, context: int) -> int:
    """Tokens that an answer gets of `asked`, after a prompt of so many in such a context."""
    return min(asked, max(context - prompt, context // 2))


def fit(lm: Bounded, instances: Iterable[Any]) -> str:
    """Shorten the answers asked for to what their prompts leave; says so in a sentence, or ''.

    instances: lm-eval Instances; only those of generate_until are looked at, and changed in place.
    """
    from lm_eval.models.utils import normalize_gen_kwargs

    shortened, total, most = 0, 0, 0
    for instance in instances:
        if instance.request_type != "generate_until":
            continue
        prompt, options = instance.args
        asked = int(normalize_gen_kwargs(dict(options), 256)["max_gen_toks"])
        total, most = total + 1, max(most, asked)
        # A token stands for a byte at least, so that a short prompt need not be encoded.
        if len(prompt.encode()) + asked < lm.max_length:
            continue
        given = allowed(len(lm.tok_encode(prompt)), asked, lm.max_length)
        if given < asked:
            instance.arguments = (prompt, {**options, "max_gen_toks": given})
            shortened += 1
    if not shortened:
        return ""
    return (
        f"{shortened} of {total} answers could not get the {most} tokens that the task asks for: "
        f"the model holds {lm.max_length} tokens, prompt and answer together"
    )
