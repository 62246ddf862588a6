"""The way of a measure through the checkpoints."""

from __future__ import annotations

import dataclasses

from factories_report import a_run, results, rows

from pyr.report.trail import follow


def test_a_phase_that_counts_no_tokens_comes_behind_the_one_it_started_from() -> None:
    names = {"b-one": (1, "01"), "c-two": (2, "02"), "a-dpo": (2, "03")}
    runs = [
        dataclasses.replace(a_run(name, step=step), started=f"2026-01-{day}")
        for name, (step, day) in names.items()
    ]
    found = follow([results(run, rows([1.0, 0.0])) for run in reversed(runs)])
    [way] = found.points.values()
    assert [point.checkpoint for point in way] == list(names)
