"""The charts of the page, by matplotlib as SVG inside HTML; and the small marks inside tables.

Colours are the page's own (CSS variables), so that a chart follows light and dark; text stays
text; and the same data gives the same bytes. Every chart is told again by a table of the page or by
the sentence under it.
"""

from __future__ import annotations

import io
import math
import re
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyr.compare import Point
from pyr.report.measures import Measure
from pyr.report.words import large
from pyr.schema import Axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# matplotlib wants real colours: these stand for the page's CSS variables until `_inline`.
_COLOURS = {
    "#010101": "var(--ink)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--accent)",
    "#050505": "var(--worse)",
    "#060606": "var(--shade)",
    "#070707": "var(--better)",
}
_INK, _MUTED, _LINE, _ACCENT, _WORSE, _SHADE, _BETTER = _COLOURS
_TONES = {"up": _BETTER, "down": _WORSE}
_NAMED = 0.09
"""Share of the axis that a phase takes to have its name written, in a narrow chart."""
_LOG_RANGE = 30.0
"""A lower-is-better measure that spans more than this is drawn on a log scale."""
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pyr",
    "text.parse_math": False,
    "font.size": 9.5,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
}


def trajectory(measure: Measure, axis: Axis, *, at: int | None) -> str:
    """One measure over training, with its 95% band, the chance line and the baseline's level.

    at: the candidate's place on the axis, marked with a dot.
    """
    with _drawing(4.6, 2.5) as (figure, axes):
        ways = measure.trail
        xs, values = [point.x for point in ways], [point.value for point in ways]
        _phases(axes, ways)
        low, high = [point.low for point in ways], [point.high for point in ways]
        if _wants_log(measure, values):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(lambda y, _: large(y))
            low = [max(bound, value / 10) for bound, value in zip(low, values, strict=True)]
        else:
            axes.locator_params(axis="y", nbins=6, steps=[1, 2, 5, 10])
            axes.ticklabel_format(axis="y", style="plain", useOffset=False)
        axes.fill_between(xs, low, high, color=_ACCENT, alpha=0.16, linewidth=0)
        axes.plot(xs, values, color=_ACCENT, linewidth=1.8, marker="o", markersize=2.6)
        if measure.chance is not None:
            _level(axes, measure.chance, style=":")
        if measure.baseline is not None:
            _level(axes, measure.baseline.value, style="--")
        if measure.candidate is not None and at is not None:
            colour = _WORSE if measure.word == "worse" else _ACCENT
            axes.plot([at], [measure.candidate.value], color=colour, marker="o", markersize=7)
        axes.set_xlim(min(xs), max(xs) * 1.02 if max(xs) > 0 else 1)
        axes.xaxis.set_major_formatter(lambda x, _: large(x))
        axes.set_xlabel("training tokens" if axis == "tokens" else "step")
        return _inline(figure, f"trajectory of {measure.name}")


@dataclass(frozen=True, slots=True)
class Span:
    """A phase on the axis of tokens."""

    name: str
    begin: int
    end: int


