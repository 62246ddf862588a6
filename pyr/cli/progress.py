"""Progress on stderr: a bar on a terminal, a line a task elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID

    from pyr.evaluate import Shown


@contextmanager
def shown(label: str) -> Iterator[Shown]:
    """Show progress under `label` while the block runs, and what the library logs."""
    # Not imported at the top: `pyr ls` would load what only an evaluation needs.
    from pyr.evaluate import Shown

    if not sys.stderr.isatty():
        note(label)
        with _logged(note):
            yield Shown(_lines(), note)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    console.print(label, highlight=False, markup=False)
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:
        known: dict[str, TaskID] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in known:
                known[what] = bars.add_task(what, total=total)
            bars.update(known[what], completed=done, total=total)

        def say(text: str) -> None:
            console.print(text, highlight=False, markup=False)

        with _logged(say):
            yield Shown(progress, say)


class _Said(logging.Handler):
    """Log records as sentences."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(f"  {record.getMessage()}")


@contextmanager
def _logged(say: Callable[[str], None]) -> Iterator[None]:
    """Show what the library logs while the block runs: the engine's self-check, a fallback."""
    log, handler = logging.getLogger("pyr"), _Said(say)
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]


def note(text: str) -> None:
    """A line on stderr, at once."""
    print(text, file=sys.stderr, flush=True)


def _lines() -> Callable[[str, int, int], None]:
    """A progress that prints a line when a task is done, and every 20 s while it is not."""
    started: dict[str, float] = {}
    spoke = time.monotonic()

    def progress(what: str, done: int, total: int) -> None:
        nonlocal spoke
        now = time.monotonic()
        since = started.setdefault(what, now)
        if done >= total:
            note(f"  {what}: {total} done, {now - since:.0f} s")
        elif now - spoke > 20:
            note(f"  {what}: {done} of {total}")
        else:
            return
        spoke = now

    return progress
