"""The report in a terminal: one line a measure, skipped things, findings, the verdict last.

Every line is a rich `Text`, never markup, so that brackets in a task's name stay brackets; the
report's text holds no control codes (`words.harmless`). Colour only repeats what a word says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from pyr.gate.spec import Finding
from pyr.report import document as blocks
from pyr.report import words
from pyr.report.document import Document, plain
from pyr.report.measures import JUDGED, Measure, Word, readable
from pyr.report.outline import Report, title

MEASURES_SHOWN = 30
SENTENCES_SHOWN = 8
_STYLES = {
    "fail": "bold red",
    "worse": "red",
    "missing": "red",
    "pass": "green",
    "better": "green",
    "unclear": "yellow",
    "incomplete": "bold yellow",
    "cannot tell": "yellow",
    "not proven": "yellow",
    "skipped": "yellow",
}


def show(report: Report, console: Console) -> None:
    """Print the report; a console without colour, a pipe or a narrow one gets the same lines."""
    for line in lines(report):
        fitting = line.plain.encode(console.encoding, "backslashreplace").decode(console.encoding)
        # Encoding can change a text's length; its colours would then stand in the wrong places.
        console.print(line if fitting == line.plain else Text(fitting), soft_wrap=True)


def lines(report: Report) -> list[Text]:
    """The report line by line, the verdict last."""
    banner = report.banner
    said = [Text(title(report.candidate), style="bold")]
    if report.baseline is not None:
        said.append(Text(f"against {title(report.baseline)}"))
    said.append(Text(f"suite {report.candidate.suite}, engine {report.candidate.engine_used}"))
    said += [Text(), *_measures(report)]
    said += [_tagged("skipped", f"{each.what}: {each.reason}") for each in report.skipped]
    said += [_tagged("note", note.text + _of_measures(note.measures)) for note in report.notes]
    said += [_tagged("fail", f"{each.item}: {each.what}") for each in report.broken[:5]]
    said += [Text(), *_findings(report.findings)] if report.findings else []
    if report.findings:
        said.append(Text(f"rules: {_counted(banner.rules, ('fail', 'unclear', 'pass'))}"))
    if report.baseline is not None:
        said.append(Text(f"measures: {_counted(banner.words, get_args(Word))}"))
    return [*said, _tagged(banner.outcome, banner.headline)]


def _measures(report: Report) -> list[Text]:
    """One line for every measure that says something, aligned; tasks first."""
    judged = [readable(each) for section in JUDGED for each in report.of(section)]
    shown = [each for each in judged if _says_something(each)] if len(judged) > 20 else judged
    shown = shown[:MEASURES_SHOWN]
    baseline = report.baseline.checkpoint.name if report.baseline else ""
    cells = [_cells(each, baseline) for each in shown]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    said = []
    for measure, row in zip(shown, cells, strict=True):
        line = Text("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
        line.rstrip()
        line.highlight_words([measure.word], _STYLES.get(measure.word, ""))
        said.append(line)
    left_out = len(judged) - len(shown)
    if left_out:
        said.append(Text(f"and {words.plural(left_out, 'more measure')} in the report"))
    return said


def _says_something(measure: Measure) -> bool:
    if measure.rule is not None or measure.word in ("worse", "missing"):
        return True
    is_member = measure.group not in ("", measure.task)
    return not is_member and (
        measure.main or measure.word in ("better", "not proven", "cannot tell")
    )


def _cells(measure: Measure, baseline: str) -> list[str]:
    """As ``hellaswag acc_norm 0.317 +-0.009 (n=10042) +0.019 +-0.012 vs base-1 better``."""
    values = [each.value for each in (measure.candidate, measure.baseline) if each is not None]
    places = words.decimals(*values)
    score, count = "not measured", ""
    if measure.candidate is not None:
        value = measure.candidate.value
        score = words.number(value, places) + _reach(value, measure.least, measure.most, places)
        score += f" {measure.unit}" if measure.section == "throughput" and measure.unit else ""
        alike = words.clustered(measure.candidate.n, measure.candidate.clusters)
        count = f"(n={measure.candidate.n or 'unknown'}{f' {alike}' if alike else ''})"
    change = ""
    if measure.delta is not None:
        value = measure.delta.value
        give = _reach(value, measure.low, measure.high, places, sign=True)
        change = f"{words.signed(value, places)}{give} vs {baseline}"
    word = "" if measure.word == "not compared" else measure.word
    rule = f"rule: {measure.rule}" if measure.rule else ""
    return [measure.task, measure.metric, score, count, change, word, rule, measure.said]


def _reach(
    value: float, low: float | None, high: float | None, places: int, *, sign: bool = False
) -> str:
    shown = words.reach(value, low, high, places, sign=sign)
    if not shown:
        return ""
    return f" {shown}" if shown.startswith(words.PLUS_MINUS) else f" ({shown})"


def _findings(findings: Sequence[Finding]) -> list[Text]:
    """Failed findings as sentences, and the others as long as they are few; then their names."""
    said = []
    for state in ("fail", "unclear", "pass"):
        found = [each for each in findings if each.state == state]
        room = len(found) if state == "fail" else SENTENCES_SHOWN
        said += [_tagged(state, each.sentence) for each in found[:room]]
        if len(found) > room:
            names = ", ".join(each.measure for each in found[room:])
            said.append(_tagged(state, f"and {len(found) - room:,} more: {names}"))
    return said


def _tagged(tag: str, text: str) -> Text:
    """The state's word in front, in its colour."""
    return Text.assemble((f"{tag.upper():<10}", _STYLES.get(tag, "bold")), " ", text)


def _counted(counts: Mapping[str, int], order: Sequence[str]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in order if counts.get(name))


def _of_measures(amount: int) -> str:
    return f" ({words.plural(amount, 'measure')})" if amount else ""


# ------------------------------------------------------------------ any document


def show_document(document: Document, console: Console) -> None:
    """Print a document's text and tables; charts and tokens stand in its page alone."""
    console.print(f"{document.heading}\n", markup=False, style="bold")
    for text in document.intro:
        console.print(plain(text.content), markup=False)
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, blocks.Table):
                for part in _fitting(block, console.width):
                    console.print(part)
            elif isinstance(block, blocks.Text) and block.role == "foot":
                console.print(plain(block.content), markup=False)


def _fitting(table: blocks.Table, width: int) -> Iterator[RichTable]:
    """The table in parts of as many columns as the screen is wide, each with the rows' heads."""
    heads = [column.short or plain(column.head) for column in table.columns]
    cells = [list(map(plain, row.cells)) for row in blocks.rows(table)]
    first = max(len(row[0]) for row in cells) + 4
    part: list[int] = []
    used = first
    for place, column in enumerate(table.columns):
        if place == 0 or column.place == "prose":
            continue
        longest = max(len(row[place]) for row in cells)
        needed = max(longest, *map(len, heads[place].split())) + 3
        if part and used + needed > width:
            yield _part(heads, cells, part)
            part, used = [], first
        part.append(place)
        used += needed
    if part:
        yield _part(heads, cells, part)


def _part(heads: Sequence[str], cells: Sequence[Sequence[str]], places: list[int]) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD)
    table.add_column(heads[0], no_wrap=True)
    for place in places:
        table.add_column(heads[place], justify="right")
    for row in cells:
        table.add_row(*(Text(row[place]) for place in (0, *places)))
    return table
