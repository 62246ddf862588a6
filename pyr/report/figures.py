"""The charts of the page, drawn by matplotlib as SVG that lives inside HTML.

Colours are the page's own (CSS variables), so that a chart follows light and dark; text stays
text; and the same data gives the same bytes. Every chart is told again by a table of the page or by
the sentence under it.
"""

from __future__ import annotations

import io
import re
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
}
_INK, _MUTED, _LINE, _ACCENT, _WORSE, _SHADE = _COLOURS
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


def tokenizer_bars(domains: Mapping[str, Mapping[str, float]]) -> str:
    """Bytes per token of every tokenizer, grouped by domain; longer is better.

    domains: {domain: {tokenizer: bytes per token}}, the candidate's own first.
    """
    names = list(dict.fromkeys(name for row in domains.values() for name in row))
    step = 0.8 / len(names)
    with _drawing(4.6, 0.55 + len(domains) * (0.2 + 0.16 * len(names))) as (figure, axes):
        for place, name in enumerate(names):
            ys = [row + (place - (len(names) - 1) / 2) * step for row in range(len(domains))]
            widths = [scores.get(name, 0.0) for scores in domains.values()]
            fade = 1.0 if place == 0 else max(0.25, 0.6 - 0.12 * place)
            colour = _ACCENT if place == 0 else _MUTED
            axes.barh(ys, widths, height=step * 0.86, color=colour, alpha=fade)
            for y, width in zip(ys, widths, strict=True):
                axes.text(width, y, f" {name} {width:.2f}", va="center", size=8, color=_MUTED)
        axes.set_yticks(range(len(domains)), list(domains))
        axes.invert_yaxis()
        axes.grid(False)
        axes.set_xlim(0, axes.get_xlim()[1] * 1.25)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        return _inline(figure, "bytes per token by domain")


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
