"""The command line: parse, call the library, print. No room imports this one."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO, cast

from pyr.errors import PyrError

if TYPE_CHECKING:
    from pyr.pipeline import Outcome

EXIT_CODES = {"pass": 0, "fail": 1, "unclear": 3}
USAGE = 2
INTERNAL = 70
"""EX_SOFTWARE of sysexits.h: an error that nobody foresaw; no verdict has this code."""
INTERRUPTED = 130
_REFUSED = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space of your quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "name a place that can be written",
    errno.EACCES: "change its permissions, or name another place",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}
"""What the system may refuse, and what a user can do about it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``pyr VERB ...`` and return its exit code."""
    from pyr.cli.parser import parser

    arguments = sys.argv[1:] if arguments is None else arguments
    return _run(parser(*arguments[:1]), arguments)


def main_eval(arguments: Sequence[str] | None = None) -> int:
    """Run ``pyr-eval ...``: the same as ``pyr eval ...``."""
    from pyr.cli.parser import eval_parser

    return _run(eval_parser(prog="pyr-eval"), arguments)


def show(outcome: Outcome, *, as_json: bool = False) -> int:
    """Print the report on stdout, the state and its path last; give the exit code.

    A verdict that a person has overruled lets training go on.
    """
    code = EXIT_CODES["pass" if outcome.opens else outcome.state]
    if as_json:
        from pyr.report import machine_readable

        print(machine_readable.as_json(outcome.report))
        return code
    import rich.console

    from pyr.report import terminal

    terminal.show(outcome.report, rich.console.Console(file=sys.stdout, highlight=False))
    print(f"{outcome.report.banner.word}  {outcome.html}")
    if outcome.verdict is not None and outcome.verdict.accepted is not None:
        print(f"ACCEPTED (was {outcome.state.upper()}): {outcome.verdict.accepted.reason}")
    return code


def _handler(name: str) -> Callable[[argparse.Namespace], int]:
    """The function of a verb, ``module:function`` in this room; imported only when called."""
    module, _, function = name.partition(":")
    found: Callable[[argparse.Namespace], int]
    found = vars(importlib.import_module(f"pyr.cli.{module}"))[function]
    return found


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    before = sys.stdout, sys.stderr
    streams = _PipeSafeStream(sys.stdout), _PipeSafeStream(sys.stderr)
    sys.stdout, sys.stderr = cast("tuple[TextIO, TextIO]", streams)
    try:
        return _code_of(parser, arguments)
    finally:
        for each in streams:
            each.flush()
        sys.stdout, sys.stderr = before


def _code_of(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    options = parser.parse_args(arguments)
    # The libraries' own bars: progress is shown once, by pyr.cli.progress. tqdm reads this when
    # it is imported.
    os.environ["TQDM_DISABLE"] = "1"
    try:
        return _handler(options.handler)(options)
    except PyrError as error:
        print(f"{parser.prog}: {error.text()}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        remedy = _REFUSED.get(error.errno or 0) if isinstance(error, OSError) else None
        if isinstance(error, OSError) and remedy:
            said = PyrError(f"{error.strerror}.", where=str(error.filename or ""), remedy=remedy)
            print(f"{parser.prog}: {said.text()}", file=sys.stderr)
            return USAGE
        print(f"{parser.prog}: {_internal(error)}", file=sys.stderr)
        return INTERNAL


def _internal(error: Exception) -> str:
    """One line that says what broke and where its traceback is kept."""
    whole = "".join(traceback.format_exception(error))
    said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="pyr-traceback-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(whole)
    except OSError:
        return f"internal error: {said}\n{whole}"
    return f"internal error: {said}; the traceback is in {file.name}"


class _PipeSafeStream:
    """A stream of output that may be closed by its reader: the rest goes nowhere.

    ``pyr compare A B --gate G | head`` ends with the verdict's exit code all the same.
    """

    def __init__(self, stream: Any) -> None:
        # A program started with `>&-` has no stream.
        self.stream = stream or open(os.devnull, "w", encoding="utf-8")

    def write(self, text: str) -> int:
        """Write the text, or drop it where nobody reads any more."""
        try:
            return int(self.stream.write(text))
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        """Write out what is held back, as far as somebody reads it."""
        try:
            self.stream.flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        """Let what is written from here on, and at the interpreter's end, go nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
