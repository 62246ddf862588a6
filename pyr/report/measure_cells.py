"""How a measure's numbers stand in the cells of a table."""

from __future__ import annotations

from collections.abc import Sequence

from pyr.report import words
from pyr.report.document import Cell, Column, Content, Piece, Row, Table
from pyr.report.measures import Measure


def word(measure: Measure) -> Content:
    """The word of its change, with a sign where it is one."""
    sign = {"worse": "\u25bc ", "better": "\u25b2 "}.get(measure.word, "")
    return Piece(f"{sign}{measure.word}", tone=f"word {measure.word.replace(' ', '-')}")


def ends(reach: str) -> tuple[Piece, ...]:
    """An interval behind its value; two ends stand on their own line, elsewhere in brackets."""
    if not reach:
        return ()
    if reach.startswith(words.PLUS_MINUS):
        return (Piece(f" {reach}", "small"),)
    return (Piece(" (", "hidden"), Piece(reach, "small", "ends"), Piece(")", "hidden"))


def estimate(measure: Measure, places: int = 3) -> Content:
    """The candidate's score with its interval; empty where there is none."""
    if measure.candidate is None:
        return ""
    value = measure.candidate.value
    reach = words.reach(value, measure.least, measure.most, places)
    return (words.number(value, places), *ends(reach))


def difference(measure: Measure, places: int) -> Content:
    """The difference from the baseline with its interval; empty where there is none."""
    if measure.delta is None:
        return ""
    value = measure.delta.value
    reach = words.reach(value, measure.low, measure.high, places, sign=True)
    return (words.signed(value, places), *ends(reach))


def places_of(measure: Measure) -> int:
    """Decimals of a row's numbers."""
    now, before = measure.candidate, measure.baseline
    return words.decimals(now.value if now else None, before.value if before else None)


def plain_table(
    measures: Sequence[Measure],
    label: str,
    first: str,
    *,
    compared: bool,
    units: bool = True,
    judged: bool = True,
) -> Table:
    """A table of few measures without drawn intervals.

    compared: with the baseline beside them. units: with a column of them. judged: with a word for
    every change.
    """
    value = "Now" if compared else "Value"
    columns = [Column(first, "text")]
    if compared and judged:
        columns.append(Column("Change", "text"))
    if compared:
        columns.append(Column("Difference", label="Difference"))
    columns.append(Column(value, label=value))
    if compared:
        columns.append(Column("Before", label="Before"))
    if units:
        columns.append(Column("Unit", "text"))
    columns.append(Column("n", label="n"))
    rows = []
    for measure in measures:
        places, before = places_of(measure), measure.baseline
        cells: list[Content | Cell] = [
            measure.task.partition(":")[2] or measure.metric.replace("_", " ")
        ]
        if compared and judged:
            cells.append(Cell(word(measure), "said-word"))
        if compared:
            cells.append(difference(measure, places))
        cells.append(estimate(measure, places))
        if compared:
            cells.append(words.number(before.value, places) if before else "")
        if units:
            cells.append(measure.unit)
        cells.append(words.count(measure.candidate.n if measure.candidate else 0))
        rows.append(Row(cells))
    return Table(label, columns, rows, kind="measures")
