"""Compare, judge and write report files; shared by eval, compare, report and train."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyr import content
from pyr.compare import average, averaged, same_question, same_training
from pyr.errors import StoreError
from pyr.files import write
from pyr.gate import as_json, assess, read_verdict, still_accepted
from pyr.gate.spec import Gate, Verdict
from pyr.report import machine_readable, markdown, outline
from pyr.report.checkpoint_view import document
from pyr.report.html import render
from pyr.schema import Run, State
from pyr.store import Results, Store

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A report that has been written, and what follows from it."""

    report: outline.Report
    verdict: Verdict | None
    state: State
    """The verdict's state; a run that is incomplete never passes."""
    html: Path

    @property
    def opens(self) -> bool:
        """True if training may go on: passed, or overruled by a person."""
        overruled = self.verdict is not None and self.verdict.accepted is not None
        return self.state == "pass" or overruled


def read_gate(name: str | None) -> Gate:
    """The gate that `name` means; without one, the gate that judges only health."""
    file = content.find(name or "health", kind="gate", folder="evals/gates")
    return content.read(file, Gate)


def assess_and_report(
    store: Store,
    candidate: Run,
    baseline: Run | None,
    gate: Gate | None,
    *,
    mean_with: Sequence[Run] = (),
    history: Sequence[Run] | None = None,
    output: Path | None = None,
    apart: bool = False,
) -> Outcome:
    """Compare, judge and write the report of `candidate`.

    mean_with: earlier checkpoints; what is judged is the mean of them and the candidate.
    history: runs of the same suite, which show the noise from checkpoint to checkpoint; None takes
    those of the candidate's training that are stored.
    output: the HTML file; beside it go report.md, verdict.json and junit.xml. By default in the
    run's own folder, of a mean in a folder there.
    apart: write into a folder of this baseline instead, so that the run keeps its own report.
    gate: None judges nothing; the state then only says whether the run is complete.
    """
    results = average([*(store.results(run) for run in mean_with), store.results(candidate)])
    compared = store.results(baseline) if baseline else None
    read = {each.run.id: each for each in (results, compared) if each is not None}
    training = same_training(candidate, store.runs())
    if history is None:
        history = same_question(candidate, training)
    relatives, known = _read(store, training, read), _read(store, history, read)
    documents = store.documents(candidate)
    assessed = assess(gate, results, compared, history=known, documents=documents)
    html = output or _place(store, candidate, results, baseline if apart else None)
    verdict = _overruled(assessed.verdict, html.with_name("verdict.json"))
    report = outline.build(
        results,
        compared,
        replace(assessed, verdict=verdict),
        relatives=relatives,
        documents=documents,
    )
    page = document(report)
    files = {html.name: render(page), "report.md": markdown.write(page)}
    if verdict is not None:
        files["verdict.json"] = as_json(verdict)
        files["junit.xml"] = machine_readable.junit(verdict)
    write_aside(html.parent, files)
    _step_summary(files["report.md"])
    return Outcome(report, verdict, _state(verdict, results.run), html)


def _place(store: Store, candidate: Run, results: Results, apart: Run | None) -> Path:
    folder = store.folder(candidate)
    if averaged(results.run) > 1:
        folder = folder / f"mean-of-{averaged(results.run)}"
    if apart is not None:
        folder = folder / f"against-{apart.id}"
    return folder / "report.html"


def _overruled(verdict: Verdict | None, earlier: Path) -> Verdict | None:
    """The verdict, still overruled if it was and nothing that it rests on has changed."""
    if verdict is None or not earlier.is_file():
        return verdict
    return still_accepted(verdict, read_verdict(earlier))


def _read(store: Store, runs: Sequence[Run], read: dict[str, Results]) -> list[Results]:
    """Results of `runs`; each run is read once, so that it is scored once."""
    for run in runs:
        if run.id not in read:
            read[run.id] = store.results(run)
    return [read[run.id] for run in runs]


def _state(verdict: Verdict | None, run: Run) -> State:
    state: State = verdict.state if verdict else "pass"
    incomplete = not run.finished or any(skipped.missing for skipped in run.skipped)
    return "unclear" if state == "pass" and incomplete else state


def write_aside(folder: Path, files: dict[str, str]) -> None:
    """Write each file aside and rename it, so that a reader never sees half of one."""
    try:
        for name, body in files.items():
            write(folder / name, body)
    except OSError as error:
        raise StoreError(
            f"the report cannot be written: {error.strerror or error}",
            where=str(folder),
            remedy="free some space or name another place; the measurements are stored",
        ) from error


def _step_summary(markdown: str) -> None:
    """GitHub shows this file's content on the page of the job."""
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if not summary:
        return
    try:
        with Path(summary).open("a", encoding="utf-8") as stream:
            stream.write(markdown)
    except OSError as error:
        # The report and the verdict are written: a page that cannot show them changes neither.
        _LOG.warning("the job's summary cannot be written: %s", error)
