from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from pyr.compare import Point, compare
from pyr.report import html, markdown
from pyr.report.checkpoint_sections import score_cell
from pyr.report.forgetting import Cell
from pyr.training import course, recipe, training_view
from pyr.training.course import Course
from pyr.training.curriculum import RunOutcome

pytestmark = pytest.mark.filterwarnings("ignore")
Train = Callable[..., RunOutcome]


@pytest.fixture(scope="module")
def run(two_passed: Train) -> Course:
    """Two phases, both passed."""
    there = two_passed.rehearsal
    read = recipe.read(two_passed.folder)
    return course.collect(read, two_passed.outcome, there.output, there.store)


def test_a_run_has_a_leg_for_every_phase(run: Course) -> None:
    assert [(leg.phase, leg.begin, leg.end, leg.steps) for leg in run.legs] == [
        ("one", 0, 1536, 12),
        ("two", 1536, 3072, 12),
    ]
    assert [leg.state for leg in run.legs] == ["pass", "pass"]
    assert run.tokens == 3072
    assert len(run.legs[0].losses) == 12


def test_what_a_gate_failed_on_is_read_first(two_passed: Train, tmp_path: Path) -> None:
    there = two_passed.rehearsal
    output = tmp_path / "out"
    shutil.copytree(there.output, output)
    file = output / "two" / "verdict.json"
    verdict = json.loads(file.read_text())
    verdict["findings"][-1]["state"] = "fail"
    worst = verdict["findings"][-1]["sentence"]
    file.write_text(json.dumps(verdict))
    found = course.collect(recipe.read(two_passed.folder), two_passed.outcome, output, there.store)
    assert len(found.legs[1].findings) > 1
    assert found.legs[1].findings[0].sentence == worst


def test_the_forgetting_matrix_is_what_the_store_says(run: Course, two_passed: Train) -> None:
    store = two_passed.rehearsal.store
    one, two = (store.results(store.run(leg.run)) for leg in run.legs)
    [row] = [row for row in compare(two, one) if row.measure == "held_out_one/bits_per_byte"]
    place = run.matrix.domains.index("held_out_one")
    before, after = (line.cells[place] for line in run.matrix.rows)
    assert (before.value, after.value) == (row.baseline.value, row.candidate.value)
    assert after.delta == row.delta.value
    assert [line.phase for line in run.matrix.rows] == ["one", "two"]


def rendered(run: Course) -> str:
    return html.render(training_view.document(run))


def as_markdown(run: Course) -> str:
    return markdown.write(training_view.document(run))


def test_the_page_says_how_far_the_run_came_and_is_the_same_twice(run: Course) -> None:
    html = rendered(run)
    assert html == rendered(run)
    assert "toy passed all its gates." in html
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert "| one | PASS | base | 1.54k | 12 |" in as_markdown(run)
    stopped = rendered(replace(run, state="fail", legs=run.legs[:1], matrix=None))
    assert "toy was stopped by the gate of one." in stopped
    assert "NOT BEGUN" in stopped


def test_the_kinds_of_phases_are_explained_where_they_occur(run: Course) -> None:
    legs = (run.legs[0], replace(run.legs[1], stage="dpo"))
    html = rendered(replace(run, legs=legs))
    assert "dpo: direct preference optimization" in html and "sft:" not in html


def test_what_a_recipe_says_of_itself_is_quoted(run: Course) -> None:
    html = rendered(replace(run, description="<script>alert(1)</script>"))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    ("seconds", "said"), [(45.2, "45 s"), (200, "3 min 20 s"), (3720, "1 h 02 min")]
)
def test_a_time_is_said_in_two_units(seconds: float, said: str) -> None:
    assert training_view.clock(seconds) == said


def fails(run: Course) -> Course:
    """The same run, stopped by the gate of its second phase."""
    last = run.legs[1]
    findings = (replace(last.findings[0], state="fail", statement="It lost 3 <b>."),)
    last = replace(last, state="fail", opens=False, findings=findings, report="r/a b/report.html")
    return replace(run, state="fail", legs=(run.legs[0], last))


