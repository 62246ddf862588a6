"""Write a document as one HTML file that needs nothing else: no server, no network, no other file.

Jinja2 quotes every value (autoescape); only the charts are inserted as they are. The page's own
policy forbids everything from elsewhere and every script but its own, so that a sample that
slipped through could still do nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from pyr import content
from pyr.report.document import Document, pieces, plain, rows

TEMPLATE = "reports/templates/document.html.j2"


def render(document: Document, template: Path | None = None) -> str:
    """Return the whole page; the same document gives the same bytes.

    template: another Jinja2 file than the shipped one, given the same document.
    """
    filters = {"pieces": pieces, "plain": plain, "rows": rows}
    html = content.template(template or content.path(TEMPLATE), filters).render(document=document)
    # Exactly the page's own script is allowed: its digest takes the place of a placeholder.
    script = re.search(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    digest = hashlib.sha256(script[1].encode() if script else b"").digest()
    return html.replace("SCRIPT-DIGEST", f"sha256-{base64.b64encode(digest).decode()}", 1)
