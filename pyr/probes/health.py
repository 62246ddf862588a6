"""The health probe: is this a checkpoint that can be measured at all? Runs first, in seconds.

Every check is one record: value 1 if sound, 0 if broken, the item names what was looked at and
`responses` says what is wrong with it. A census, not a sample: there is no interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyr import content
from pyr.probes import Chunk, Subject
from pyr.schema import Record, Strict

_ROUND_TRIP = (
    "Plain words, and a full stop.",
    "0123456789 3.14 1,000,000 2026-11-22",
    "a == 3 + 4 and b != c - d * e / f % g",
    "def f(x):\n    return {'k': [x, -1]}\n",
    'He said "no" (twice); she didn\'t.',
)
"""Digits and operators that are registered as special tokens vanish in decoding."""


class HealthOptions(Strict):
    """The health probe takes no options."""


class Health:
    """Finite weights, and a tokenizer that gives back what it was given."""

    def __init__(self, options: dict[str, Any], *, name: str) -> None:
        self.name = name
        content.check(options, HealthOptions, where=f"probe '{name}'")

    def run(self, subject: Subject) -> Iterator[Chunk]:
        """One chunk with every check."""
        if not subject.earlier.empty:
            return
        subject.progress(self.name, 0, 1)
        checks = [*_finite(subject), *_round_trip(subject.lm.tokenizer)]
        yield Chunk(records=checks)
        subject.progress(self.name, 1, 1)


def _finite(subject: Subject) -> Iterator[Record]:
    for name, tensor in _tensors(subject):
        if not tensor.is_floating_point():
            continue
        wrong = int((~tensor.isfinite()).sum())
        fault = f"{wrong} of {tensor.numel()} values are not finite" if wrong else ""
        yield _check("finite", name, fault)


def _tensors(subject: Subject) -> Iterator[tuple[str, Any]]:
    """Every tensor of the checkpoint by name: from the files where they can be read one by one."""
    folder = Path(subject.checkpoint.path)
    if subject.checkpoint.format != "safetensors":
        yield from subject.lm.model.named_parameters()
        return
    from safetensors import safe_open

    for file in sorted(folder.glob("model*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in sorted(tensors.keys()):
                yield name, tensors.get_tensor(name)


def _round_trip(tokenizer: Any) -> Iterator[Record]:
    for text in _ROUND_TRIP:
        ids = tokenizer.encode(text, add_special_tokens=False)
        back = tokenizer.decode(ids, skip_special_tokens=True)
        # SentencePiece tokenizers may put a space before the first word: no loss.
        lost = back.strip() != text.strip()
        yield _check("tokenizer_round_trip", repr(text), f"comes back as {back!r}" if lost else "")


def _check(metric: str, item: str, fault: str) -> Record:
    return Record(
        task="health",
        metric=metric,
        item=item,
        value=0.0 if fault else 1.0,
        unit="check",
        responses=fault,
    )
