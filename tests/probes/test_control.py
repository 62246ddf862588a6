"""The counterfactual control: contexts swapped between items, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories_probes import Holding, records, run

from pyr.errors import ContentError
from pyr.probes import Subject

ASKED: list[tuple[str, str]] = []


class Reader:
    """An LM that finds a choice likely if its letters stand in the context: it reads."""

    def __init__(self, reads: bool) -> None:
        self.reads = reads
        self.tokenizer_name = "none"

    def loglikelihood(self, requests, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        ASKED.extend(each.args for each in requests)
        return [(self._likely(*each.args), True) for each in requests]

    def _likely(self, context: str, choice: str) -> float:
        if not self.reads:
            return -float(len(choice) * 7 % 11) - len(choice)
        wanted = ["one", "two", "three", "ten"][_number(context) % 4]
        return -1.0 if choice.strip() == wanted else -9.0


def _number(context: str) -> int:
    question = context.split("What is ")[-1]
    first, _, second = question.partition(" plus ")
    return int(first) * 5 + int(second.partition("?")[0])


def asked(subject: Subject, folder, *, reads: bool):
    ASKED.clear()
    options = {
        "tasks": [{"task": "sums", "num_fewshot": 0}],
        "include_path": [str(folder)],
        "swap_contexts": True,
    }
    return records(run(options, replace(subject, models=Holding(Reader(reads)))))


def mean(found, metric: str) -> float:
    values = [record.value for record in found if record.metric == metric]
    assert len(values) == 12
    return sum(values) / len(values)


def test_a_model_that_reads_loses_what_the_question_gave_it(in_mirror: Subject, sums) -> None:
    found = asked(in_mirror, sums[1], reads=True)
    assert mean(found, "acc") == 1
    assert mean(found, "swapped_acc") < 0.5
    assert mean(found, "reads_acc") == pytest.approx(1 - mean(found, "swapped_acc"))


def test_a_model_that_looks_only_at_the_choices_loses_nothing(in_mirror: Subject, sums) -> None:
    found = asked(in_mirror, sums[1], reads=False)
    assert mean(found, "reads_acc") == 0
    assert mean(found, "acc") == mean(found, "swapped_acc")


def test_every_context_goes_to_another_item_with_its_own_choices(in_mirror: Subject, sums) -> None:
    asked(in_mirror, sums[1], reads=True)
    own, other = ASKED[:48], ASKED[48:]
    assert [choice for _, choice in own] == [choice for _, choice in other]
    assert all(mine != theirs for (mine, _), (theirs, _) in zip(own, other, strict=True))
    assert {context for context, _ in own} == {context for context, _ in other}


def test_the_real_items_score_as_they_do_without_the_control(in_mirror: Subject, sums) -> None:
    options = {"tasks": ["sums"], "include_path": [str(sums[1])], "limit": 6}
    plain = records(run(options, in_mirror))
    both = records(run({**options, "swap_contexts": True}, in_mirror))
    prefixes = ("swapped_", "reads_")
    assert [r for r in both if not r.metric.startswith(prefixes)] == plain
    assert len(both) == 3 * len(plain)


def test_a_task_without_contexts_has_no_control(subject: Subject) -> None:
    with pytest.raises(ContentError, match="no one context"):
        run({"tasks": ["pyr_bpb_prose"], "limit": 3, "swap_contexts": True}, subject)
