"""Count the functions and modules of the package that a command enters.

    python tests/bench/calls_entered.py compare A B --gate smoke --store results
    python tests/bench/calls_entered.py data prepare train/tiny -o OUT

A function counts once however often it is called; one that runs when its module is imported
(a class body, a default) does not count. A short path is what a reader has to follow.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import CodeType, FrameType

from pyr import __file__ as package
from pyr.cli import main

ROOT = str(Path(package).parent)
INLINE = ("<module>", "<lambda>", "<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")


def importing(frame: FrameType | None) -> bool:
    """True if the call is made while a module of the package is being imported."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(ROOT) and frame.f_code.co_name == "<module>":
            return True
        frame = frame.f_back
    return False


def entered(arguments: list[str]) -> tuple[int, set[CodeType]]:
    """The exit code of the command, and every function of the package that it entered."""
    codes: set[CodeType] = set()
    other: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or code in codes or code in other:
            return
        own = code.co_filename.startswith(ROOT) and code.co_name not in INLINE
        if own and not importing(frame.f_back):
            codes.add(code)
        elif not own:
            other.add(code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        status = main(arguments)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return status, codes


if __name__ == "__main__":
    status, codes = entered(sys.argv[1:])
    modules: dict[str, list[str]] = {}
    for code in codes:
        name = str(Path(code.co_filename).relative_to(ROOT))
        modules.setdefault(name, []).append(code.co_qualname)
    for name in sorted(modules):
        print(f"{name}: {', '.join(sorted(modules[name]))}", file=sys.stderr)
    print(f"{len(codes)} functions in {len(modules)} modules entered (exit code {status})")
