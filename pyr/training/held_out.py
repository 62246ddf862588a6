"""What no phase trains on: test items of other tasks, and its own held-out documents."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from pyr import content
from pyr.data import shards
from pyr.data.ngrams import Blocked, texts_in
from pyr.schema import Suite
from pyr.training.prepare import Prepared
from pyr.training.recipe import Curriculum


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


# ------------------------------------------------------------------ held-out documents as tasks

_TASK = """\
task: {name}
custom_dataset: !function utils.load
output_type: loglikelihood_rolling
test_split: test
num_fewshot: 0
doc_to_text: ""
doc_to_target: text
metric_list:
  - metric: bits_per_byte
    aggregation: bits_per_byte
    higher_is_better: false
metadata:
  version: 1.0
"""
_LOAD = """\
import json
from pathlib import Path

import datasets


def load(**_):
    lines = (Path(__file__).parent / "items.jsonl").read_text(encoding="utf-8").split("\\n")
    return {"test": datasets.Dataset.from_list([json.loads(line) for line in lines if line])}
"""


def write_tasks(
    curriculum: Curriculum, prepared: dict[str, list[Prepared]], folder: Path
) -> list[str]:
    """Write a task ``held_out_<phase>`` for every phase with held-out documents; return the names.

    The forgetting matrix is these tasks, asked of the model after every phase.
    """
    names = []
    for phase in curriculum.phases:
        own = [part for part in prepared.get(phase.name, []) if "/" not in part.name]
        whole = sum(part.weight for part in own)
        items: list[dict[str, str]] = []
        for part in own:
            texts = shards.read_manifest(part.folder)["held_out_texts"]
            items += texts[: round(phase.held_out_items * part.weight / whole)]
        if not items:
            continue
        name = f"held_out_{phase.name}"
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.yaml").write_text(_TASK.format(name=name), encoding="utf-8")
        (place / "utils.py").write_text(_LOAD, encoding="utf-8")
        body = "".join(json.dumps(item) + "\n" for item in items)
        (place / "items.jsonl").write_text(body, encoding="utf-8")
        names.append(name)
    return names
