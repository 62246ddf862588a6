"""A comparison, or a sweep, as one HTML page that needs nothing else.

Jinja2 quotes every value: tokens and texts may hold anything. The page has no script, and its own
policy forbids any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jinja2

from pyr import content
from pyr.tokenization.anatomy import SAMPLES, shown
from pyr.tokenization.comparison import Cut, Model, Report, Row, Size
from pyr.tokenization.measure import Relation, Score
from pyr.tokenization.recipe import Recipe

TEMPLATE = "reports/templates/tokenizers.html.j2"
_WIDTH, _HEIGHT = 520.0, 270.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 40.0, 30.0, 48.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A tokenizer's bar in the chart of a domain; lengths in percent of the longest."""

    name: str
    score: Score
    length: float
    low: float
    high: float
    own: bool
    gain: Score | None
    """Of the first tokenizer over this one."""


@dataclass(frozen=True, slots=True)
class Chart:
    """The bars of a domain, the longest first."""

    domain: str
    bars: Sequence[Bar]
    note: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A token of a passage, as it is shown."""

    id: int
    text: str
    hint: str
    broken: bool
    """True for a part of a letter."""
    ends_line: bool


@dataclass(frozen=True, slots=True)
class Point:
    """One size of a sweep, in the chart's own units."""

    x: float
    y: float
    low: float
    high: float
    label: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """One thing over the sizes of a sweep."""

    name: str
    note: str
    points: Sequence[Point]


def render(report: Report) -> str:
    """The page of a comparison; the same report gives the same bytes."""
    cuts = []
    for i, passage in enumerate(report.passages):
        rows = [(row.name, _pieces(row.cuts[i])) for row in report.rows]
        cuts.append({"passage": passage, "rows": rows})
    return _template().render(
        report=report,
        lead=lead(report),
        charts=charts(report),
        cuts=cuts,
        samples=SAMPLES,
        gains={row.name: _mean_gain(row) for row in report.rows},
        sweep=None,
    )


def render_sweep(recipe: Recipe, sizes: Sequence[Size], model: Model) -> str:
    """The page of a sweep."""
    return _template().render(
        report=None,
        sweep=sizes,
        recipe=recipe,
        model=model,
        plots=plots(sizes, recipe.vocab_size),
        domains=list(sizes[0].domains),
        box=(_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM),
    )


def _template() -> jinja2.Template:
    filters = {"share": _share, "margin": _margin}
    return content.template(content.path(TEMPLATE), filters)


def _share(value: float) -> str:
    """``+5.3%``, and no sign before a nought."""
    found = f"{value:+.1%}"
    return found if found.strip("+-0.%") else found[1:]


def _margin(found: Score) -> str:
    half = (found.high - found.low) / 2
    return f"{half:.2g}" if math.isfinite(half) else "?"


# ------------------------------------------------------------------ what it comes to


def lead(report: Report) -> list[str]:
    """What the comparison comes to, in sentences: beside the best, beside the nearest in size."""
    own, *others = report.rows
    if not others:
        return []
    best = max(others, key=lambda row: row.mean.value)
    near = min(others, key=lambda row: abs(math.log(row.vocab_size / own.vocab_size)))
    times = best.vocab_size / own.vocab_size
    first = f"{own.name} holds {_more(best)}, the best of the others"
    if f"{times:.1f}" != "1.0":
        first += f" with {times:.1f} times the vocabulary"
    if near is not best:
        first += f"; {_more(near)}, the nearest in size"
    return [f"{first}.", _trips(own, others)]


def _more(other: Row) -> str:
    """``5.3% more text in a token than other``."""
    gain = _mean_gain(other)
    if gain is None or not (gain.low > 0 or gain.high < 0):
        return f"neither measurably more nor less text in a token than {other.name}"
    word = "more" if gain.value > 0 else "less"
    return f"{abs(gain.value):.1%} {word} text in a token than {other.name}"


def _trips(own: Row, others: Sequence[Row]) -> str:
    """Who gives every text back."""
    trip = own.round_trip
    lossy = sum(not row.round_trip.lossless for row in others)
    mine = (
        f"It gives back all {trip.texts:,} texts as they were"
        if trip.lossless
        else f"It changes {trip.changed:,} of {trip.texts:,} texts"
    )
    return f"{mine}; {lossy} of the {len(others)} others change{'s' * (lossy == 1)} some."


