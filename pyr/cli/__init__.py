"""The command line: parse, call the library, print. No room imports this one."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pyr.errors import PyrError

if TYPE_CHECKING:
    from pyr.pipeline import Outcome

EXIT_CODES = {"pass": 0, "fail": 1, "unclear": 3}
USAGE = 2
INTERRUPTED = 130


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
    return code


def _handler(name: str) -> Callable[[argparse.Namespace], int]:
    """The function of a verb, ``module:function`` in this room; imported only when called."""
    module, _, function = name.partition(":")
    found: Callable[[argparse.Namespace], int]
    found = vars(importlib.import_module(f"pyr.cli.{module}"))[function]
    return found


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    options = parser.parse_args(arguments)
    # The libraries' own bars: progress is shown once, by pyr.cli.progress. tqdm reads this when
    # it is imported.
    os.environ["TQDM_DISABLE"] = "1"
    try:
        code: int = _handler(options.handler)(options)
    except PyrError as error:
        print(f"{parser.prog}: {error.text()}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`pyr ls | head`): nothing is left to say.
        sys.stderr.close()
        return 0
    return code
