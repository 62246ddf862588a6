"""How a tokenizer cuts what code and numbers are made of: digits, blanks, keywords, operators.

Nothing here needs texts.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyr.tokenization.forms import Tokenizer

OPERATORS = (
    "+ - * / // % @ ** = == != < > <= >= += -= *= /= //= %= **= & | ^ ~ << >> &= |= ^= <<= >>= -> "
    ":= ... ( ) [ ] { } : , . ; ():"
).split()
_DIGITS = "31415926535"
SAMPLES: Mapping[str, str] = {
    "a number": _DIGITS,
    "decimals": "x = 3.14159, y = -0.001",
    "a date": "on 2024-01-31 at 09:30",
    "thousands": "1,234,567 people",
    "two spaces": "a  b",
    "four spaces": "a    b",
    "sixteen spaces": "a" + " " * 16 + "b",
    "a tab": "a\tb",
    "an empty line": "one\n\ntwo",
    "three line ends": "one\n\n\ntwo",
    "CR LF": "one\r\ntwo",
    "indented by 4": "if x:\n    return y\n",
    "indented by 8": "    if x:\n        return y\n",
    "indented by 12": "        if x:\n            return y\n",
    "a call": "self.assertEqual(len(items), 10)",
    "a JSON object": '{"name": "get_weather", "arguments": {"city": "Oslo"}}',
}

NASTY = (
    " leading and trailing ",
    "  two  spaces   three\t\ttabs\n\n\n",
    "CR LF\r\nand CR alone\r",
    "caf\u00e9 cafe\u0301 \u212b \ufb01ne",
    "\u0663\u0664 \u00bd \u00b2 \u2163 1\u00a0000",
    "\u4f60\u597d\uff0c\u4e16\u754c \u3053\u3093\u306b\u3061\u306f \ud55c\uad6d\uc5b4",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1f3\U0001f1f4 \u2764\ufe0f",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u200f\u202e",
    "\x00\x01\x7f\x85\u2028\ufeff\ufffd\U0010ffff",
    "<unk> <s> </s> [CLS] <0x41> \u2581low",
    "a == 3 + 4 != 10 -> b // 2",
)
"""Texts that tokenizers are known to change."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What the samples show."""

    keywords: Sequence[str]
    """Python keywords that are one token, after a space and at the start of a line."""
    operators: Sequence[str]
    """Python operators and brackets that are one token, after a letter or a space."""
    digits_at_most: int
    """The most digits of a long number that share a token."""
    indents: Mapping[int, int]
    """Tokens of a line end with so many spaces of indentation, before a word."""
    cuts: Mapping[str, Sequence[str]]
    """The tokens of each sample, written with escapes."""

    @property
    def num_keywords(self) -> str:
        """``33 of 35``."""
        return f"{len(self.keywords)} of {len(keyword.kwlist)}"

    @property
    def num_operators(self) -> str:
        """``40 of 47``."""
        return f"{len(self.operators)} of {len(OPERATORS)}"


def anatomy(tokenizer: Tokenizer) -> Anatomy:
    """How this tokenizer cuts the samples."""

    def whole(part: str, *texts: str) -> list[bool]:
        return [_whole(tokenizer, part, text) for text in texts]

    digits = [len(re.findall(rb"\d", piece)) for piece in cut(tokenizer, _DIGITS)]
    cuts = {}
    for name, text in SAMPLES.items():
        cuts[name] = list(map(shown, cut(tokenizer, text)))
    return Anatomy(
        keywords=[w for w in keyword.kwlist if all(whole(w, f"x {w} y", f"x\n{w} y"))],
        operators=[sign for sign in OPERATORS if any(whole(sign, f"x {sign} y", f"x{sign}y"))],
        digits_at_most=max(digits),
        indents={width: _indent(tokenizer, width) for width in (4, 8, 12, 16)},
        cuts=cuts,
    )


def _whole(tokenizer: Tokenizer, word: str, text: str) -> bool:
    """True if the word is one token of the text; blanks may stand in front of it."""
    return any(piece.strip() == word.encode() for piece in cut(tokenizer, text))


def _indent(tokenizer: Tokenizer, width: int) -> int:
    """Tokens that begin before the word: a line end and its indentation."""
    place = total = 0
    for piece in cut(tokenizer, "x\n" + " " * width + "return"):
        total += 1 <= place < 1 + width or b"\n" in piece
        place += len(piece)
    return total


def cut(tokenizer: Tokenizer, text: str) -> list[bytes]:
    """The bytes of each token of a text, without a space that the tokenizer put in front."""
    table = tokenizer.token_bytes
    pieces = [table[number] or b"" for number in tokenizer.encode(text)]
    if pieces and not text.startswith(" ") and pieces[0].startswith(b" "):
        pieces[0] = pieces[0][1:]
    return [piece for piece in pieces if piece] if b"" in pieces[:1] else pieces


def shown(piece: bytes) -> str:
    """A token as it can be printed: escapes for control codes and for parts of letters."""
    try:
        text = piece.decode()
    except UnicodeDecodeError:
        return "".join(f"\\x{byte:02x}" for byte in piece)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