def over_phases(
    points: Sequence[Point],
    spans: Sequence[Span],
    *,
    name: str,
    wide: bool = False,
    chance: float | None = None,
) -> str:
    """A value over training tokens with its 95% band, the phases shaded in turn and named.

    A point that lies no farther than the one before it (no tokens were counted) is a ring.
    """
    with _drawing(9.6 if wide else 4.6, 2.5) as (figure, axes):
        whole = max([span.end for span in spans], default=0) or 1
        for number_, span in enumerate(spans):
            if number_ % 2:
                axes.axvspan(span.begin, span.end, color=_SHADE, linewidth=0)
            if wide or (span.end - span.begin) / whole > _NAMED:
                _name_phase(axes, span.begin, span.name)
        xs, values = [point.x for point in points], [point.value for point in points]
        low, high = [point.low for point in points], [point.high for point in points]
        axes.fill_between(xs, low, high, color=_ACCENT, alpha=0.16, linewidth=0)
        dots, thickness = ("", 1.4) if wide else ("o", 1.8)
        axes.plot(xs, values, color=_ACCENT, linewidth=thickness, marker=dots, markersize=3.2)
        still = [place for place in range(1, len(xs)) if xs[place] == xs[place - 1]]
        ring, ys = [xs[place] for place in still], [values[place] for place in still]
        if still:
            axes.plot(ring, ys, "o", color=_ACCENT, markersize=7.5, fillstyle="none", clip_on=False)
        if chance is not None:
            _level(axes, chance, style=":")
        axes.set_xlim(0, whole * 1.02)
        axes.xaxis.set_major_formatter(lambda x, _: large(x))
        axes.set_xlabel("training tokens")
        return _inline(figure, f"{name} over the phases")


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart."""

    name: str
    value: float
    low: float
    high: float
    """Its 95% interval; the value itself where there is none."""
    own: bool = False
    """True for what the page is about."""
    note: str = ""
    """Written behind the value."""
    tone: str = ""
    """up or down: how the note is coloured."""


def bars(groups: Mapping[str, Sequence[Bar]], label: str) -> str:
    """Bars by group, their names before and their values behind them; longer is better.

    groups: by heading, which is empty where there is one group. label: what is drawn, for the
    chart's own names.
    """
    ticks: list[tuple[float, str]] = []
    y = 0.0
    height = 0.25 + sum(0.19 * len(group) + 0.25 * bool(name) for name, group in groups.items())
    with _drawing(3.8, height) as (figure, axes):
        behind = axes.get_yaxis_transform()
        for heading, group in groups.items():
            if heading:
                axes.text(
                    -0.02, y, heading, transform=behind, ha="right", va="center", weight="bold"
                )
                y += 1
            for bar in group:
                colour, fade = (_ACCENT, 1.0) if bar.own else (_MUTED, 0.7)
                axes.barh(y, bar.value, height=0.55, color=colour, alpha=fade)
                axes.plot([bar.low, bar.high], [y, y], color=_INK, linewidth=1.2, alpha=0.85)
                ticks.append((y, bar.name))
                end = _ACCENT if bar.own else _INK
                where: Any = {"transform": behind, "ha": "right", "va": "center"}
                axes.text(1.14, y, f"{bar.value:.2f}", color=end, **where)
                axes.text(1.36, y, bar.note, color=_TONES.get(bar.tone, _MUTED), **where)
                y += 1
            y += 0.5 * bool(heading)
        # Room behind the notes: the browser's letters may be wider than matplotlib's.
        axes.text(1.42, 0, " ", transform=behind)
        axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks])
        axes.set_ylim(y - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.grid(False)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        return _inline(figure, label)


def over_sizes(sizes: Sequence[int], values: Sequence[Bar], chosen: int, label: str) -> str:
    """A value with its interval over vocabulary sizes, on a logarithmic scale.

    sizes: ascending, one for each value; the dot of the chosen size is filled.
    """
    with _drawing(4.6, 2.5) as (figure, axes):
        axes.set_xscale("log")
        axes.plot(sizes, [each.value for each in values], color=_ACCENT, linewidth=1.8)
        for size, each in zip(sizes, values, strict=True):
            axes.plot([size, size], [each.low, each.high], color=_ACCENT, linewidth=2, alpha=0.4)
            filled = "full" if size == chosen else "none"
            axes.plot([size], [each.value], "o", color=_ACCENT, markersize=6, fillstyle=filled)
            axes.annotate(each.name, (size, each.high), xytext=(0, 6), textcoords="offset points")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.xaxis.minorticks_off()
        axes.margins(x=0.12, y=0.25)
        axes.set_xlabel("tokens in the vocabulary")
        return _inline(figure, label)


def _wants_log(measure: Measure, values: Sequence[float]) -> bool:
    return (
        measure.direction == "lower" and min(values) > 0 and max(values) / min(values) > _LOG_RANGE
    )


def _phases(axes: Axes, ways: Sequence[Point]) -> None:
    """Shade every other phase of the training, and name each at its beginning."""
    starts = [
        place
        for place, point in enumerate(ways)
        if point.phase and (place == 0 or ways[place - 1].phase != point.phase)
    ]
    if len(starts) < 2:
        return
    for number_, place in enumerate(starts):
        begin = ways[place].x
        end = ways[starts[number_ + 1]].x if number_ + 1 < len(starts) else ways[-1].x
        if number_ % 2:
            axes.axvspan(begin, end, color=_SHADE, linewidth=0)
        _name_phase(axes, begin, ways[place].phase)


def _name_phase(axes: Axes, begin: float, name: str) -> None:
    axes.text(
        begin,
        1.0,
        f" {name}",
        transform=axes.get_xaxis_transform(),
        va="bottom",
        size=8,
        color=_MUTED,
    )


def _level(axes: Axes, value: float, *, style: str) -> None:
    axes.axhline(value, color=_MUTED, linewidth=1, linestyle=style)


@contextmanager
def _drawing(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure of that size in inches, without pyplot's global state."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes: Any = figure.add_subplot()
        yield figure, axes


def _inline(figure: Figure, label: str) -> str:
    """The figure as an <svg> element that may stand in an HTML page beside others."""
    drawn = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with warnings.catch_warnings():
        # The browser's fonts draw the text, so what matplotlib's own lack does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(drawn, format="svg", transparent=True, metadata=nothing)
    svg = drawn.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"| version="[^"]*"', "", svg)
    svg = re.sub(r'^<svg[^>]*?(viewBox="[^"]*")[^>]*>', r"<svg \1>", svg)
    svg = svg.replace("xlink:href", "href")
    svg = _own_names(svg, label)
    for stand_in, variable in _COLOURS.items():
        svg = svg.replace(stand_in, variable)
    svg = re.sub(r" font-family: [^;]*;|(?<=;) transform: [^;]*;", "", svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg)
    svg = re.sub(r" *\n *", " ", svg)
    # The words of a chart are data; matplotlib's XML writer has escaped them.
    return svg.replace("<svg ", '<svg class="chart" aria-hidden="true" ', 1)


def _own_names(svg: str, label: str) -> str:
    """Drop ids that nothing refers to; make the others the chart's own."""
    prefix = re.sub(r"\W+", "-", label)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))

    def rename(match: re.Match[str]) -> str:
        return f' id="{prefix}-{match[1]}"' if match[1] in used else ""

    svg = re.sub(r' id="([^"]*)"', rename, svg)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", svg)


