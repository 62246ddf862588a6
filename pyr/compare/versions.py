"""Whether results that were measured under other versions of the libraries can be compared.

`evals/versions.yaml` says for each library how far two versions may differ, and what a change of
it can change.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, RootModel

from pyr import content
from pyr.schema import Run, Strict

TABLE = "evals/versions.yaml"


class Library(Strict):
    """One library's row of the table."""

    decides: Literal["answers", "grading"]
    same: int = Field(ge=0, le=3)
    """Leading numbers in which two versions must agree."""
    why: str


class Table(RootModel[dict[str, Library]]):
    """The file of versions."""


@dataclass(frozen=True, slots=True)
class Change:
    """A library whose two versions do not leave results comparable."""

    library: str
    before: str
    now: str
    decides: Literal["answers", "grading"]

    def __str__(self) -> str:
        return f"{self.library} {self.before} (now {self.now})"


@functools.cache
def table() -> Mapping[str, Library]:
    """The libraries that decide scores, by the names of their distributions."""
    return content.read(content.path(TABLE), Table).root


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """What keeps results of two environments from standing beside each other; nothing if none.

    before, now: `Run.environment`. One that states no version of a library, as of an imported run,
    says nothing of it.
    """
    old, new = before.get("versions", {}), now.get("versions", {})
    found = []
    for name, library in table().items():
        versions = old.get(name, ""), new.get(name, "")
        if all(versions) and not _same(*versions, library.same):
            found.append(Change(name, *versions, library.decides))
    return found


def between(candidate: Run, baseline: Run) -> str:
    """Why two runs cannot be compared for their versions, in words; empty if they can."""
    found = changes(baseline.environment, candidate.environment)
    if not found:
        return ""
    return f"the baseline was measured under {', '.join(map(str, found))}"


def _same(before: str, now: str, count: int) -> bool:
    """Whether the first `count` numbers agree; versions without numbers must be equal."""
    if before == now or count == 0:
        return True
    numbers = [re.findall(r"\d+", version.partition("+")[0])[:count] for version in (before, now)]
    return bool(numbers[0]) and numbers[0] == numbers[1]
