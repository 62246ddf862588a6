"""Write a document as Markdown, for a pull request or a build's page."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from pyr.report import words
from pyr.report.document import (
    Block,
    Cell,
    Content,
    Document,
    Findings,
    Fold,
    Group,
    Listing,
    Table,
    Text,
    plain,
    rows,
)

ROWS_SHOWN = 60
"""Of a long table; a pull request takes only so many characters."""


def write(document: Document) -> str:
    """Return the document's text and tables; charts and tokens stand in the page alone."""
    word = f"{document.word}: " if document.word else ""
    lines = [f"## {word}{_quoted(document.heading)}"]
    lines += ["", "; ".join(map(_quoted, document.kicker))]
    lines += ["", *(f"- {_quoted(reason)}" for reason in document.reasons)]
    lines += [f"- {document.more}"] if document.more else []
    for sentence in document.then:
        lines += ["", _quoted(sentence)]
    for text in document.intro:
        lines += ["", _quoted(text.content)]
    tiles = [f"{tile.number} {tile.label}" for tile in document.tiles]
    lines += ["", f"{_quoted('; '.join(tiles))}."] if tiles else []
    for section in document.sections:
        if section.page_only:
            continue
        lines += ["", f"### {_quoted(section.heading)}"]
        for block in section.blocks:
            lines += _block(block)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Text) and block.role not in ("paper", "drawn", "drawn foot"):
        yield from ("", _quoted(block.content))
    elif isinstance(block, Table):
        yield from ("", *_table(block))
    elif isinstance(block, Listing):
        yield from ("", *(f"- {_quoted(item)}" for item in block.items))
    elif isinstance(block, Findings):
        yield from (
            "",
            *(f"- **{each.state.upper()}** {_quoted(each.sentence)}" for each in block.items),
        )
        yield from [f"- {_quoted(block.end)}."] if block.end else []
    elif isinstance(block, Fold | Group):
        yield from ("", f"#### {_quoted(block.summary)}") if isinstance(block, Fold) else ()
        yield from itertools.chain.from_iterable(map(_block, block.blocks))


def _table(table: Table) -> Iterator[str]:
    # A column of drawn intervals repeats what another column says in numbers.
    drawn = {
        place
        for row in rows(table)
        for place, cell in enumerate(row.cells)
        if isinstance(cell, Cell) and cell.drawn is not None
    }
    kept = [place for place in range(len(table.columns)) if place not in drawn]
    columns = [table.columns[place] for place in kept]
    yield f"| {' | '.join(_quoted(column.head) for column in columns)} |"
    places = ["---:" if column.place == "number" else "---" for column in columns]
    yield f"|{'|'.join(['---', *places[1:]])}|"
    for row in rows(table)[:ROWS_SHOWN]:
        cells = [_quoted(cell) for place, cell in enumerate(row.cells) if place in kept]
        yield f"| {' | '.join(cells)} |"
    if len(table.rows) > ROWS_SHOWN:
        yield ""
        yield f"and {words.plural(len(table.rows) - ROWS_SHOWN, 'more row')} in the page."


def _quoted(content: Content | Cell) -> str:
    """Text that Markdown and HTML take for itself, on one line."""
    flat = words.one_line(plain(content))
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]#|~@])", r"\\\1", flat)
