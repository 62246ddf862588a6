"""The items that tasks bring with them, as a suite would ask them: known without a model."""

from __future__ import annotations

import json
from pathlib import Path

from pyr import content
from pyr.probes import fixed_order
from pyr.schema import Suite


def clusters(suite: Suite) -> dict[str, list[str]]:
    """The cluster of every item, in the order asked, of the suite's tasks with an `items.jsonl`.

    An item that stands alone has "".
    """
    found = {}
    for probe in suite.probes:
        folders = [content.path("evals/tasks"), *map(Path, probe.options.get("include_path", ()))]
        for task in probe.tasks:
            files = [folder / task / "items.jsonl" for folder in folders]
            for file in filter(Path.is_file, files):
                found[task] = _clusters(file, suite.seed, task)
    return found


def _clusters(file: Path, seed: int, task: str) -> list[str]:
    documents = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    order = fixed_order(seed, task, len(documents))
    return [str(documents[number].get("cluster", "")) for number in order]
