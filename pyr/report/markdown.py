"""Write a document as Markdown, for a pull request or a build's page."""

from __future__ import annotations

from collections.abc import Iterator

from pyr.report.document import Block, Document, Findings, Fold, Table, Text, plain, rows


def write(document: Document) -> str:
    """Return the document's text and tables; charts and tokens stand in the page alone."""
    lines = [f"# {document.heading}", ""]
    lines += [f"- {reason}" for reason in document.reasons]
    for sentence in document.then:
        lines += ["", sentence]
    for text in document.intro:
        lines += ["", plain(text.content)]
    tiles = [f"{tile.number} {tile.label}" for tile in document.tiles]
    lines += ["", f"{'; '.join(tiles)}."] if tiles else []
    for section in document.sections:
        lines += ["", f"## {section.heading}"]
        for block in section.blocks:
            lines += _block(block)
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Text):
        yield from ("", plain(block.content))
    elif isinstance(block, Table):
        yield from ("", *_table(block))
    elif isinstance(block, Findings):
        yield ""
        for each in block.items:
            yield f"- {each.state.upper()}: {each.sentence}"
        if block.end:
            yield f"- {block.end}."
    elif isinstance(block, Fold):
        yield from ("", f"### {plain(block.summary)}")
        for inner in block.blocks:
            yield from _block(inner)


def _table(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(plain(column.head) for column in table.columns)} |"
    places = ["---:" if column.place == "number" else "---" for column in table.columns]
    yield f"|{'|'.join(['---', *places[1:]])}|"
    for row in rows(table):
        yield f"| {' | '.join(map(plain, row.cells))} |"