# ------------------------------------------------------------------ marks inside tables
# In percent of the cell, so that they fit every width. To the right is always better, whatever
# the measure's own direction.


SPARK_WIDTH, SPARK_HEIGHT = 96, 24
_EDGE = 2.0
"""Percent of the cell kept free at either end."""


@dataclass(frozen=True, slots=True)
class Mark:
    """An interval with its middle, in percent of the cell's width."""

    low: float
    high: float
    at: float
    tick: float | None
    """Where chance stands, under a score of its own; None draws nothing."""
    limit: float | None = None
    """How far a rule lets the measure fall."""
    cut: bool = False
    """True if the interval reaches beyond the scale."""


@dataclass(frozen=True, slots=True)
class Spark:
    """A line through a measure's checkpoints, in pixels."""

    path: str
    x: float
    y: float
    """The candidate's own point."""


def scales(measures: Sequence[Measure]) -> dict[str, float]:
    """What the edge of the cell means, by `scale_name`.

    Wide enough for all that changed or has a rule; the few intervals that are wider still (tasks
    of a dozen items) are cut rather than squeezing the rest to dots.
    """
    reaches: dict[str, list[float]] = {}
    telling: dict[str, list[float]] = {}
    for measure in measures:
        reach = _reach(measure)
        if reach is None or reach == 0:
            continue
        reaches.setdefault(scale_name(measure), []).append(reach)
        if measure.word in ("worse", "better") or measure.rule is not None:
            telling.setdefault(scale_name(measure), []).append(reach)
    return {
        name: 1.05 * max(telling.get(name, [statistics.median(found)]))
        for name, found in reaches.items()
    }


def scale_name(measure: Measure) -> str:
    """Measures of one unit share a scale: all fractions, all bits/byte; else the same metric."""
    return "fractions" if measure.fraction else measure.unit or measure.metric


def difference(measure: Measure, scale: Mapping[str, float]) -> Mark | None:
    """The mark of a difference, zero in the middle; None if there is nothing to draw."""
    reach = scale.get(scale_name(measure))
    if reach is None or measure.delta is None or not math.isfinite(measure.delta.value):
        return None
    sign = 1.0 if measure.direction == "higher" else -1.0
    low = measure.delta.value if measure.low is None else measure.low
    high = measure.delta.value if measure.high is None else measure.high
    ends = sorted((sign * low, sign * high))
    return Mark(
        low=_percent(ends[0], reach),
        high=_percent(ends[1], reach),
        at=_percent(sign * measure.delta.value, reach),
        tick=None,
        limit=_percent(-measure.limit, reach) if measure.limit else None,
        cut=max(abs(ends[0]), abs(ends[1])) > reach,
    )


def score(measure: Measure) -> Mark | None:
    """The mark of a score between 0 and 1 with its interval; the tick is what guessing gives."""
    if measure.candidate is None or not measure.fraction:
        return None
    value = measure.candidate.value
    least = value if measure.least is None else measure.least
    most = value if measure.most is None else measure.most
    return Mark(
        low=100 * max(0.0, least),
        high=100 * min(1.0, most),
        at=100 * value,
        tick=100 * measure.chance if measure.chance is not None else None,
    )


def spark(ways: Sequence[Point], at: int | None) -> Spark | None:
    """A sparkline over a measure's checkpoints; the scale is its own range.

    at: the candidate's place; the last point where it has none.
    """
    if len(ways) < 2:
        return None
    xs, values = [point.x for point in ways], [point.value for point in ways]
    if max(values) > 30 * min(values) > 0:
        values = [math.log(value) for value in values]
    left, bottom = min(xs), min(values)
    wide, tall = max(xs) - left or 1, max(values) - bottom or 1.0
    spots = [
        (
            3 + (SPARK_WIDTH - 6) * (x - left) / wide,
            3 + (SPARK_HEIGHT - 6) * (1 - (value - bottom) / tall),
        )
        for x, value in zip(xs, values, strict=True)
    ]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
    mine = spots[xs.index(at)] if at in xs else spots[-1]
    return Spark(path=path, x=round(mine[0], 1), y=round(mine[1], 1))


def _reach(measure: Measure) -> float | None:
    bounds = [measure.low, measure.high, measure.delta.value if measure.delta else None]
    known = [abs(bound) for bound in bounds if bound is not None and math.isfinite(bound)]
    return max(known, default=None)


def _percent(value: float, reach: float) -> float:
    share = max(-1.0, min(1.0, value / reach))
    return round(50 + share * (50 - _EDGE), 2)
