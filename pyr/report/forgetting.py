"""What a training forgot: bits per byte of every text set at every checkpoint, phase by domain.

A cell is compared, document by document, with the best checkpoint before it on the same documents:
forgetting as in Chaudhry et al. 2018, arXiv 1801.10112, in bits a byte. Runs of different suites
take part as long as they asked the same documents. A matrix is many tests, so a change is said
where Benjamini & Hochberg 1995 finds it among all of them, and where it is large enough to matter.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from pyr.compare import axis_of, benjamini_hochberg, compare, in_order
from pyr.report import words
from pyr.schema import Comparison, NoteCode
from pyr.store import Results

METRIC = "bits_per_byte"
ROWS_SHOWN = 40
FALSE_DISCOVERY_RATE = 0.05
"""At 5% a change that is said also has a 95% interval that leaves zero out."""
SMALLEST = 0.005
"""Bits a byte; a smaller change is not worth a word, however sure it is."""
Change = Literal["first", "forgot", "learnt", "kept", "not compared"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One text set at one checkpoint."""

    value: float
    change: Change
    delta: float | None
    """Against the best checkpoint before it; above zero is forgetting."""
    low: float | None
    high: float | None
    """The two-sided 95% interval of that, paired over documents."""
    p: float | None
    best: str
    """The checkpoint that was best before."""

    @property
    def said(self) -> str:
        """The change in a word, before its figure; empty where it does not stand out."""
        return {"forgot": "worse ", "learnt": "better "}.get(self.change, "")

    @property
    def margin(self) -> float | None:
        """How far the interval reaches on its wider side."""
        if self.delta is None or self.low is None or self.high is None:
            return None
        return max(self.high - self.delta, self.delta - self.low)


