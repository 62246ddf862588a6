"""A phase's log: a line has its step, its loss and the seconds of one step. Free of torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pyr.files import write

LOG = "log.jsonl"


def read_log(file: Path) -> list[dict[str, Any]]:
    """The lines of a phase's log; a last line that was cut off is left out."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


def keep_lines(file: Path, step: int) -> None:
    """Cut the log back to what had been logged at `step`."""
    if not file.is_file():
        return
    kept = [line for line in read_log(file) if line["step"] <= step]
    write(file, "".join(json.dumps(line) + "\n" for line in kept))