# ------------------------------------------------------------------ charts


def charts(report: Report) -> list[Chart]:
    """The mean over domains, then every domain."""
    mean = [(row, row.mean, _mean_gain(row)) for row in report.rows]
    found = [Chart("mean over domains", _bars(mean), "every domain counts the same")]
    for place, domain in enumerate(report.own.domains):
        rows = [
            (row, row.domains[place].bytes_per_token, _gain(row, domain.domain))
            for row in report.rows
        ]
        note = f"{domain.documents:,} documents, {domain.bytes:,} bytes"
        found.append(Chart(domain.domain, _bars(rows), note))
    return found


def _bars(rows: Sequence[tuple[Row, Score, Score | None]]) -> list[Bar]:
    longest = max(_finite(each.high, each.value) for _, each, _ in rows)

    def percent(value: float) -> float:
        return round(100 * max(0.0, min(value / longest, 1.0)), 2)

    bars = [
        Bar(
            name=row.name,
            score=each,
            length=percent(each.value),
            low=percent(_finite(each.low, each.value)),
            high=percent(_finite(each.high, each.value)),
            own=row is rows[0][0],
            gain=gain,
        )
        for row, each, gain in rows
    ]
    return sorted(bars, key=lambda bar: -bar.score.value)


def _finite(value: float, otherwise: float) -> float:
    return value if math.isfinite(value) else otherwise


def _gain(row: Row, domain: str) -> Score | None:
    found: list[Relation] = [each for each in row.relations if each.domain == domain]
    return found[0].gain if found else None


def _mean_gain(row: Row) -> Score | None:
    return _gain(row, "")


def plots(sizes: Sequence[Size], chosen: int) -> list[Plot]:
    """Bytes per token, and the arithmetic of training, over the logarithm of the vocabulary."""
    numbers = [each.vocab_size for each in sizes]
    flops = [each.flops_per_byte / 1e6 for each in sizes]
    return [
        Plot(
            "Bytes per token",
            "with 95% intervals over documents; more is better",
            _points(numbers, [each.bytes_per_token for each in sizes], chosen, "{:.2f}"),
        ),
        Plot(
            "Million operations to train on a byte",
            "tokens times parameters that work on each; less is better",
            _points(numbers, [Score(each, each, each) for each in flops], chosen, "{:.0f}"),
        ),
    ]


def _points(sizes: Sequence[int], scores: Sequence[Score], chosen: int, form: str) -> list[Point]:
    lows = [_finite(each.low, each.value) for each in scores]
    highs = [_finite(each.high, each.value) for each in scores]
    bottom, top = min(lows), max(highs)
    first, last = math.log(sizes[0]), math.log(sizes[-1])

    def across(size: int) -> float:
        share = (math.log(size) - first) / (last - first or 1)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def up(value: float) -> float:
        share = (value - bottom) / (top - bottom or 1)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)

    return [
        Point(
            x=across(size),
            y=up(each.value),
            low=up(low),
            high=up(high),
            label=form.format(each.value),
            chosen=size == chosen,
        )
        for size, each, low, high in zip(sizes, scores, lows, highs, strict=True)
    ]


# ------------------------------------------------------------------ passages


def _pieces(cut: Cut) -> list[Piece]:
    found: list[Piece] = []
    for number, piece in zip(cut.ids, cut.pieces, strict=True):
        text, broken = _readable(piece)
        value = " ".join(f"{byte:02x}" for byte in piece) or "none"
        hint = f"id {number}, bytes {value}"
        found.append(Piece(number, text, hint, broken, ends_line=piece.endswith(b"\n")))
    return found


def _readable(piece: bytes) -> tuple[str, bool]:
    """What to show of a token; line ends and tabs as signs, the rest of the unseen as escapes."""
    try:
        piece.decode()
    except UnicodeDecodeError:
        return shown(piece), True
    lines = piece.replace(b"\n", "\u23ce".encode()).replace(b"\t", "\u21e5".encode())
    return shown(lines), False
