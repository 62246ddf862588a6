"""What guessing would score."""

from __future__ import annotations

import pandas as pd
import pytest
from factories_stats import records, results

from pyr.compare import chances, compare


def documents(**choices):
    rows = [(task, written) for task, many in choices.items() for written in many]
    return pd.DataFrame(rows, columns=["task", "choices"])


def test_chance_is_the_mean_of_one_over_the_choices_of_tasks_and_groups():
    run = results(
        records([1.0, 0.0], task="mmlu_a", group="mmlu"),
        records([1.0], task="mmlu_b", group="mmlu"),
        records([1.0], task="mmlu_a", metric="bits_per_byte"),
        records([1.0], task="open"),
    )
    asked = documents(
        mmlu_a=['["x", "y"]', '["x", "y", "z", "w"]'], mmlu_b=['["x", "y"]'], open=["[]"]
    )
    found = chances(asked, compare(run, None))
    assert found == {
        "mmlu/acc": pytest.approx((0.5 + 0.25 + 0.5) / 3),
        "mmlu_a/acc": pytest.approx(0.375),
        "mmlu_b/acc": pytest.approx(0.5),
        "open/acc": 0.0,
    }


def test_without_documents_no_chance_is_known():
    assert chances(documents(), []) == {}
