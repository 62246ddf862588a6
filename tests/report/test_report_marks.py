"""The marks in tables and the charts: to the right is better, and nothing is squeezed to a dot."""

from __future__ import annotations

import re

import pytest
from factories_report import a_finding, a_report, a_run, a_verdict, results, rows

from pyr.compare import Point
from pyr.gate.spec import Rule
from pyr.report import charts


def compared(*, direction: str = "higher", change: float = -2.0, **verdict):
    """A measure of 100 items that changed by about `change`, and its scales."""
    old = [float(n % 7) for n in range(100)]
    new = [value + change + (n % 3) / 10 for n, value in enumerate(old)]
    runs = [
        results(a_run(name), rows(values, metric="score", direction=direction))
        for name, values in (("new", new), ("old", old))
    ]
    (measure,) = a_report(*runs, **verdict).measures
    return measure, charts.scales([measure])


@pytest.mark.parametrize(
    ("direction", "change", "side"),
    [("higher", -2.0, "left"), ("higher", 2.0, "right"), ("lower", 2.0, "left")],
)
def test_worse_lies_on_the_left_whatever_the_direction(direction, change, side) -> None:
    mark = charts.difference(*compared(direction=direction, change=change))
    assert (mark.high < 50) == (side == "left")
    assert mark.low <= mark.at <= mark.high


def test_the_margin_of_a_rule_is_marked_on_the_worse_side() -> None:
    verdict = a_verdict(
        a_finding("fail", "arc/score", rule=Rule(measure="arc/score", not_worse_by=0.5))
    )
    for direction in ("higher", "lower"):
        mark = charts.difference(*compared(direction=direction, verdict=verdict))
        assert 0 < mark.limit < 50


def test_an_interval_beyond_the_scale_is_cut_and_says_so() -> None:
    measure, scale = compared()
    mark = charts.difference(measure, {name: reach / 10 for name, reach in scale.items()})
    assert mark.cut and mark.low >= 0


def test_the_widest_that_changed_sets_the_scale_and_not_many_small_tasks() -> None:
    def run_of(name: str, share: int):
        small = [row for n in range(6) for row in rows([0.0, 1.0], task=f"small{n}")]
        return results(a_run(name), [*rows([1.0] * share + [0.0] * (200 - share)), *small])

    measures = a_report(run_of("new", 100), run_of("old", 150)).measures
    (arc,) = [each for each in measures if each.task == "arc"]
    scale = charts.scales(measures)
    assert scale == {"fractions": pytest.approx(1.05 * -arc.low)}
    assert charts.difference(measures[-1], scale).cut


def test_bits_per_byte_share_a_scale_whatever_the_metric() -> None:
    def run_of(name: str, more: float):
        values = [1.0 + n / 100 + more for n in range(40)]
        own = rows(
            values, task="prose", metric="bits_per_byte", unit="bits/byte", direction="lower"
        )
        gold = rows(values, metric="gold_bpb", unit="bits/byte", direction="lower")
        return results(a_run(name), [*own, *gold])

    assert list(charts.scales(a_report(run_of("new", 0.1), run_of("old", 0.0)).measures)) == [
        "bits/byte"
    ]


def test_a_sparkline_marks_the_candidate_and_not_the_last_checkpoint() -> None:
    ways = [Point(x, value, "c", "") for x, value in ((0, 0.1), (10, 0.4), (20, 0.2))]
    spark = charts.spark(ways, at=10)
    assert (spark.x, spark.y) == (charts.SPARK_WIDTH / 2, 3)
    assert spark.path.count("L") == 2


def test_a_chart_takes_its_colours_from_the_page_and_is_the_same_every_time() -> None:
    history = [
        results(a_run(f"c{step}", step=step), rows([1.0, 0.0, 1.0])) for step in (1, 2, 3, 4)
    ]
    (measure,) = a_report(history[-1], history[0], history=history).measures
    first, second = (charts.trajectory(measure, "tokens", at=4000) for _ in range(2))
    assert first == second
    assert "var(--accent)" in first
    assert not re.search(r"#[0-9a-f]{6}\b|http|<metadata|<style", first)


def test_a_word_the_font_lacks_does_not_disturb_a_chart() -> None:
    drawn = charts.bars({"\u65e5\u672c <b>": [charts.Bar("gpt2", 1.2, 1.1, 1.3)]}, "a")
    assert "\u65e5\u672c &lt;b&gt;" in drawn


def test_a_chart_over_phases_draws_chance_and_rings_for_phases_without_tokens() -> None:
    spans = [charts.Span("one", 0, 10), charts.Span("two", 10, 20)]
    way = [Point(x, value, "c", "p") for x, value in ((10, 0.4), (20, 0.5), (20, 0.6))]
    plain = charts.over_phases(way[:2], spans, name="a")
    assert charts.over_phases(way[:2], spans, name="a", chance=0.45).count("<path") > plain.count(
        "<path"
    )
    assert charts.over_phases(way, spans, name="a").count("<use") > plain.count("<use") + 1
