"""Write a document as one HTML file that needs nothing else: no server, no network, no other file.

Jinja2 quotes every value (autoescape); only the charts are inserted as they are. The page's own
policy forbids everything from elsewhere and every script.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyr import content
from pyr.report.document import Cell, Content, Document, pieces

TEMPLATE = "reports/templates/document.html.j2"


def render(document: Document) -> str:
    """Return the whole page; the same document gives the same bytes."""
    filters = {"pieces": pieces, "cells": _cells}
    html: str = content.template(content.path(TEMPLATE), filters).render(document=document)
    return html


def _cells(row: Sequence[Content | Cell]) -> list[Cell]:
    return [each if isinstance(each, Cell) else Cell(each) for each in row]
