from __future__ import annotations

import json
from pathlib import Path

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


def test_the_tasks_of_the_project_are_blocked() -> None:
    assert len(decontaminate.shipped_grams()) > 1000
