"""A report as a document: what it says in which order, for every writer.

A view turns results into a `Document` of sections and blocks; `html`, `markdown` and `terminal`
write any document. A new table or chart is one block in one view. Text of unknown origin is made
harmless by the view (`words.harmless`) and quoted by the writer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pyr.report.charts import Mark, Spark

Place = Literal["text", "number", "prose"]
"""How a column is set: short text, right-aligned, or text that may take several lines."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line that is set apart."""

    text: str
    kind: Literal[
        "plain", "small", "strong", "code", "token", "badge", "link", "break", "hidden"
    ] = "plain"
    """hidden: read out, and written by other writers, but not seen on the page."""
    tone: str = ""
    """What it says by its colour too: worse, better, unclear, lost, muted."""
    title: str = ""
    """Shown on hover; for a link its target. Never the only place of a fact."""


Content = str | Piece | tuple["str | Piece", ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    block: ClassVar[str] = "text"
    content: Content
    role: Literal["", "lead", "foot", "own", "paper", "drawn", "drawn foot"] = ""
    """drawn: about what only the page draws; paper: on paper alone, where something is left out."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's answer: its state, what was found, and why the rule is there."""

    state: str
    sentence: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """Answers one below the other."""

    block: ClassVar[str] = "findings"
    items: Sequence[Finding]
    end: str = ""
    """A last line without a state."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Lines below each other, each perhaps with a badge before it."""

    block: ClassVar[str] = "listing"
    items: Sequence[Content]


@dataclass(frozen=True, slots=True)
class Quote:
    """What a model was given, or said, as it is."""

    block: ClassVar[str] = "quote"
    text: str
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Sides:
    """Quotes side by side."""

    block: ClassVar[str] = "sides"
    items: Sequence[Quote]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading inside a section."""

    block: ClassVar[str] = "heading"
    content: Content


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table, where more than its content is to be said."""

    content: Content = ""
    tone: str = ""
    span: int = 1
    sort: float | None = None
    """What the column is sorted by."""
    drawn: Mark | Spark | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table, where more than its cells is to be said."""

    cells: Sequence[Content | Cell]
    tone: str = ""
    word: str = ""
    """What a filter of the table finds it by."""
    ruled: bool = False
    """True if a rule of the gate is about it."""


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column."""

    head: Content
    place: Place = "number"
    short: str = ""
    """The head where there is little room: in a terminal."""
    label: str | None = None
    """What stands before a cell's content where the page is too narrow for heads."""
    sort: Literal["", "text", "number"] = ""
    ends: tuple[str, str] | None = None
    """Of a column of drawn intervals: what its left and its right edge mean."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; the first of a row is its head. `own`: rows of what the page is about."""

    block: ClassVar[str] = "table"
    label: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Content | Cell] | Row]
    own: Sequence[int] = ()
    kind: str = ""
    caption: str = ""
    filters: Sequence[tuple[str, str]] = ()
    """Words of rows with the labels of their buttons; a table with any can be searched."""
    first: int = 0
    """Rows that are shown before the others are asked for; 0 shows all."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart and the words that say the same."""

    svg: str
    name: str
    says: str
    word: str = ""
    wide: bool = False
    """Drawn as broad as the page; it scrolls by itself where the screen is narrow."""


@dataclass(frozen=True, slots=True)
class Charts:
    """Charts side by side."""

    block: ClassVar[str] = "charts"
    items: Sequence[Chart]
    key: Sequence[tuple[Literal["dot", "band", "dashed", "dotted", "shade"], str]] = ()
    """How to read them: a sign, and what it means."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One text as tokens: whose they are, the tokens, and their numbers to copy."""

    block: ClassVar[str] = "cut"
    name: str
    note: str
    tokens: Sequence[Piece]
    ids: str


@dataclass(frozen=True, slots=True)
class Fold:
    """Blocks that may be folded away."""

    block: ClassVar[str] = "fold"
    summary: Content
    blocks: Sequence[Block]
    open: bool = False
    kind: str = "card"


@dataclass(frozen=True, slots=True)
class Group:
    """Blocks in one frame."""

    block: ClassVar[str] = "group"
    blocks: Sequence[Block]
    kind: str


Block = Text | Findings | Listing | Quote | Sides | Heading | Table | Charts | Cut | Fold | Group


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands below it."""

    heading: str
    blocks: Sequence[Block]
    anchor: str = ""
    link: str = ""
    """Its name in the list of sections; without one it is not listed."""
    page_only: bool = False
    """True if a short form of the report leaves it out."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A number that stands out."""

    number: str
    label: str
    tone: str = ""
    anchor: str = ""
    """The section that says more."""


@dataclass(frozen=True, slots=True)
class Document:
    """A page: what it comes to, then its sections."""

    title: str
    page: str
    """Which style sheet it takes beside the shared one: checkpoint, training, tokenizers."""
    heading: str
    sections: Sequence[Section]
    state: str = ""
    """pass, fail, unclear, ...: set in a banner with the heading; empty for none."""
    word: str = ""
    """The state as it is written; in capitals if empty."""
    kicker: Sequence[Content] = ()
    """Small facts before the banner."""
    reasons: Sequence[str] = ()
    more: str = ""
    """How many reasons are left out, in words."""
    then: Sequence[str] = ()
    """What follows from it, each a sentence."""
    tiles: Sequence[Tile] = ()
    intro: Sequence[Text] = ()
    footer: str = "Pyr"

    @property
    def searchable(self) -> bool:
        """True if a table can be filtered and sorted, for which the page needs its script."""
        tables = [block for section in self.sections for block in section.blocks]
        return any(isinstance(block, Table) and block.columns[0].sort for block in tables)


def pieces(content: Content) -> tuple[Piece, ...]:
    """Return the content as pieces."""
    parts = content if isinstance(content, tuple) else (content,)
    return tuple(Piece(part) if isinstance(part, str) else part for part in parts)


def rows(table: Table) -> list[Row]:
    """Return the table's rows, each as a `Row`."""
    found = []
    for row in table.rows:
        whole = row if isinstance(row, Row) else Row(row)
        cells = [cell if isinstance(cell, Cell) else Cell(cell) for cell in whole.cells]
        found.append(Row(cells, whole.tone, whole.word, whole.ruled))
    return found


def plain(content: Content | Cell) -> str:
    """Return the content without what sets its pieces apart, on one line."""
    if isinstance(content, Cell):
        content = content.content
    parts = [" " if piece.kind == "break" else piece.text for piece in pieces(content)]
    return " ".join("".join(parts).split())