def test_a_run_that_is_stopped_says_why_and_what_to_do(run: Course) -> None:
    html = rendered(fails(run))
    top = html[: html.index("Phases")]
    assert "<li>It lost 3 &lt;b&gt;.</li>" in top
    assert "Mend the recipe and run the same command: one is kept." in top
    assert '<a href="r/a%20b/report.html">' in html
    assert as_markdown(fails(run)).splitlines()[2:5] == [
        "- It lost 3 &lt;b&gt;.",
        "",
        "Mend the recipe and run the same command: one is kept.",
    ]


def test_no_more_than_four_reasons_stand_under_the_heading(run: Course) -> None:
    stopped = fails(run)
    last = replace(stopped.legs[1], findings=stopped.legs[1].findings * 6)
    said = training_view.reasons(replace(stopped, legs=(run.legs[0], last)))
    assert said == ["It lost 3 <b>."] * 4 + ["And 2 more below."]


def test_a_gate_that_cannot_decide_does_not_ask_for_another_recipe(run: Course) -> None:
    last = fails(run).legs[1]
    doubted = replace(last, findings=(replace(last.findings[0], state="unclear"),))
    waits = replace(run, state="unclear", legs=(run.legs[0], doubted))
    assert "more items" in training_view.next_step(waits)
    lacks = replace(waits, legs=(run.legs[0], replace(last, findings=())))
    assert "not measured" in training_view.next_step(lacks)
    assert training_view.next_step(run) == ""
    assert training_view.reasons(run) == []


def test_a_run_that_passed_says_what_it_forgot_most(run: Course) -> None:
    first, last = run.matrix.rows
    lost = [
        replace(cell, change="forgot", delta=0.1 * place, low=-0.02, high=0.1 * place)
        for place, cell in enumerate(last.cells)
    ]
    matrix = replace(run.matrix, rows=(first, replace(last, cells=tuple(lost))))
    said = training_view.price(replace(run, matrix=matrix))
    worst = run.matrix.domains[-1]
    most = 0.1 * (len(lost) - 1)
    assert said.startswith(f"Largest forgetting at the end: {worst} +{most:.3f} ")
    kept = [replace(cell, change="kept") for cell in last.cells]
    matrix = replace(run.matrix, rows=(first, replace(last, cells=tuple(kept))))
    assert training_view.price(replace(run, matrix=matrix)) == "No forgetting seen at the end."


def test_the_forgetting_table_has_a_column_a_phase_and_a_row_a_text_set(run: Course) -> None:
    for page in (rendered(run), as_markdown(run)):
        table = page[page.rindex("text set") - 2 :]
        heads = [table.index(phase) for phase in ("one", "two")]
        assert heads == sorted(heads)
    lines = as_markdown(run).splitlines()
    assert "| text set | one | two |" in lines
    table = lines[lines.index("| text set | one | two |") + 2 :][: len(run.matrix.domains)]
    assert [line[2:].partition(" n=")[0] for line in table] == [
        each.replace("_", r"\_") for each in run.matrix.domains
    ]


def cell(delta: float, low: float, high: float, change: str = "forgot") -> Cell:
    return Cell(2.0, change, delta, low, high, 0.001, "one")


@pytest.mark.parametrize(
    ("known", "change", "said"),
    [
        (cell(0.09, 0.07, 0.11), "+0.090", "\u00b10.020"),
        (cell(0.452, 0.418, 0.564), "+0.452", "(+0.418 to +0.564)"),
        (cell(-0.00019, -0.0003, -0.0001), "-0.0002", "(-0.0003 to -0.0001)"),
        (cell(0.1, -math.inf, math.inf), "+0.100", ""),
    ],
)
def test_an_interval_has_a_half_width_only_where_its_sides_agree(
    known: Cell, change: str, said: str
) -> None:
    assert (training_view.delta(known), training_view.spread(known)) == (change, said)


