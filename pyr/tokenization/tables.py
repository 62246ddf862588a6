"""A comparison and a sweep as tables of the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyr.tokenization.comparison import Report, Row, Size
from pyr.tokenization.measure import Score

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def show(report: Report, console: Console) -> None:
    """The summary, the domains, how things are cut, and what was lost."""
    console.print(_summary(report))
    console.print(_shapes(report))
    console.print(_costs(report))
    for domains in _domains(report, console.width):
        console.print(domains)
    console.print(_anatomy(report))
    for row in report.rows:
        if not row.round_trip.lossless:
            trip = row.round_trip
            console.print(
                f"{row.name}: {trip.changed} of {trip.texts} texts are not decoded as they were; "
                f"{trip.example}",
                markup=False,
            )
    own = report.own
    console.print(
        "cuts: digits in a token at most; Python keywords and operators that are one token; tokens "
        "of a line end and so many blanks. Encoding and decoding in MB/s, on one core by its CPU "
        "seconds, on all by the clock.",
        markup=False,
    )
    console.print(
        f"gain: bytes per token of {own.name} over the other's, minus 1; 95% intervals, paired by "
        f"document. n = {sum(each.documents for each in own.domains)} documents, "
        f"{sum(each.bytes for each in own.domains) / 1e6:.2f} MB.",
        markup=False,
    )


def show_sweep(sizes: Sequence[Size], console: Console) -> None:
    """One line a size."""
    table = _table(
        "vocabulary",
        "embedding parameters",
        "bytes/token",
        "tokens/byte",
        "MFLOP/byte",
        "gain a step",
    )
    before = None
    for size in sizes:
        gain = f"{size.bytes_per_token.value / before - 1:+.1%}" if before else ""
        table.add_row(
            f"{size.vocab_size:,}",
            f"{size.embedding_parameters / 1e6:.2f}M",
            _with_margin(size.bytes_per_token),
            f"{size.tokens_per_byte:.4f}",
            f"{size.flops_per_byte / 1e6:.0f}",
            gain,
        )
        before = size.bytes_per_token.value
    console.print(table)


def _table(*heads: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left", no_wrap=not place)
    return table


def _summary(report: Report) -> Table:
    table = _table("tokenizer", "tokens", "bytes/token", "gain", "lossless")
    for row in report.rows:
        table.add_row(
            row.name,
            f"{row.vocab_size:,}",
            _with_margin(row.mean),
            gain(row),
            "yes" if row.round_trip.lossless else "NO",
        )
    return table


def _shapes(report: Report) -> Table:
    table = _table("tokenizer", "length", "tokens/word", "whole words", "Renyi", "never used")
    for row in report.rows:
        table.add_row(
            row.name,
            f"{row.relations[-1].sequence_length:.3f}" if row.relations else "",
            f"{row.tokens_per_word:.2f}",
            f"{row.whole_words:.1%}",
            f"{row.renyi_efficiency:.3f}",
            f"{row.never_used / row.vocab_size:.0%}",
        )
    return table


def _costs(report: Report) -> Table:
    table = _table(
        "tokenizer",
        "embedding",
        "context",
        "encode",
        "all cores",
        "decode",
        "all cores",
    )
    for row in report.rows:
        table.add_row(
            row.name,
            f"{row.embedding_parameters / 1e6:.1f}M",
            f"{row.context_bytes:,}",
            f"{row.speed.encode_one:.1f}",
            f"{row.speed.encode_all:.1f}",
            f"{row.speed.decode_one:.1f}",
            f"{row.speed.decode_all:.1f}",
        )
    return table


def _domains(report: Report, width: int) -> list[Table]:
    """A row a tokenizer, as many domains beside each other as the screen is wide."""
    names = [each.domain for each in report.own.domains]
    first = max(len(row.name) for row in report.rows) + 4
    tables: list[Table] = []
    places: list[int] = []
    used = first
    for place, name in enumerate(names):
        needed = max(len(name), 5) + 3
        if places and used + needed > width:
            tables.append(_some_domains(report, places))
            places, used = [], first
        places.append(place)
        used += needed
    return [*tables, _some_domains(report, places)]


def _some_domains(report: Report, places: Sequence[int]) -> Table:
    table = _table("bytes/token", *(report.own.domains[place].domain for place in places))
    best = []
    for place in places:
        best.append(max(row.domains[place].bytes_per_token.value for row in report.rows))
    for row in report.rows:
        found = [row.domains[place].bytes_per_token.value for place in places]
        marked = zip(found, best, strict=True)
        table.add_row(row.name, *(f"{value:.2f}{'*' * (value == top)}" for value, top in marked))
    return table


def _anatomy(report: Report) -> Table:
    widths = list(report.own.anatomy.indents)
    table = _table(
        "cuts",
        "digits",
        "keywords",
        "operators",
        *(f"\\n+{width}" for width in widths),
    )
    for row in report.rows:
        cuts = row.anatomy
        table.add_row(
            row.name,
            str(cuts.digits_at_most),
            str(len(cuts.keywords)),
            str(len(cuts.operators)),
            *(str(cuts.indents[width]) for width in widths),
        )
    return table


def gain(row: Row) -> str:
    """``+6.1% [+5.8, +6.4]``: of the mean over domains; empty for the first tokenizer."""
    for relation in row.relations:
        if not relation.domain:
            found = relation.gain
            return f"{found.value:+.1%} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    return ""


def _with_margin(score: Score) -> str:
    return f"{score.value:.3f} \u00b1{(score.high - score.low) / 2:.3f}"
