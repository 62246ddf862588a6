"""Where an answer ends, and the text that it then is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

# More than any text needs: some decoders drop or merge what stands first in a window.
_MARGIN_TOKENS = 4


class Stops:
    """The ends of one kind of request: token ids, and strings looked for in the decoded tail."""

    def __init__(self, tokenizer: Any, until: Sequence[str], eos_ids: Iterable[int]) -> None:
        special = {
            str(token): number
            for number, token in tokenizer.added_tokens_decoder.items()
            if token.special
        }
        self.tokenizer = tokenizer
        self.until = [word for word in until if word]
        self.ids = frozenset(eos_ids) | {special[word] for word in self.until if word in special}
        # A special token ends the answer by its id; as mere letters it is cut from the text below.
        self._strings = [word for word in self.until if word not in special]
        self._mixed = [w for w in self._strings if any(name in w for name in special)]
        # A token holds at least one byte, so that a word spans at most as many tokens as bytes.
        longest = max((len(word.encode()) for word in self._strings), default=0)
        self._window = longest + _MARGIN_TOKENS

    def reached(self, tokens: Sequence[int]) -> bool:
        """Whether the last of these generated tokens ends the answer."""
        if tokens[-1] in self.ids:
            return True
        if not self._strings or not self._found(tokens[-self._window :]):
            return False
        # The whole text decides: the first token of a window may decode to something else alone.
        return self._found(tokens)

    def _found(self, tokens: Sequence[int]) -> bool:
        text = self._kept(tokens)
        return any(word in text for word in self._strings)

    def text(self, tokens: Sequence[int]) -> str:
        """The answer as lm-eval's HFLM gives it: no special tokens, cut at the first stop.

        HFLM looks for stops after it has removed the special tokens, and so never finds one that
        holds a special token (huggingface.py, `generate_until`); here such a stop cuts too.
        """
        from lm_eval.models.utils import postprocess_generated_text

        text = self._cut(tokens) if self._mixed else self._plain(tokens)
        return str(postprocess_generated_text(text, self.until, None))

    def _plain(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def _cut(self, tokens: Sequence[int]) -> str:
        """The text before the first stop that holds a special token."""
        whole = self._kept(tokens)
        ends = [whole.find(word) for word in self._mixed if word in whole]
        if not ends:
            return self._plain(tokens)
        end, count = min(ends), len(tokens)
        while count and len(before := self._kept(tokens[:count])) > end:
            count -= 1
        before = self._kept(tokens[:count])
        return self._plain(tokens[:count]) + whole[len(before) : end]

    def _kept(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=False))