def test_a_loss_is_marked_as_worse_only_where_the_gate_failed_on_it(run: Course) -> None:
    lost = cell(0.09, 0.07, 0.11)
    tones = [score_cell(lost, failed=failed).tone for failed in (True, False)]
    assert tones == ["worse", "lost"]
    assert score_cell(cell(-0.1, -0.2, 0, "learnt"), failed=False).tone == "better"
    assert score_cell(cell(0.1, -0.2, 0.4, "kept"), failed=False).tone == ""
    rule = replace(run.legs[1].findings[0], measure="held_out_one/bits_per_byte", state="fail")
    legs = (run.legs[0], replace(run.legs[1], findings=(rule, replace(rule, state="pass"))))
    assert training_view.failures(replace(run, legs=legs)) == {("two", "held_out_one")}


def point(phase: str, x: int, value: float) -> Point:
    return Point(x, value, f"toy-{phase}", phase)


def test_a_chart_says_in_words_what_it_draws(run: Course) -> None:
    trail = (point("one", 10, 0.4), point("two", 20, 0.55), point("dpo", 20, 0.47))
    trails = {"pyr_pairs/acc": trail, "health/loss": trail}
    [drawn] = training_view._charts(replace(run, trails=trails, chances={"pyr_pairs/acc": 0.5}))
    assert drawn.says == (
        "one 0.400, two 0.550, dpo 0.470; more is better; guessing 0.500, dotted."
    )
    assert f"</b>{drawn.says}</figcaption>" in rendered(
        replace(run, trails=trails, chances={"pyr_pairs/acc": 0.5})
    )
    loss = training_view.loss_chart(run)
    assert loss.says.startswith(f"one {run.legs[0].losses[0].value:.3f} to ")
    assert loss.says.endswith("; less is better.")


def test_the_page_says_what_it_was_measured_on(run: Course) -> None:
    facts = dict(run.facts)
    assert facts["evaluated on"] == "cpu"
    assert facts["pyr-lm"] == version("pyr-lm")
    assert facts["seed of the recipe"].isdigit()
    html, markdown = rendered(run), as_markdown(run)
    for leg in run.legs:
        assert leg.run in markdown[markdown.index("## Provenance") :]
        assert f"<td>{leg.run}</td><td>{leg.evaluated}</td><td>{leg.order[:12]}</td>" in html
        assert len(leg.order) == len(leg.weights) == 64
    assert f"| evaluated | {facts['evaluated']} |" in markdown


def test_a_phase_that_counts_no_tokens_has_no_speed(run: Course) -> None:
    still = replace(run, legs=(run.legs[0], replace(run.legs[1], end=run.legs[1].begin)))
    assert "| two | PASS | base | - | 12 | - |" in as_markdown(still)


def test_sound_health_checks_are_one_line(run: Course) -> None:
    leg = run.legs[1]
    checks = [each for each in leg.findings if each.measure.startswith("health/")]
    count = sum(each.observed.n for each in checks)
    assert len(checks) > 1
    said = f"Health: {count} of {count} checks sound"
    assert training_view.health(leg) == said
    for page in (rendered(run), as_markdown(run)):
        assert said in page
        assert checks[0].sentence not in page


def test_a_broken_health_check_stands_by_itself(run: Course) -> None:
    leg = run.legs[1]
    [place, check] = next(
        (place, each)
        for place, each in enumerate(leg.findings)
        if each.measure.startswith("health/")
    )
    broken = replace(check, state="fail", observed=replace(check.observed, value=0.0))
    findings = (*leg.findings[:place], broken, *leg.findings[place + 1 :])
    leg = replace(leg, findings=findings)
    assert broken in training_view.ruled(leg)
    total = sum(each.observed.n for each in findings if each.measure.startswith("health/"))
    left = total - check.observed.n
    assert training_view.health(leg) == f"Health: {left} of {total} checks sound"
