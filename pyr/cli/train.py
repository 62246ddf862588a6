"""``pyr train``: run a recipe through its gates."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from pyr.cli import EXIT_CODES, INTERRUPTED
from pyr.cli.eval import local_mirror
from pyr.cli.progress import note, shown
from pyr.evaluate import Conditions
from pyr.pipeline import write_aside
from pyr.report import html, markdown
from pyr.store import Store
from pyr.training import curriculum, recipe, training_view
from pyr.training.course import collect
from pyr.training.curriculum import Passage, Rehearsal, RunOutcome
from pyr.training.recipe import Curriculum

REPORT = "report.html"


def run(options: argparse.Namespace) -> int:
    """Run the phases in their order, to the end or to a closed gate; 0, 1 or 3 as the gates say."""
    read = recipe.read(Path(options.recipe), options.set)
    rehearsal = _rehearsal(options, read)
    outcome = curriculum.run(read, rehearsal, until=options.until or "")
    if outcome.passages:
        _write_report(read, outcome, rehearsal)
    if options.json:
        print(json.dumps(asdict(outcome), indent=2, default=str))
    else:
        _show(outcome, rehearsal.output / REPORT)
    return INTERRUPTED if outcome.state == "stopped" else EXIT_CODES[outcome.state]


def _rehearsal(options: argparse.Namespace, read: Curriculum) -> Rehearsal:
    """Where the options say that the recipe is run."""
    return Rehearsal(
        output=Path(options.output or f"out/{read.recipe.name}"),
        store=Store(options.store),
        texts=Path(options.data) if options.data else None,
        conditions=Conditions(mirror=local_mirror(options.datasets), shown=shown),
        say=note,
    )


def _write_report(read: Curriculum, outcome: RunOutcome, rehearsal: Rehearsal) -> None:
    """The report of the whole run, beside its phases."""
    course = collect(read, outcome, rehearsal.output, rehearsal.store)
    document = training_view.document(course)
    write_aside(
        rehearsal.output,
        {REPORT: html.render(document), "report.md": markdown.write(document)},
    )


def _show(outcome: RunOutcome, report: Path) -> None:
    for passage in outcome.passages:
        _show_passage(passage)
    if outcome.state == "stopped":
        print("STOPPED  saved; the same command goes on from here")
        return
    print(f"{outcome.passages[-1].state.upper()}  {report}")


def _show_passage(passage: Passage) -> None:
    overruled = " (overruled)" if passage.opens and passage.state != "pass" else ""
    print(f"{passage.phase}: {passage.state.upper()}{overruled}  {passage.report}")
    for sentence in passage.sentences:
        print(f"  {sentence}")
