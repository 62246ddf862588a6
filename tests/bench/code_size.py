"""Count what a reader of the package meets: code lines, files, comprehensions.

    python tests/bench/code_size.py [FOLDER]

Code lines are lines without blank lines, comments and docstrings (of attributes too).
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from pathlib import Path

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def docstring_lines(tree: ast.Module) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                lines.update(range(statement.lineno, (statement.end_lineno or 0) + 1))
    return lines


def count(file: Path) -> tuple[int, int, int, int, int]:
    """All lines, code lines, comment lines, comprehensions, nested comprehensions."""
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    code: set[int] = set()
    comments = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        comments += token.type == tokenize.COMMENT
        if token.type not in NO_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    found = [node for node in ast.walk(tree) if isinstance(node, COMPREHENSIONS)]
    nested = 0
    for outer in found:
        inner = [node for node in ast.walk(outer) if isinstance(node, COMPREHENSIONS)]
        nested += len(inner) > 1
    return text.count("\n"), len(code - docstring_lines(tree)), comments, len(found), nested


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "pyr")
    folders: dict[str, list[int]] = {}
    for file in sorted(root.rglob("*.py")):
        folder = folders.setdefault(str(file.parent.relative_to(root)), [0] * 6)
        for place, number in enumerate((1, *count(file))):
            folder[place] += number
    folders["all"] = [sum(column) for column in zip(*folders.values(), strict=True)]
    print(f"{'folder':20} files  lines   code  comments  comprehensions  nested  (per 1,000 lines)")
    for name, (files, lines, code, comments, comprehensions, nested) in folders.items():
        print(
            f"{name:20} {files:5} {lines:6} {code:6} {comments:9} {comprehensions:15} {nested:7}"
            f"  ({1000 * comprehensions / max(lines, 1):.0f})"
        )


if __name__ == "__main__":
    main()
