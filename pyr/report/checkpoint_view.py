"""The report of a checkpoint as a document: the verdict, the gate, the measures, and the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import get_args

from pyr.report import charts, measure_cells, words
from pyr.report import checkpoint_sections as sections
from pyr.report.document import (
    Block,
    Cell,
    Column,
    Content,
    Document,
    Finding,
    Findings,
    Fold,
    Group,
    Listing,
    Piece,
    Row,
    Section,
    Table,
    Text,
    Tile,
)
from pyr.report.measures import Measure, Word
from pyr.report.outline import Report, title

ROWS_FIRST = 24
"""The others appear when asked for (at once where there is no script, and on paper)."""
ROWS_SHOWN = 600
"""More measures than this would make the file too large; the rest stands in the JSON."""
SCALES_SAID = 3
_FLIPPED = "Samples that flipped"
_PAGE_ONLY = ("samples", "training", "writing", "provenance")
"""Sections, by anchor, that a pull request has no room for."""
BROKEN_SHOWN = 50


def document(report: Report) -> Document:
    """Return the page of a checkpoint; the same report gives the same document."""
    banner, candidate, baseline = report.banner, report.candidate, report.baseline
    kicker: list[Content] = [Piece(title(candidate), "strong")]
    if baseline is not None:
        kicker.append(("against ", Piece(title(baseline), "strong")))
    kicker += [f"suite {candidate.suite}", f"engine {candidate.engine_used}"]
    if candidate.finished:
        kicker.append(candidate.finished[:10])
    return Document(
        title=f"{banner.word}: {candidate.checkpoint.name}",
        page="checkpoint",
        heading=banner.headline,
        state=banner.outcome,
        word=banner.word,
        kicker=kicker,
        reasons=banner.reasons,
        more=f"and {words.plural(banner.more, 'more reason')} below" if banner.more else "",
        tiles=list(_tiles(report)),
        sections=list(_sections(report)),
        footer=f"Made by Pyr from the stored results of run {candidate.id}; the same results give "
        "the same page.",
    )


def _tiles(report: Report) -> Iterator[Tile]:
    banner = report.banner
    if report.findings:
        said = {
            "fail": ("worse", "fail"),
            "unclear": ("unclear", "cannot be decided"),
            "pass": ("better", "pass"),
        }
        gravest = next(state for state in said if banner.rules.get(state) or state == "pass")
        tone, words_of = said[gravest]
        amount = f"{banner.rules[gravest]} of {len(report.findings)}"
        yield Tile(amount, f"rules {words_of}", tone, "gate")
    if report.baseline is None:
        yield Tile(str(len(report.measures)), "measures, no baseline", anchor="measures")
    else:
        for word in ("worse", "better"):
            count = banner.words.get(word, 0)
            noun = "measure" if count == 1 else "measures"
            yield Tile(str(count), f"{noun} {word}", word if count else "", "measures")
        undecided = banner.words.get("not proven", 0) + banner.words.get("cannot tell", 0)
        if undecided:
            yield Tile(str(undecided), "not proven or too wide to tell", "unclear", "measures")
        count = banner.words.get("no change seen", 0)
        yield Tile(str(count), "no change seen", anchor="measures")
    if report.skipped:
        yield Tile(str(len(report.candidate.skipped)), "skipped", "unclear", "skipped")
    if report.broken:
        yield Tile(str(len(report.broken)), "health checks failed", "worse", "health")
    elif report.sound:
        yield Tile("sound", "weights and tokenizer", anchor="health")


def _sections(report: Report) -> Iterator[Section]:
    broken, findings, sound = bool(report.broken), bool(report.findings), bool(report.sound)
    gate = f"The gate {report.gate}"
    measures = "What changed" if report.baseline else "Scores"
    inside = "Condition" if broken else "Health"
    has_inside = (sound and not broken) or bool(report.of("condition"))
    notes = "Skipped, and other notes" if report.skipped else "Notes"
    has_notes = bool(report.skipped or report.notes)
    # Whether there is one, its heading, what makes its blocks, its anchor, its name in the list.
    planned: list[tuple[bool, str, Callable[[Report], Iterator[Block]], str, str]] = [
        (broken, "Health", _broken, "health", "Health"),
        (findings, gate, _gate, "gate", "Gate"),
        (
            bool(report.of("task")) or not report.measures,
            measures,
            _measures,
            "measures",
            "Measures",
        ),
        (bool(report.flips), _FLIPPED, sections.flips, "samples", _FLIPPED),
        (bool(report.charts), "Over training", sections.training, "training", "Over training"),
        (bool(report.forgetting), "Forgetting", sections.forgetting, "forgetting", "Forgetting"),
        (bool(report.writing), "What it writes", sections.writing, "writing", "What it writes"),
        (bool(report.of("tokenizer")), "Tokenizer", sections.tokenizer, "tokenizer", "Tokenizer"),
        (
            bool(report.of("throughput")),
            "Throughput",
            sections.throughput,
            "throughput",
            "Throughput",
        ),
        (has_inside, inside, _condition, inside.lower(), "" if broken else "Health"),
        (has_notes, notes, _notes, "skipped", "Notes"),
        (True, "Provenance", sections.provenance, "provenance", "Provenance"),
    ]
    for there, heading, blocks, anchor, link in planned:
        if there:
            page_only = anchor in _PAGE_ONLY
            yield Section(heading, list(blocks(report)), anchor, link, page_only)


# ------------------------------------------------------------------ health, gate, notes


def _broken(report: Report) -> Iterator[Block]:
    yield Text("Checks of the checkpoint itself; no score of a damaged checkpoint means anything.")
    items: list[Content] = []
    for each in report.broken[:BROKEN_SHOWN]:
        badge, item = Piece("BROKEN", "badge", "fail"), Piece(each.item, "code")
        items.append((badge, " ", item, f" {each.what} ", Piece(each.check, "small")))
    if len(report.broken) > BROKEN_SHOWN:
        items.append(f"and {len(report.broken) - BROKEN_SHOWN} more")
    yield Listing(items)


def _gate(report: Report) -> Iterator[Block]:
    yield Text(
        "What was asked of this checkpoint, and what the measurements say to it. The bounds in "
        "these sentences are one-sided: at 95%, the truth lies beyond each of them one time in "
        "twenty. The tables below give two-sided 95% intervals, which are wider."
    )
    glossary = words.glossary(each.sentence for each in report.findings)
    if glossary:
        yield Text(f"{glossary}.", "foot")
    folds: list[Block] = []
    checks = [each for each in report.findings if each.kind == "check"]
    for state, heading in (("fail", "fail"), ("unclear", "cannot be decided"), ("pass", "pass")):
        found: list[Finding] = []
        sound: list[Finding] = []
        for each in report.findings:
            if each.state == state:
                item = Finding(each.state, each.sentence, each.why)
                (sound if state == "pass" and each.kind == "check" else found).append(item)
        if sound:
            checked = words.plural(report.sound, "check") + " sound" if report.sound else ""
            summary = f"Health: {len(sound)} of {len(checks)} rules pass"
            folds.append(
                Fold((summary, " ", Piece(checked, "small")), [Findings(sound)], kind="health")
            )
        if found:
            few = 4 if state == "unclear" else 2
            shown = state == "fail" or len(found) <= few
            folds.append(Fold(f"{len(found)} {heading}", [Findings(found)], open=shown, kind=""))
    yield Group(folds, "card rules")


def _condition(report: Report) -> Iterator[Block]:
    said = []
    if not report.broken:
        checks = words.plural(report.sound, "check")
        said.append(f"{checks} of weights, tokenizer, template and training state: all sound.")
    if report.of("condition"):
        said.append(
            "What the model is like inside, on fixed texts; a number that leaps is a warning, no "
            "verdict."
        )
    yield Text(" ".join(said))
    if report.of("condition"):
        measures = report.of("condition")
        compared = report.baseline is not None
        yield measure_cells.plain_table(
            measures, "Condition of the model", "Measure", compared=compared, judged=False
        )


def _notes(report: Report) -> Iterator[Block]:
    items: list[Content] = []
    for each in report.skipped:
        apply = "" if each.missing else " does not apply to this checkpoint"
        badge = Piece("SKIPPED", "badge", "unclear")
        what = Piece(each.what, "strong")
        items.append((badge, " ", what, f": {each.reason}", Piece(apply, "small")))
    for note in report.notes:
        count = f" ({words.plural(note.measures, 'measure')})" if note.measures else ""
        items.append((note.text, Piece(count, "small")))
    yield Listing(items)


# ------------------------------------------------------------------ measures


def _measures(report: Report) -> Iterator[Block]:
    every = report.of("task")
    if not every:
        yield Text("Nothing was measured.")
        return
    measures = every[:ROWS_SHOWN]
    compared = report.baseline is not None
    if compared:
        yield Text(
            "Regressions first. Coloured where the difference is more than chance; to the right is "
            "better.",
            "drawn",
        )
    else:
        yield Text("Every measure with its 95% interval.")
    scales = charts.scales(measures)
    reached = report.candidate.checkpoint.reached(report.axis)
    trails = any(charts.spark(each.trail, reached) for each in measures)
    columns = [*_measure_columns(compared), Column("n", label="n", sort="number")]
    if trails:
        columns.append(Column("Over training", "text", label=""))
    rows = []
    for place, each in enumerate(measures, 1):
        mark = charts.difference(each, scales) if compared else charts.score(each)
        row = _measure_row(each, place, mark, compared=compared)
        if trails:
            row = replace(row, cells=[*row.cells, Cell(drawn=charts.spark(each.trail, reached))])
        rows.append(row)
    name = report.candidate.checkpoint.name
    against = f" against {report.baseline.checkpoint.name}" if report.baseline else ""
    yield Table(
        "Measures",
        columns,
        rows,
        kind="measures compared" if compared else "measures alone",
        caption=f"Measures of {name}{against}",
        filters=list(_filters(report, measures)) if compared else (),
        first=ROWS_FIRST,
    )
    small = sum(each.small for each in measures[ROWS_FIRST:])
    if small:
        unprinted = words.plural(small, "measure")
        yield Text(
            f"{unprinted} of a group's members, of fewer than ten items each, not printed.", "paper"
        )
    yield Text(" ".join(_how_to_read(report, measures, scales, len(every))), "drawn foot")


def _measure_columns(compared: bool) -> list[Column]:
    name = Column("Measure", "text", sort="text")
    if not compared:
        score = Column("Score", label="Score", sort="number")
        return [name, score, Column("Interval", "text", ends=("0", "1"))]
    return [
        name,
        Column("Change", "text", sort="number"),
        Column("Interval", "text", ends=("\u25c0 worse", "better \u25b6")),
        Column("Difference", label="Difference", sort="number"),
        Column("Now", label="Now", sort="number"),
        Column("Before", label="Before", sort="number"),
    ]


def _measure_row(measure: Measure, place: int, mark: charts.Mark | None, *, compared: bool) -> Row:
    now, before = measure.candidate, measure.baseline
    places = measure_cells.places_of(measure)
    tone = str(measure.word).replace(" ", "-")
    interval = Cell(tone=tone, drawn=mark)
    score = Cell(measure_cells.estimate(measure, places), sort=now.value if now else None)
    cells: list[Content | Cell] = [_measure_name(measure)]
    if compared:
        delta = measure.delta
        cells += [
            Cell(measure_cells.word(measure), "said-word", sort=place),
            interval,
            Cell(measure_cells.difference(measure, places), sort=delta.value if delta else None),
            score,
            Cell(
                words.number(before.value, places) if before else "",
                sort=before.value if before else None,
            ),
        ]
    else:
        cells += [score, interval]
    known = now or before
    n, clusters = (known.n, known.clusters) if known else (0, 0)
    together = words.clustered(n, clusters)
    clusters_of = Piece(f" {together}", "small", "ends") if together else ""
    cells.append(Cell((words.count(n), clusters_of), sort=n))
    grey = bool(measure.marks)
    tones = ("small" if measure.small else "", "grey" if grey else "")
    word = "decides nothing" if grey else measure.word
    return Row(cells, " ".join(filter(None, tones)), word, ruled=measure.rule is not None)


def _measure_name(measure: Measure) -> Content:
    about = measure.metric
    if measure.unit:
        about += f", {measure.unit}"
    if measure.direction == "lower":
        about += ", less is better"
    if measure.group not in ("", measure.task):
        about += f", in {measure.group}"
    parts: list[str | Piece] = [measure.task, Piece(f" {about}", "small")]
    if measure.said:
        tone = "word" if measure.marks else "word worse"
        parts += [" ", Piece(measure.said, "strong", tone)]
    if measure.rule:
        tone = {"fail": "word worse", "pass": "word", "unclear": "word cannot-tell"}[measure.rule]
        parts += [" ", Piece(f"rule: {measure.rule}", "strong", tone)]
    return tuple(parts)


def _filters(report: Report, measures: Sequence[Measure]) -> Iterator[tuple[str, str]]:
    yield "", f"All {len(measures)}"
    counts = Counter(str(each.word) for each in measures if not each.marks)
    for word in get_args(Word):
        if counts[word]:
            yield word, f"{word.capitalize()} {counts[word]}"
    undecided = sum(bool(each.marks) for each in measures)
    if undecided:
        yield "decides nothing", f"Decides nothing {undecided}"
    if report.findings:
        yield "rule", "In the gate"


def _how_to_read(
    report: Report, measures: Sequence[Measure], scales: Mapping[str, float], total: int
) -> Iterator[str]:
    yield (
        f"{words.PLUS_MINUS} is half of a two-sided 95% interval; where its sides differ, both "
        "ends are given. n is the number of items, a dash where the source does not state it."
    )
    if any(each.clustered for each in report.measures):
        yield (
            "Items that share a passage, a paradigm or a relation may err alike and count as one "
            "cluster: many flips in few clusters may still be no proof of a change."
        )
    compared = report.baseline is not None
    if not compared:
        yield "An upright line is what guessing would score, where it is known."
    else:
        yield from _how_to_read_changes(report, measures, scales)
    if any(each.marks for each in measures):
        which = "neither score is" if compared else "the score is not"
        yield (
            f"Grey rows decide nothing, and are not counted: {which} 3 standard errors above "
            "guessing (at chance), or over five or more checkpoints of this phase it follows no "
            "trend and moves no more than noise alone would."
        )
    if total > ROWS_SHOWN:
        left_out = words.plural(total - ROWS_SHOWN, "more measure stands", "more measures stand")
        yield f"{left_out} in the JSON of this report."


def _how_to_read_changes(
    report: Report, measures: Sequence[Measure], scales: Mapping[str, float]
) -> Iterator[str]:
    yield (
        "Better and worse are said where Benjamini-Hochberg at a false discovery rate of 10%, "
        "over all compared measures, rejects that nothing changed."
    )
    if report.banner.words.get("not proven"):
        yield (
            "Not proven: the row's own interval leaves zero out, but among so many rows that may "
            "be chance."
        )
    if report.banner.words.get("cannot tell"):
        yield (
            "Cannot tell: the interval is wider than what matters (the gate's margin; without one, "
            "0.1 of a fraction and a tenth of any other score), the gate's rule is unclear, or "
            "there is no interval."
        )
    shared = Counter(charts.scale_name(each) for each in measures if each.delta is not None)
    said = []
    for name, _ in shared.most_common(SCALES_SAID):
        if name in scales:
            said.append(f"{words.number(scales[name], 3)} of {name.replace('_', ' ')}")
    if said:
        yield (
            f"The interval column reaches as far either way as {', '.join(said)}; every other unit "
            "has a scale of its own, and dashed intervals reach beyond theirs."
        )
    drawn = [charts.difference(each, scales) for each in measures if each.limit]
    if any(mark is not None and mark.limit for mark in drawn):
        yield "A dashed upright line is how far the gate lets a measure fall."