@dataclass(frozen=True, slots=True)
class Row:
    """One checkpoint."""

    name: str
    phase: str
    is_last_of_phase: bool
    is_candidate: bool
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Checkpoints by text sets."""

    domains: tuple[str, ...]
    documents: tuple[int, ...]
    """How many documents each text set has."""
    rows: tuple[Row, ...]
    left_out: int
    """Checkpoints inside phases that are not shown."""


def matrix(candidate: Results, others: Sequence[Results]) -> Matrix | None:
    """The matrix of a training that ends in the candidate; None without a second checkpoint.

    others: results of other checkpoints of the training, in any order; those up to the candidate
    take part, if they know their tokens or step.
    """
    every = [each for each in others if each.run.id != candidate.run.id]
    ordered = in_order([*every, candidate], axis_of(each.run for each in [*every, candidate]))
    if candidate not in ordered:
        return None
    merged = list(_merged(ordered[: ordered.index(candidate) + 1], candidate))
    held = [_texts_of(each) for each in merged]
    domains = sorted(set(held[-1].records["task"])) if held else []
    if len(held) < 2 or not domains:
        return None
    counts = held[-1].records["task"].value_counts()
    rows = _rows(held, domains, candidate)
    return Matrix(
        domains=tuple(domains),
        documents=tuple(int(counts[name]) for name in domains),
        rows=tuple(_shown(rows)),
        left_out=max(0, len(rows) - ROWS_SHOWN),
    )


def delta(cell: Cell) -> str:
    """The change of a cell, with its sign."""
    return words.signed(cell.delta, _places(cell))


def spread(cell: Cell) -> str:
    """The 95% interval of a change: its half width where both sides agree to 10%, else its ends."""
    if cell.delta is None or cell.low is None or cell.high is None:
        return ""
    sides, places = (cell.delta - cell.low, cell.high - cell.delta), _places(cell)
    if not math.isfinite(sum(sides)):
        return ""
    if max(sides) <= 1.1 * min(sides):
        return f"{words.PLUS_MINUS}{words.number(max(sides), places)}"
    return f"({words.signed(cell.low, places)} to {words.signed(cell.high, places)})"


def _places(cell: Cell) -> int:
    """Three decimals, or as many as the interval needs not to be a false 0.000."""
    return max(3, len(words.margin(cell.margin).partition(".")[2]))


def _texts_of(results: Results) -> Results:
    mine = results.records["metric"] == METRIC
    return dataclasses.replace(
        results, records=results.records[mine], aggregates=results.aggregates.iloc[:0]
    )


def _merged(ordered: Sequence[Results], candidate: Results) -> Iterator[Results]:
    """One entry for one set of weights: the same checkpoint may have been asked two suites."""
    by_weights: dict[str, list[Results]] = {}
    for each in ordered:
        by_weights.setdefault(each.run.checkpoint.digest, []).append(each)
    for group in by_weights.values():
        own = [each for each in group if each.run.id == candidate.run.id]
        first = (own or group)[0]
        records = pd.concat([first.records, *(each.records for each in group if each is not first)])
        once = records.drop_duplicates(["task", "metric", "item"])
        yield dataclasses.replace(first, records=once)


def _rows(held: Sequence[Results], domains: Sequence[str], candidate: Results) -> list[Row]:
    rows: list[Row] = []
    best: dict[str, tuple[float, int]] = {}
    for number, each in enumerate(held):
        cells = _cells(held, number, domains, best)
        for domain, cell in zip(domains, cells, strict=True):
            if cell is not None and (domain not in best or cell.value < best[domain][0]):
                best[domain] = (cell.value, number)
        phase = each.run.checkpoint.phase
        later = {other.run.checkpoint.phase for other in held[number + 1 :]}
        rows.append(
            Row(
                name=each.run.checkpoint.name,
                phase=phase,
                is_last_of_phase=phase not in later,
                is_candidate=each.run.id == candidate.run.id,
                cells=tuple(cells),
            )
        )
    return _said(rows)


def _said(rows: Sequence[Row]) -> list[Row]:
    """The rows with a word for every change that stands out among all of the matrix."""
    tested = [cell.p if cell else None for row in rows for cell in row.cells]
    real = iter(benjamini_hochberg(tested, FALSE_DISCOVERY_RATE))
    said = []
    for row in rows:
        cells = [_named(cell, next(real)) for cell in row.cells]
        said.append(dataclasses.replace(row, cells=tuple(cells)))
    return said


def _named(cell: Cell | None, real: bool) -> Cell | None:
    if cell is None or cell.delta is None or not real or abs(cell.delta) < SMALLEST:
        return cell
    return dataclasses.replace(cell, change="forgot" if cell.delta > 0 else "learnt")


def _cells(
    held: Sequence[Results],
    number: int,
    domains: Sequence[str],
    best: dict[str, tuple[float, int]],
) -> list[Cell | None]:
    """The row of checkpoint `number`; one comparison with each checkpoint that was best before."""
    alone = {row.task: row for row in compare(held[number], None)}
    against: dict[int, dict[str, Comparison]] = {}
    cells: list[Cell | None] = []
    for domain in domains:
        known = alone.get(domain)
        if known is None or known.candidate is None:
            cells.append(None)
            continue
        if domain not in best:
            cells.append(Cell(known.candidate.value, "first", None, None, None, None, ""))
            continue
        place = best[domain][1]
        if place not in against:
            against[place] = {row.task: row for row in compare(held[number], held[place])}
        name = held[place].run.checkpoint.name
        cells.append(_cell(known.candidate.value, against[place][domain], name))
    return cells


def _cell(value: float, row: Comparison, best: str) -> Cell:
    other = row.note is not None and row.note.code is NoteCode.OTHER_DOCUMENTS
    if row.delta is None or row.low is None or row.high is None or other:
        return Cell(value, "not compared", None, None, None, None, best)
    p = None if row.p is None or math.isnan(row.p) else row.p
    return Cell(value, "kept", row.delta.value, row.low, row.high, p, best)


def _shown(rows: Sequence[Row]) -> list[Row]:
    """All rows, or the ends of the phases and as many others as there is room for."""
    spare = max(0, ROWS_SHOWN - sum(row.is_last_of_phase for row in rows))
    inside = [place for place, row in enumerate(rows) if not row.is_last_of_phase]
    step = max(1, -(-len(inside) // spare)) if spare else len(inside) + 1
    kept = set(inside[::step])
    return [row for place, row in enumerate(rows) if row.is_last_of_phase or place in kept]
