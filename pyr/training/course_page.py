"""The report of a whole run: one HTML file that needs nothing else, and the same as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pyr import content
from pyr.gate.spec import Finding
from pyr.report import figures, forgetting, page, words
from pyr.report.forgetting import METRIC, Cell, Matrix, delta, spread
from pyr.report.page import Chart
from pyr.report.words import harmless
from pyr.training.course import Course, Leg

HEALTH = "health/"
HELD_OUT = "held_out_"
TEMPLATE = "reports/templates/course.html.j2"
REASONS_SHOWN = 4
KINDS = {
    "base": "plain text",
    "sft": "supervised fine-tuning on dialogues",
    "dpo": "direct preference optimization, on pairs of a better and a worse answer",
}
_HEADLINES = {
    "pass": "{recipe} passed all its gates.",
    "fail": "{recipe} was stopped by the gate of {last}.",
    "unclear": "The gate of {last} cannot decide; {recipe} waits there.",
    "stopped": "{recipe} was asked to stop; the same command goes on.",
    "until": "{recipe} passed the gates up to {last}.",
}


def headline(course: Course) -> str:
    """How far the run came, in a sentence."""
    last = course.legs[-1].phase if course.legs else course.planned[0]
    partly = course.state == "pass" and len(course.legs) < len(course.planned)
    return _HEADLINES["until" if partly else course.state].format(recipe=course.recipe, last=last)


def reasons(course: Course) -> list[str]:
    """Why the gate of the last phase stays closed, gravest first; empty when it is open."""
    if not course.legs or course.legs[-1].opens:
        return []
    said = [each.sentence for each in course.legs[-1].findings if each.state == course.state]
    left_out = len(said) - REASONS_SHOWN
    return said[:REASONS_SHOWN] + ([f"And {left_out} more below."] if left_out > 0 else [])


def next_step(course: Course) -> str:
    """What to do where a gate stays closed; empty where there is nothing to do."""
    if not course.legs or course.legs[-1].opens:
        return ""
    if course.state == "unclear" and not reasons(course):
        return "Something was not measured; the phase's own report says what."
    if course.state == "unclear":
        return (
            "Ask more items, or overrule it (pyr gate accept), and run the same command: "
            "nothing is trained again."
        )
    kept = [leg.phase for leg in course.legs[:-1]]
    if not kept:
        return "Mend the recipe and run the same command."
    names = f"{', '.join(kept[:-1])} and {kept[-1]} are" if len(kept) > 1 else f"{kept[0]} is"
    return f"Mend the recipe and run the same command: {names} kept."


def price(course: Course) -> str:
    """What the run paid for what it learnt: its largest forgetting, when it is at its end."""
    if course.matrix is None or course.state != "pass":
        return ""
    cells = zip(course.matrix.domains, course.matrix.rows[-1].cells, strict=True)
    lost = [(cell.delta, name, cell) for name, cell in cells if cell and cell.change == "forgot"]
    if not lost:
        return "No forgetting seen at the end."
    _, name, cell = max(lost, key=lambda each: each[0] or 0.0)
    return f"Largest forgetting at the end: {name} {delta(cell)} {spread(cell)} bits/byte."


def failures(course: Course) -> set[tuple[str, str]]:
    """Phases and text sets where a rule of the phase's gate failed."""
    return {
        (leg.phase, each.measure.removesuffix(f"/{METRIC}"))
        for leg in course.legs
        for each in leg.findings
        if each.state == "fail"
    }


def tone(cell: Cell, failed: bool) -> str:
    """How the page marks a cell: ``worse`` only where the gate did not allow it."""
    if cell.change == "forgot":
        return "worse" if failed else "lost"
    return "better" if cell.change == "learnt" else ""


def render(course: Course) -> str:
    """The whole page; the same run gives the same bytes."""
    filters = page.FILTERS | {"clock": clock, "ruled": ruled, "health": health, "tone": tone}
    clean = harmless(course)
    html: str = content.template(content.path(TEMPLATE), filters).render(
        course=clean,
        headline=headline(clean),
        reasons=reasons(clean),
        next_step=next_step(clean),
        price=price(clean),
        kinds=KINDS,
        failures=failures(clean),
        smallest=forgetting.SMALLEST,
        discovery=f"{forgetting.FALSE_DISCOVERY_RATE:.0%}",
        loss_chart=loss_chart(clean),
        charts=list(charts(clean)),
    )
    return html


def spans(course: Course) -> list[figures.Span]:
    """Where each phase lies on the axis of tokens; one that counts no tokens is left out."""
    found = [figures.Span(leg.phase, leg.begin, leg.end) for leg in course.legs]
    return [span for span in found if span.end > span.begin]


