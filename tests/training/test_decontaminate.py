from __future__ import annotations

import json
import random
from pathlib import Path

from pyr.schema import ProbeSpec, Suite
from pyr.training import decontaminate

ITEM = "the quick brown fox jumps over the lazy dog and then it runs away again"


def test_a_text_with_a_test_item_is_found_whatever_its_case_and_marks(tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text(json.dumps({"question": ITEM, "choices": ["a", "b"]}) + "\n")
    blocked = decontaminate.blocked_of([file])
    assert decontaminate.shares_a_gram(f"Before. {ITEM.upper()}! After.", blocked)
    assert not decontaminate.shares_a_gram(ITEM.replace("lazy", "old"), blocked)


def runs(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[at : at + 13]) for at in range(len(words) - 12)}


def test_a_run_is_found_wherever_it_stands_and_nothing_else_is() -> None:
    """Beside a plain comparison of all runs, on texts of three words, which share much."""
    draw = random.Random(1)
    made = [" ".join(draw.choices("abc", k=draw.randrange(10, 40))) for _ in range(400)]
    items, texts = made[:100], [f"{text} {draw.choice(made)[:30]}" for text in made[100:]]
    thirteen = " ".join(ITEM.split()[:13])
    items.append(thirteen)
    texts += [f"{'x ' * before}{thirteen}{' x' * (before % 3)}" for before in range(20)]
    blocked = decontaminate.Blocked.of(items)
    known = set().union(*map(runs, items))
    found = [decontaminate.shares_a_gram(text, blocked) for text in texts]
    assert found == [not known.isdisjoint(runs(text)) for text in texts]
    assert 0.1 < sum(found[:300]) / 300 < 0.9


def test_what_is_blocked_is_the_same_in_another_process() -> None:
    blocked = decontaminate.Blocked.of([ITEM])
    assert decontaminate.Blocked.from_bytes(blocked.to_bytes()) == blocked


def test_twelve_words_are_not_enough() -> None:
    assert decontaminate.Blocked.of([" ".join(ITEM.split()[:12])]) == decontaminate.Blocked()
    assert len(decontaminate.Blocked.of([" ".join(ITEM.split()[:14])]).grams) == 2


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
    blocked = decontaminate.suite_items([suite], None)
    assert blocked == decontaminate.Blocked.of([ITEM])


def test_the_tasks_of_the_project_are_blocked() -> None:
    assert len(decontaminate.shipped_items().grams) > 1000
