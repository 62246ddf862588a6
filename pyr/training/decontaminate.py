"""The test items that training data must not hold: of the project's tasks and a recipe's suites."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from pyr import content
from pyr.data.ngrams import Blocked, texts_in
from pyr.schema import Suite


def blocked_items(suites: Iterable[Suite], mirror: Path | None) -> Blocked:
    """Return the runs of words of the shipped items, and of every item that the suites ask.

    Also of the items that a suite's limit leaves out.
    mirror: read hub data sets from here; None asks the hub or its cache.
    Raises DataMissing if one is not there: better now than when the first phase is judged.
    """
    from pyr.probes import tasks

    texts: list[str] = []
    for file in sorted(content.path("evals/tasks").glob("*/items.jsonl")):
        # Not splitlines: an item may hold a line separator of Unicode.
        for line in filter(None, file.read_text(encoding="utf-8").split("\n")):
            texts += texts_in(json.loads(line))
    asked: set[str] = set()
    for probe in chain.from_iterable(suite.probes for suite in suites):
        if probe.probe != "harness":
            continue
        options = tasks.HarnessOptions.model_validate(probe.options)
        manager = tasks.task_manager(options)
        for spec in tasks.expand(manager, options):
            if spec.sources and spec.name not in asked:
                asked.add(spec.name)
                task = tasks.load(manager, spec, tasks.place(spec, mirror))
                texts += texts_in(list(task.eval_docs))
    return Blocked.of(texts)
