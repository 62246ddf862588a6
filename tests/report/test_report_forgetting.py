"""The forgetting matrix: phase by domain, paired over documents."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from factories_report import a_report, a_run, rendered, results, rows

from pyr.compare import compare, same_training
from pyr.report.forgetting import ROWS_SHOWN, Cell, Row, _said, matrix
from pyr.store import Results

DOMAINS = ("held_out_base-1", "held_out_base-2")


def checkpoint(phase: str, step: int, levels: tuple[float, float], *, suite: str = "s") -> Results:
    """Results of one checkpoint: 40 documents a domain, the same ones every time."""
    draw = np.random.default_rng(0)
    name = f"tiny-{phase}-{step}"
    run = a_run(name, step=step, suite_digest=suite, started=f"2026-01-01T00:{step // 10:02}")
    run = dataclasses.replace(run, checkpoint=dataclasses.replace(run.checkpoint, phase=phase))
    records = []
    for domain, level in zip(DOMAINS, levels, strict=True):
        values = list(level + draw.normal(0, 0.3, 40))
        hashes = [f"{domain} {number}" for number in range(40)]
        records += rows(
            values,
            task=domain,
            metric="bits_per_byte",
            direction="lower",
            unit="bits/byte",
            weight=100.0,
            doc_hash=hashes,
        )
    return results(run, records)


@pytest.fixture
def way() -> list[Results]:
    return [
        checkpoint("base-1", 50, (1.5, 2.5)),
        checkpoint("base-1", 100, (1.0, 2.4), suite="other"),
        checkpoint("base-2", 200, (1.3, 1.1)),
    ]


def test_what_the_second_phase_forgot_is_said_with_its_interval(way: list[Results]) -> None:
    found = matrix(way[-1], way[:-1])
    assert found is not None
    assert found.domains == DOMAINS
    assert found.documents == (40, 40)
    last = found.rows[-1]
    assert last.is_candidate
    first, second = last.cells
    assert (first.change, second.change) == ("forgot", "learnt")
    assert first.best == "tiny-base-1-100"
    [row] = [r for r in compare(way[-1], way[1]) if r.task == DOMAINS[0]]
    assert first.delta == pytest.approx(row.delta.value) == pytest.approx(0.3)
    assert (first.low, first.high) == (row.low, row.high)
    assert [each.is_last_of_phase for each in found.rows] == [False, True, True]
    assert [cell.change for cell in found.rows[0].cells] == ["first", "first"]


def test_the_margin_of_a_skewed_interval_is_its_wider_side() -> None:
    assert Cell(1.0, "forgot", 0.45, 0.42, 0.56, 0.001, "").margin == pytest.approx(0.11)
    assert Cell(1.0, "first", None, None, None, None, "").margin is None


def test_a_change_too_small_to_matter_gets_no_word_however_sure(way: list[Results]) -> None:
    after = checkpoint("base-2", 300, (1.004, 1.094))
    small, large = matrix(after, way).rows[-1].cells
    assert small.p < 1e-6
    assert (small.delta, small.change) == (pytest.approx(0.004), "kept")
    assert (large.delta, large.change) == (pytest.approx(-0.006), "learnt")


def test_a_change_must_stand_out_among_all_of_the_matrix() -> None:
    def row(*p: float | None) -> Row:
        cells = tuple(Cell(1.0, "kept", 0.1, 0.01, 0.19, each, "before") for each in p)
        return Row("a", "a", is_last_of_phase=True, is_candidate=False, cells=(None, *cells))

    # Benjamini and Hochberg at 5% of four: 0.0125, 0.025, 0.0375, 0.05.
    said = _said([row(0.01, 0.024), row(0.04, 0.9, None)])
    words = [cell.change for each in said for cell in each.cells if cell]
    assert words == ["forgot", "forgot", "kept", "kept", "kept"]


def test_a_phase_that_counts_no_tokens_stands_behind_the_one_before_it(way: list[Results]) -> None:
    preferences = checkpoint("dpo", 200, (1.3, 1.0))
    started = dataclasses.replace(preferences.run, started="2026-01-02")
    last = dataclasses.replace(preferences, run=started)
    assert [row.phase for row in matrix(last, way).rows][-2:] == ["base-2", "dpo"]
    assert len(same_training(last.run, [each.run for each in [*way, last]])) == 4


def test_a_domain_that_was_not_asked_leaves_a_gap(way: list[Results]) -> None:
    only = way[0].records[way[0].records["task"] == DOMAINS[0]]
    found = matrix(way[-1], [dataclasses.replace(way[0], records=only), way[1]])
    assert found.rows[0].cells[1] is None
    assert found.rows[1].cells[1].change == "first"


def test_two_suites_that_asked_one_checkpoint_are_one_row(way: list[Results]) -> None:
    again = dataclasses.replace(way[1], run=dataclasses.replace(way[1].run, id="again"))
    assert len(matrix(way[-1], [*way[:-1], again]).rows) == 3


def test_later_checkpoints_and_those_of_unknown_place_take_no_part(way: list[Results]) -> None:
    stray = results(a_run("stray"), [])
    found = matrix(way[1], [way[0], way[2], stray])
    assert [row.name for row in found.rows] == ["tiny-base-1-50", "tiny-base-1-100"]
    assert matrix(way[0], []) is None


def test_a_long_training_shows_the_ends_of_its_phases(way: list[Results]) -> None:
    many = [checkpoint("base-1", step, (1.0, 2.0)) for step in range(1, 90)]
    found = matrix(way[-1], many)
    assert len(found.rows) <= ROWS_SHOWN
    assert found.rows[-2].name == "tiny-base-1-89"
    assert found.left_out == 90 - ROWS_SHOWN


def test_the_relatives_are_the_runs_of_one_recipe(way: list[Results]) -> None:
    other = a_run("else-base-1-9", step=9)
    other = dataclasses.replace(
        other, checkpoint=dataclasses.replace(other.checkpoint, phase="base-1")
    )
    runs = [each.run for each in way]
    assert same_training(way[1].run, [*runs, other]) == runs
    assert same_training(a_run("plain"), runs) == []


def test_the_page_shows_the_matrix_in_words(way: list[Results]) -> None:
    report = a_report(way[-1], way[1], relatives=way[:-1])
    html = rendered(report)
    assert 'id="forgetting"' in html
    assert "worse +0.300" in html
    assert "better -1.300" in html
