"""A task of sums, and how the tests of the probes run and read it."""

from __future__ import annotations

from typing import Any

from pyr.engines import EngineSettings
from pyr.engines.model_reuse import ModelReuse
from pyr.probes import Chunk, Subject
from pyr.probes.harness import Harness
from pyr.schema import Checkpoint, Record

QUESTIONS = [f"What is {a} plus {b}?" for a in range(4) for b in range(5)]
TASK = """
task: sums
dataset_path: pyr-tests/sums
output_type: multiple_choice
training_split: train
test_split: test
doc_to_text: "Q: {{question}}\\nA:"
doc_to_choice: "{{options}}"
doc_to_target: gold
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
"""
GENERATION = """
task: says
dataset_path: pyr-tests/sums
output_type: generate_until
test_split: test
doc_to_text: "Q: {{question}}\\nA:"
doc_to_target: "{{options[gold]}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 8, do_sample: false}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""


def run(options: dict[str, Any], subject: Subject) -> list[Chunk]:
    return list(Harness(options, name="harness").run(subject))


def records(chunks: list[Chunk]) -> list[Record]:
    """The records of all chunks, revised ones in the place of those they revise."""
    found: dict[tuple[str, str, str], Record] = {}
    for chunk in chunks:
        for record in (*chunk.records, *chunk.revised):
            found[record.task, record.metric, record.item] = record
    return list(found.values())


def score(found: list[Record], task: str, metric: str) -> float:
    chosen = [record for record in found if (record.task, record.metric) == (task, metric)]
    return sum(r.value * r.weight for r in chosen) / sum(r.weight for r in chosen)


class Holding(ModelReuse):
    """Opens nothing: every checkpoint's model is the one that it holds."""

    def __init__(self, lm: Any) -> None:
        super().__init__()
        self.lm = lm

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> Any:
        return self.lm
