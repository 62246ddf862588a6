"""Speeds in a report: a slower machine is no slower model."""

from __future__ import annotations

import io

from factories_report import a_report, a_run, as_markdown, rendered, results, rows
from rich.console import Console

from pyr.report import machine_readable, terminal


def timed(name: str, *, peak: float, rate: float, memory: float = 2e9):
    def row(value: float, metric: str, unit: str, direction: str = "higher"):
        values = [value] if metric in ("matrix_peak", "peak_memory") else [value, value * 1.001] * 4
        return rows(values, task="throughput", metric=metric, unit=unit, direction=direction)

    records = [
        *row(peak, "matrix_peak", "FLOP/s"),
        *row(rate, "decode_tokens_per_second", "tokens/s"),
        *row(rate / peak * 1e9, "prefill_matrix_share", ""),
        *row(memory, "peak_memory", "bytes", "lower"),
        *rows([1.0, 0.0] * 50),
    ]
    return results(a_run(name, environment={"device": "cpu", "processor": "Model 7"}), records)


def words_of(report) -> dict[str, str]:
    return {each.metric: each.word for each in report.measures if each.task == "throughput"}


def test_speeds_of_equal_machines_are_compared() -> None:
    report = a_report(timed("new", peak=300e9, rate=20.0), timed("old", peak=310e9, rate=40.0))
    words = words_of(report)
    assert words["decode_tokens_per_second"] == "worse"
    assert words["matrix_peak"] == "not judged"
    assert not any("equally fast" in note.text for note in report.notes)


def test_speeds_of_unequal_machines_get_no_word_but_memory_does() -> None:
    slower = timed("new", peak=107e9, rate=20.0, memory=2.4e9)
    report = a_report(slower, timed("old", peak=315e9, rate=40.0))
    words = words_of(report)
    assert words.pop("peak_memory") == "worse"
    assert set(words.values()) == {"not judged"}
    (note,) = [note.text for note in report.notes if "equally fast" in note.text]
    assert "matrix products 107.0 GFLOP/s, 315.0 for the baseline" in note
    assert note in rendered(report) and "Speed on cpu, Model 7" in rendered(report)


def test_the_headline_counts_no_speed() -> None:
    report = a_report(timed("new", peak=300e9, rate=20.0), timed("old", peak=300e9, rate=40.0))
    assert words_of(report)["decode_tokens_per_second"] == "worse"
    assert report.banner.words == {"no change seen": 1}
    assert not any("throughput" in reason for reason in report.banner.reasons)


def test_large_units_are_readable_in_every_form() -> None:
    report = a_report(timed("new", peak=300e9, rate=20.0), timed("old", peak=300e9, rate=40.0))
    stream = io.StringIO()
    terminal.show(report, Console(file=stream, width=200))
    markdown = as_markdown(report)
    assert "| matrix peak | not judged | 0.0 | 300.0 | 300.0 | GFLOP/s |" in markdown
    assert "300.0 GFLOP/s" in stream.getvalue() and "GFLOP/s" in rendered(report)
    assert markdown.index("### What changed") < markdown.index("### Throughput")
    assert "300000000000" in machine_readable.as_json(report)
