"""The end of the line, shared by the verbs: compare, judge, write the report, print, exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyr import content
from pyr.cli import EXIT_CODES
from pyr.compare import average, averaged, same_question, same_training
from pyr.errors import StoreError
from pyr.files import write
from pyr.gate import as_json, assess, read_verdict, still_accepted
from pyr.gate.spec import Gate, Verdict
from pyr.report import outline, page, terminal, text
from pyr.schema import Run, State
from pyr.store import Results, Store


@dataclass(frozen=True, slots=True)
class Conclusion:
    """A report that has been written, and what follows from it."""

    report: outline.Report
    verdict: Verdict | None
    state: State
    """The verdict's state; a run that is incomplete never passes."""
    html: Path

    @property
    def code(self) -> int:
        """The exit code; a verdict that a person has overruled lets training go on."""
        overruled = self.verdict is not None and self.verdict.accepted is not None
        return EXIT_CODES["pass" if overruled else self.state]


def read_gate(name: str | None) -> Gate:
    """The gate that `name` means; without one, the gate that judges only health."""
    file = content.find(name or "health", kind="gate", folder="evals/gates")
    return content.read(file, Gate)


def conclude(
    store: Store,
    candidate: Run,
    baseline: Run | None,
    gate: Gate | None,
    *,
    mean_with: Sequence[Run] = (),
    history: Sequence[Run] = (),
    output: Path | None = None,
    apart: bool = False,
) -> Conclusion:
    """Compare, judge and write the report of `candidate`.

    mean_with: earlier checkpoints; what is judged is the mean of them and the candidate.
    history: stored runs of the same suite; those of the candidate's own training show the noise
    from checkpoint to checkpoint.
    output: the HTML file; beside it go report.md, verdict.json and junit.xml. By default in the
    run's own folder, of a mean in a folder there.
    apart: write into a folder of this baseline instead, so that the run keeps its own report.
    gate: None judges nothing; the state then only says whether the run is complete.
    """
    results = average([*(store.results(run) for run in mean_with), store.results(candidate)])
    compared = store.results(baseline) if baseline else None
    read = {each.run.id: each for each in (results, compared) if each is not None}
    relatives = _read(store, same_training(candidate, store.runs()), read)
    known = _read(store, history, read)
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
    files = {html.name: page.render(report), "report.md": text.markdown(report)}
    if verdict is not None:
        files["verdict.json"] = as_json(verdict)
        files["junit.xml"] = text.junit(verdict)
    write_aside(html.parent, files)
    _step_summary(files["report.md"])
    return Conclusion(report, verdict, _state(verdict, results.run), html)


def show(conclusion: Conclusion, *, as_json: bool = False) -> int:
    """Print it on stdout, the state and the report's path last; gives the exit code."""
    if as_json:
        print(text.as_json(conclusion.report))
        return conclusion.code
    import rich.console

    terminal.show(conclusion.report, rich.console.Console(file=sys.stdout, highlight=False))
    print(f"{conclusion.report.banner.word}  {conclusion.html}")
    return conclusion.code


def history_of(store: Store, candidate: Run) -> list[Run]:
    """Finished runs of the candidate's training, by the same suite and engine: its trajectory."""
    return same_question(candidate, store.runs())


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
        print(f"the job's summary cannot be written: {error}", file=sys.stderr)
