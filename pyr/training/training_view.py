"""The report of a whole run as a document: phases, verdicts, what was forgotten, provenance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pyr.gate import spec as gate
from pyr.report import charts, forgetting, words
from pyr.report.checkpoint_sections import score_cell
from pyr.report.document import (
    Block,
    Cell,
    Chart,
    Charts,
    Column,
    Content,
    Document,
    Finding,
    Findings,
    Fold,
    Piece,
    Section,
    Table,
    Text,
    Tile,
)
from pyr.report.forgetting import METRIC, Matrix, delta, spread
from pyr.report.words import harmless
from pyr.training.course import Course, Leg

HELD_OUT = "held_out_"
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


def document(course: Course) -> Document:
    """Return the report of the run; the same run gives the same document."""
    description = [Text(course.description, "foot")] if course.description else []
    passed = sum(leg.opens for leg in course.legs)
    sections = [
        Section("Phases", list(_phases(course))),
        Section("What the gates found", list(_gates(course))),
        Section("Over training", list(_training(course))),
        Section("Provenance", list(_provenance(course))),
    ]
    if course.matrix:
        sections.insert(2, Section("Forgetting", list(_forgetting(course, course.matrix))))
    return harmless(
        Document(
            title=f"{course.state.upper()}: {course.recipe}",
            page="training",
            heading=headline(course),
            state=course.state,
            reasons=reasons(course),
            then=[sentence for sentence in (next_step(course), price(course)) if sentence],
            tiles=(
                Tile(f"{passed} of {len(course.planned)}", "phases through their gate"),
                Tile(words.large(course.tokens), "training tokens"),
                Tile(clock(course.seconds), "spent in training steps"),
            ),
            intro=description,
            sections=sections,
        )
    )


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


# ------------------------------------------------------------------ the sections


def _phases(course: Course) -> Iterator[Block]:
    stages = dict.fromkeys(leg.stage for leg in course.legs)
    kinds = [stage for stage in stages if stage in KINDS]
    said = "".join(f" {kind}: {KINDS[kind]}." for kind in kinds)
    yield Text(f"In the order of the recipe. A phase begins when the gate before it is open.{said}")
    columns = (
        Column("phase", "text"),
        Column("verdict", "text"),
        Column("kind", "text"),
        Column("tokens"),
        Column("steps"),
        Column("tokens/s, median step"),
        Column("time"),
        Column("description", "prose"),
    )
    rows: list[Sequence[Content | Cell]] = []
    for leg in course.legs:
        # A phase of preferences counts no tokens, and so has no speed.
        counts = leg.end > leg.begin
        overruled = leg.opens and leg.state != "pass"
        rows.append(
            (
                leg.phase,
                (_badge(leg.state), Piece(" overruled" if overruled else "", "small")),
                leg.stage,
                words.large(leg.end - leg.begin) if counts else "-",
                words.count(leg.steps),
                words.count(round(leg.rate)) if counts else "-",
                clock(leg.seconds),
                leg.description,
            )
        )
    for name in course.planned[len(course.legs) :]:
        rows.append((name, Piece("NOT BEGUN", "badge"), Cell("", span=6)))
    caption = "Every phase with its verdict, tokens and time"
    yield Table("Phases of the run", columns, rows, kind="phases", caption=caption)


def _badge(state: str) -> Piece:
    return Piece(state.upper(), "badge", state)


def _gates(course: Course) -> Iterator[Block]:
    yield Text(
        "Every rule of every gate, against the phase that the model came from. Bounds: the truth "
        "lies beyond each one with a chance of 5%; tables give the wider two-sided 95% interval."
    )
    for leg in course.legs:
        passing = sum(each.state == "pass" for each in leg.findings)
        counted = Piece(f" {passing} of {len(leg.findings)} rules pass", "small")
        blocks: list[Block] = []
        if leg.report:
            link = Piece(leg.report, "link", title=leg.report)
            blocks.append(Text(("The phase's own report: ", link), "own"))
        items = [Finding(each.state, each.sentence, each.why) for each in ruled(leg)]
        blocks.append(Findings(items, health(leg)))
        shown = leg.state != "pass" or leg is course.legs[-1]
        yield Fold((_badge(leg.state), leg.phase, counted), blocks, open=shown, kind="card rules")


def _forgetting(course: Course, matrix: Matrix) -> Iterator[Block]:
    yield Text(
        "Bits per byte (less is better) of every text set after every phase; a set "
        "held_out_<phase> is documents of that phase that no phase trains on. Below each figure "
        "the change from the best phase before it, with its two-sided 95% interval, in pairs over "
        "documents."
    )
    failed = failures(course)
    columns = [Column("text set"), *(Column(row.phase or row.name) for row in matrix.rows)]
    rows: list[list[Content | Cell]] = []
    for place, domain in enumerate(matrix.domains):
        count = Piece(f"n={words.count(matrix.documents[place])}", "small")
        cells: list[Content | Cell] = [(domain, " ", count)]
        for row in matrix.rows:
            failed_here = (row.phase, domain) in failed
            cells.append(score_cell(row.cells[place], failed=failed_here))
        rows.append(cells)
    caption = "Bits per byte of every text set after every phase"
    yield Table("Forgetting, text sets by phases", columns, rows, kind="matrix", caption=caption)
    yield Text(
        "Worse and better than the best phase before are said where the change is at least "
        f"{forgetting.SMALLEST} and stands out among all of this table's (Benjamini-Hochberg at "
        f"{forgetting.FALSE_DISCOVERY_RATE:.0%}); n is the number of documents. Red is a loss that "
        "the phase's gate failed on; amber is one that it allows from the phase before, or has no "
        "rule for.",
        "foot",
    )


def _training(course: Course) -> Iterator[Block]:
    see = ": see Forgetting" if course.matrix else ""
    yield Text(
        "Against training tokens; every other phase is shaded, and a ring is a phase that counts "
        "no tokens. Bands are 95% intervals over items: they say how well each level is known. "
        f"Changes, compared in pairs, are known better{see}."
    )
    loss = loss_chart(course)
    yield Charts([*([loss] if loss else []), *_charts(course)])


def _provenance(course: Course) -> Iterator[Block]:
    yield Text("What the figures were measured on, and the stored runs that they are read from.")
    facts = (Column("fact", "text"), Column("value", "text"))
    caption = "Seed, dates, device and versions"
    yield Table("Provenance", facts, course.facts, kind="facts", caption=caption)
    heads = ("phase", "run", "evaluated", "order, sha256", "weights, sha256")
    rows = []
    for leg in course.legs:
        rows.append((leg.phase, leg.run, leg.evaluated, leg.order[:12], leg.weights[:12]))
    columns = [Column(head, "text") for head in heads]
    yield Table("Runs", columns, rows, kind="facts", caption="The stored run of every phase")


def spans(course: Course) -> list[charts.Span]:
    """Where each phase lies on the axis of tokens; one that counts no tokens is left out."""
    found = [charts.Span(leg.phase, leg.begin, leg.end) for leg in course.legs]
    return [span for span in found if span.end > span.begin]


def loss_chart(course: Course) -> Chart | None:
    """The loss over training tokens, phase by phase; preferences have a loss of another kind."""
    legs = [leg for leg in course.legs if leg.stage != "dpo" and leg.losses]
    if not legs:
        return None
    points = [point for leg in legs for point in leg.losses]
    ends = [(leg.phase, leg.losses[0].value, leg.losses[-1].value) for leg in legs]
    says = [f"{name} {words.number(first)} to {words.number(last)}" for name, first, last in ends]
    svg = charts.over_phases(points, spans(course), name="loss", wide=True)
    return Chart(
        svg, "Training loss, nats a token", f"{', '.join(says)}; less is better.", wide=True
    )


def _charts(course: Course) -> Iterator[Chart]:
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
        svg = charts.over_phases(trail, spans(course), name=name, chance=chance)
        yield Chart(svg, name, f"{', '.join(levels)}; {better}{guessed}.")


def clock(seconds: float) -> str:
    """``1 h 02 min``, ``3 min 20 s`` or ``45 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def ruled(leg: Leg) -> tuple[gate.Finding, ...]:
    """The findings to read one by one: all but the health checks that found nothing."""
    return tuple(
        each
        for each in leg.findings
        if each.state != "pass" or each.kind != "check" or each.observed is None
    )


def health(leg: Leg) -> str:
    """Its health checks in one line; empty where it has none."""
    known = [
        each.observed
        for each in leg.findings
        if each.kind == "check" and each.observed and math.isfinite(each.observed.value)
    ]
    if not known:
        return ""
    sound = sum(round(each.value * each.n) for each in known)
    return f"Health: {sound} of {sum(each.n for each in known)} checks sound"
