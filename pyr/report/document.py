"""A report as a document: what it says in which order, for every writer.

A view turns results into a `Document` of sections and blocks; `html`, `markdown` and `terminal`
write any document. A new table or chart is one block in one view. Text of unknown origin is made
harmless by the view (`words.harmless`) and quoted by the writer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

Place = Literal["text", "number", "prose"]
"""How a column is set: short text, right-aligned, or text that may take several lines."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line that is set apart."""

    text: str
    kind: Literal["plain", "small", "strong", "code", "token", "badge", "link", "break"] = "plain"
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
    role: Literal["", "lead", "foot", "own"] = ""


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
class Cell:
    """A cell of a table, where more than its content is to be said."""

    content: Content
    tone: str = ""
    span: int = 1


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column."""

    head: Content
    place: Place = "number"
    short: str = ""
    """The head where there is little room: in a terminal."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; the first of a row is its head. `own`: rows of what the page is about."""

    block: ClassVar[str] = "table"
    label: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Content | Cell]]
    own: Sequence[int] = ()
    kind: str = ""
    caption: str = ""


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
    kind: str = ""


Block = Text | Findings | Table | Charts | Cut | Fold


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands below it."""

    heading: str
    blocks: Sequence[Block]
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """A number that stands out."""

    number: str
    label: str


@dataclass(frozen=True, slots=True)
class Document:
    """A page: what it comes to, then its sections."""

    title: str
    page: str
    """Which rules of the style sheet it takes: training, tokenizers."""
    heading: str
    sections: Sequence[Section]
    state: str = ""
    """pass, fail, unclear, ...: set in a banner with the heading; empty for none."""
    reasons: Sequence[str] = ()
    then: Sequence[str] = ()
    """What follows from it, each a sentence."""
    tiles: Sequence[Tile] = ()
    intro: Sequence[Text] = ()


def pieces(content: Content) -> tuple[Piece, ...]:
    """Return the content as pieces."""
    parts = content if isinstance(content, tuple) else (content,)
    return tuple(Piece(part) if isinstance(part, str) else part for part in parts)


def plain(content: Content | Cell) -> str:
    """Return the content without what sets its pieces apart, on one line."""
    if isinstance(content, Cell):
        content = content.content
    parts = [" " if piece.kind == "break" else piece.text for piece in pieces(content)]
    return " ".join("".join(parts).split())
