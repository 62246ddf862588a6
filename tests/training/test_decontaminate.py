from __future__ import annotations

import json
from pathlib import Path

from pyr.schema import ProbeSpec, Suite
from pyr.training import decontaminate

ITEM = "the quick brown fox jumps over the lazy dog and then it runs away again"


def test_a_text_with_a_test_item_is_found_whatever_its_case_and_marks(tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text(json.dumps({"question": ITEM, "choices": ["a", "b"]}) + "\n")
    blocked = decontaminate.grams_of([file])
    assert decontaminate.shares_a_gram(f"Before. {ITEM.upper()}! After.", blocked)
    assert not decontaminate.shares_a_gram(ITEM.replace("lazy", "old"), blocked)


def test_twelve_words_are_not_enough() -> None:
    assert list(decontaminate.grams(" ".join(ITEM.split()[:12]))) == []
    assert len(list(decontaminate.grams(" ".join(ITEM.split()[:14])))) == 2


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
    blocked = decontaminate.suite_grams([suite], None)
    assert blocked == frozenset(decontaminate.grams(ITEM))


def test_the_tasks_of_the_project_are_blocked() -> None:
    assert len(decontaminate.shipped_grams()) > 1000