def loss_chart(course: Course) -> Chart | None:
    """The loss over training tokens, phase by phase; preferences have a loss of another kind."""
    legs = [leg for leg in course.legs if leg.stage != "dpo" and leg.losses]
    if not legs:
        return None
    points = [point for leg in legs for point in leg.losses]
    ends = [(leg.phase, leg.losses[0].value, leg.losses[-1].value) for leg in legs]
    says = [f"{name} {words.number(first)} to {words.number(last)}" for name, first, last in ends]
    svg = figures.over_phases(points, spans(course), name="loss", wide=True)
    return Chart(svg, "Training loss, nats a token", f"{', '.join(says)}; less is better.")


def charts(course: Course) -> Iterator[Chart]:
    """Every measure that has three points: held-out documents first."""
    names = sorted(course.trails, key=lambda name: (not name.startswith(HELD_OUT), name))
    for name in names:
        task, _, metric = name.partition("/")
        if task == "health" or metric not in (METRIC, "acc"):
            continue
        trail, chance = course.trails[name], course.chances.get(name)
        levels = [f"{each.phase or each.checkpoint} {words.number(each.value)}" for each in trail]
        better = "less is better" if metric == METRIC else "more is better"
        guessed = f"; guessing {words.number(chance)}, dotted" if chance is not None else ""
        svg = figures.over_phases(trail, spans(course), name=name, chance=chance)
        yield Chart(svg, name, f"{', '.join(levels)}; {better}{guessed}.")


def clock(seconds: float) -> str:
    """``1 h 02 min``, ``3 min 20 s`` or ``45 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def ruled(leg: Leg) -> tuple[Finding, ...]:
    """The findings to read one by one: all but the health checks that found nothing."""
    return tuple(
        each
        for each in leg.findings
        if each.state != "pass" or not each.measure.startswith(HEALTH) or each.observed is None
    )


def health(leg: Leg) -> str:
    """Its health checks in one line; empty where it has none."""
    known = [
        each.observed
        for each in leg.findings
        if each.measure.startswith(HEALTH) and each.observed and math.isfinite(each.observed.value)
    ]
    if not known:
        return ""
    sound = sum(round(each.value * each.n) for each in known)
    return f"Health: {sound} of {sum(each.n for each in known)} checks sound"


def markdown(course: Course) -> str:
    """The same in Markdown: phases, verdicts, the forgetting matrix."""
    why = [f"- {reason}" for reason in reasons(course)]
    lines = [f"# {headline(course)}", *(["", *why] if why else [])]
    lines += [line for said in (next_step(course), price(course)) if said for line in ("", said)]
    lines += ["", course.description, ""]
    lines += [
        f"{words.large(course.tokens)} training tokens, {clock(course.seconds)} of training steps.",
        "",
        "| phase | kind | tokens | steps | tokens/s, median step | verdict |",
        "|---|---|---:|---:|---:|---|",
    ]
    lines += [
        f"| {leg.phase} | {leg.stage} | {_speed(leg)} | {leg.state.upper()} |"
        for leg in course.legs
    ]
    for leg in course.legs:
        lines += ["", f"## {leg.phase}: {leg.state.upper()}", ""]
        lines += [f"- {each.state.upper()}: {each.sentence}" for each in ruled(leg)]
        lines += [f"- {health(leg)}."] if health(leg) else []
    if course.matrix:
        lines += ["", "## Forgetting", "", *_matrix_lines(course.matrix)]
    lines += ["", "## Provenance", ""]
    lines += [f"- {label}: {value}" for label, value in course.facts]
    lines += [f"- run of {leg.phase}: `{leg.run}`" for leg in course.legs]
    return harmless("\n".join(lines) + "\n")


def _speed(leg: Leg) -> str:
    """Tokens, steps and tokens a second; preferences count no tokens."""
    if leg.end == leg.begin:
        return f"- | {leg.steps} | -"
    return f"{words.large(leg.end - leg.begin)} | {leg.steps} | {leg.rate:,.0f}"


def _matrix_lines(matrix: Matrix) -> Iterator[str]:
    yield "Bits per byte after each phase; in brackets the change from the best phase before it."
    yield ""
    yield "| text set | " + " | ".join(row.phase or row.name for row in matrix.rows) + " |"
    yield "|---|" + "---:|" * len(matrix.rows)
    for place, domain in enumerate(matrix.domains):
        cells = [row.cells[place] for row in matrix.rows]
        yield f"| {domain} | " + " | ".join(map(_cell, cells)) + " |"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    since = f" ({delta(cell)})" if cell.delta is not None else ""
    return f"{words.number(cell.value)}{since}"
