from __future__ import annotations

import json
from pathlib import Path

from pyr.data.ngrams import Blocked
from pyr.schema import ProbeSpec, Suite
from pyr.training import held_out

ITEM = "the quick brown fox jumps over the lazy dog and then it runs away again"


def test_items_that_a_suite_takes_from_a_data_set_are_blocked(tmp_path: Path) -> None:
    items = tmp_path / "items.jsonl"
    items.write_text("".join(json.dumps({"text": text}) + "\n" for text in (ITEM, "short")))
    (tmp_path / "own.yaml").write_text(
        f"task: own\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {items}}}}}\n"
        "test_split: test\noutput_type: loglikelihood_rolling\ndoc_to_text: ''\n"
        "doc_to_target: '{{text}}'\nmetric_list: [{metric: bits_per_byte}]\n"
    )
    options = {"include_path": [str(tmp_path)], "tasks": ["own", "pyr_facts"], "limit": 1}
    suite = Suite(name="s", probes=[ProbeSpec(probe="harness", options=options)])
    blocked = held_out.blocked_items([suite], None)
    shipped = held_out.blocked_items([], None)
    assert blocked.grams - shipped.grams == Blocked.of([ITEM]).grams


def test_the_tasks_of_the_project_are_blocked() -> None:
    assert len(held_out.blocked_items([], None).grams) > 1000
