"""How a report writes things: numbers, intervals, counts; and text of unknown origin made harmless.

A model's output, a prompt or a task's name may hold anything. `harmless` replaces what a terminal
or a browser would act on (control codes, text-direction overrides, broken surrogates) by visible
signs. Quoting for HTML, XML or Markdown is left to the writer of each.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")

_SHORT = {"bytes": "B", "bytes/s": "B/s", "FLOP/s": "FLOP/s"}
_ALIKE = 0.1
"""The two sides of an interval may differ by this share of one to be written as one."""
PLUS_MINUS = "\u00b1"

# Unicode's bidirectional controls (UAX 9), line and paragraph separators, byte-order mark,
# interlinear annotations, non-characters: unseen, yet they change what is seen around them.
_UNSEEN = [
    *range(0x7F, 0xA0),
    0x061C,
    *range(0x200E, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xD800, 0xE000),
    0xFEFF,
    *range(0xFFF9, 0xFFFC),
    0xFFFE,
    0xFFFF,
    *range(0xE0000, 0xE0080),
]
_TERMS = {
    "acc": "share of items whose right choice is the likeliest",
    "acc_norm": "share of items whose right choice is the likeliest by character",
    "gold_bpb": "bits per byte of the right answer, less is better",
    "bits_per_byte": "how surprised the model is by a text, less is better",
    "item noise": "the bounds hold what other items would change, not the next checkpoint",
    "paired": "both checkpoints were asked the same items, and the items' differences count",
}
_VISIBLE = {
    **{code: chr(0x2400 + code) for code in range(32) if code not in (9, 10)},
    **{code: f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}" for code in _UNSEEN},
}


def visible(text: str) -> str:
    """The text with every control character but newline and tab shown as a sign (ESC as U+241B)."""
    return text.translate(_VISIBLE)


def one_line(text: str) -> str:
    """The text made visible and put on one line."""
    return " ".join(visible(text).split())


def harmless(value: Value) -> Value:
    """The same value with `visible` applied to every string inside dataclasses and containers."""
    made: Value = _harmless(value)
    return made


def _harmless(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return type(value)(**{name: _harmless(inner) for name, inner in fields.items()})
    if isinstance(value, Mapping):
        return {_harmless(key): _harmless(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_harmless(inner) for inner in value)
    return value


def shorten(text: str, limit: int, *, keep: str = "head") -> str:
    """At most about `limit` characters, saying how many were left out; keep: head or tail."""
    if len(text) <= limit:
        return text
    left_out = f"[{len(text) - limit:,} characters left out]"
    return f"{text[:limit]} {left_out}" if keep == "head" else f"{left_out} {text[-limit:]}"


def decimals(*values: float | None) -> int:
    """How many decimals a row of numbers wants: three below 10, none from 1000 on."""
    known = [abs(value) for value in values if value is not None and math.isfinite(value)]
    largest = max(known, default=0.0)
    return 3 if largest < 10 else 2 if largest < 100 else 1 if largest < 1000 else 0


def number(value: float | None, places: int | None = None) -> str:
    """A number for reading: ``0.317``, ``29.95``, ``1,234``; a dash if there is none."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    places = decimals(value) if places is None else places
    shown = f"{value:,.{places}f}" if abs(value) < 1e12 else f"{value:.3g}"
    return shown.removeprefix("-") if float(shown.replace(",", "")) == 0 else shown


def signed(value: float | None, places: int | None = None) -> str:
    """A difference, always with its sign: ``+0.019``."""
    shown = number(value, places)
    zero = shown.strip("0.") == ""
    return shown if value is None or zero or shown == "-" or value < 0 else f"+{shown}"


def margin(half_width: float | None, places: int = 3) -> str:
    """The half width of an interval; more decimals than asked rather than a false ``0.000``."""
    if half_width is None or not math.isfinite(half_width):
        return ""
    while half_width > 0 and places < 6 and float(f"{half_width:.{places}f}") == 0:
        places += 1
    return number(half_width, places)


def reach(
    value: float,
    low: float | None,
    high: float | None,
    places: int = 3,
    *,
    sign: bool = False,
) -> str:
    """An interval beside its value: a plus-minus where both sides are alike, else both ends."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    half = (high - low) / 2
    if half <= 0:
        return ""
    if abs((high - value) - (value - low)) <= _ALIKE * half:
        return f"{PLUS_MINUS}{margin(half, places)}"
    # Ends of a narrow interval would read alike.
    while places < 6 and number(low, places) == number(high, places):
        places += 1
    shown = signed if sign else number
    return f"{shown(low, places)} to {shown(high, places)}"


def count(amount: int | None) -> str:
    """A count with thousands apart; a dash where the source does not state it."""
    return f"{amount:,}" if amount else "-"


def clustered(n: int, clusters: int) -> str:
    """``in 41 clusters``; empty where every item stands for itself, or nothing is known of it."""
    return f"in {clusters:,} clusters" if 0 < clusters < n else ""


def large(amount: float) -> str:
    """Tokens or steps as people say them: ``132B``, ``25.2M``, ``512``."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(amount) >= size:
            return f"{amount / size:.3g}{letter}"
    return f"{amount:g}"


def prefix(unit: str, *values: float) -> tuple[float, str]:
    """What to divide by, and the unit then: ``(1e9, "GB")``; only for bytes and operations."""
    letter = _SHORT.get(unit)
    largest = max(map(abs, values), default=0.0)
    if letter is None or not math.isfinite(largest):
        return 1.0, unit
    for size, before in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if largest >= size:
            return size, before + letter
    return 1.0, unit


def glossary(sentences: Iterable[str]) -> str:
    """What the terms in these sentences mean, in one line; of those alone that occur."""
    said = " ".join(sentences)
    return "; ".join(
        f"{term}: {meaning}"
        for term, meaning in _TERMS.items()
        if re.search(rf"(?<![a-z_]){re.escape(term)}(?![a-z_])", said)
    )


def short_digest(text: str) -> str:
    """A sha256 by its first twelve digits; any other text as it is."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1", text)


def plural(amount: int, one: str, many: str = "") -> str:
    """``1 measure``, ``3 measures``."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"
