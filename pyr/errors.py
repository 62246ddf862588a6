"""The errors a user can cause, each saying what is wrong, where, and what to do.

    PyrError                exit code 2, three lines on stderr, never a traceback
    +-- UsageError          a wrong word on the command line
    +-- ContentError        a suite, gate, task or recipe file that cannot be used
    +-- CheckpointError     a path that is no checkpoint, or a damaged one
    +-- DataMissing         a data set that is not on this machine
    +-- StoreError          a results folder that cannot be read or written
    +-- MeasureError        a measurement that would be wrong or meaningless

Catch them all with ``except PyrError as error: print(error.text())``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PyrError(Exception):
    """What is wrong, where it was found, and what to do about it."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def text(self) -> str:
        """At most three lines: what, where, remedy; each on a line of its own."""
        parts = [self.what, self.where, self.remedy]
        lines = [" ".join(part.split()) for part in parts if part]
        return "\n".join([lines[0], *(f"  {line}" for line in lines[1:])])


class UsageError(PyrError):
    """A wrong word or combination on the command line."""


class ContentError(PyrError):
    """A suite, gate, task or recipe file that is missing or wrong."""


class CheckpointError(PyrError):
    """A path that is no checkpoint, or a checkpoint that is damaged."""


class DataMissing(PyrError):
    """A data set that a task needs and this machine does not hold."""


class StoreError(PyrError):
    """A results folder or run that cannot be read or written."""


class MeasureError(PyrError):
    """A measurement that came out wrong: not a number, no items, a clock that stood still."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean: a, b?`` with the nearest of `known`, or an empty string."""
    near = difflib.get_close_matches(word, sorted(set(known)), n=3, cutoff=0.5)
    return f"did you mean: {', '.join(near)}?" if near else ""
