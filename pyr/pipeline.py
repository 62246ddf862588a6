"""Compare, judge and write report files; shared by eval, compare, report and train."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyr import content
from pyr.compare import average, averaged, same_question, same_training
from pyr.errors import StoreError
from pyr.files import make_folder, text_sha256, write
from pyr.gate import as_json, assess, read_verdict, still_accepted
from pyr.gate.spec import Gate, Verdict
from pyr.report import machine_readable, markdown, outline
from pyr.report.checkpoint_view import document
from pyr.report.html import render
from pyr.schema import Run, State
from pyr.store import Results, Store

VERDICT = "verdict.json"
HEALTH = "health"
"""The gate that judges where none is named."""

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
    file = content.find(name or HEALTH, kind="gate", folder="evals/gates")
    return content.read(file, Gate)


def assess_and_report(
    store: Store,
    candidate: Run,
    baseline: Run | None,
    gate: Gate | None,
    *,
    mean_with: Sequence[Run] = (),
    others: Sequence[Run] = (),
    output: Path | None = None,
    apart: bool = False,
    judged_before: Sequence[Path] = (),
) -> Outcome:
    """Compare, judge and write the report of `candidate`.

    mean_with: earlier checkpoints; what is judged is the mean of them and the candidate.
    others: runs that need not be in the store; like those there they show, as far as they are of
    the candidate's training, its trajectory and the noise from checkpoint to checkpoint.
    output: the HTML file; beside it go report.md, verdict.json and junit.xml. By default in the
    run's own folder, of a mean in a folder there.
    apart: write into a folder of this baseline instead, so that the run keeps its own report.
    judged_before: more folders of verdicts where a person may have overruled this very verdict.
    gate: None judges nothing; the state then only says whether the run is complete.
    """
    results = average([*(store.results(run) for run in mean_with), store.results(candidate)])
    compared = store.results(baseline) if baseline else None
    read = {each.run.id: each for each in (results, compared) if each is not None}
    every = {run.id: run for run in (*store.runs(), *others)}
    training = same_training(candidate, every.values())
    history = same_question(candidate, training)
    relatives, known = _read(store, training, read), _read(store, history, read)
    documents = store.documents(candidate)
    assessed = assess(gate, results, compared, history=known, documents=documents)
    folder = _folder(store, candidate, results, baseline if apart else None)
    html = _page(output, folder, assessed.verdict)
    verdict = _overruled(assessed.verdict, [html.parent, *judged_before])
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
        files[VERDICT] = as_json(verdict)
        files["junit.xml"] = machine_readable.junit(verdict, _seconds(results))
    write_aside(html.parent, files)
    _step_summary(files["report.md"])
    return Outcome(report, verdict, _state(verdict, results.run), html)


def _folder(store: Store, candidate: Run, results: Results, apart: Run | None) -> Path:
    folder = store.folder(candidate)
    if averaged(results.run) > 1:
        folder = folder / f"mean-of-{averaged(results.run)}"
    if apart is not None:
        folder = folder / f"against-{apart.id}"
    return folder


def _page(output: Path | None, folder: Path, verdict: Verdict | None) -> Path:
    """The HTML file: the one named by the user, else in the run's folder; no verdict is lost."""
    if output is None:
        return _place(folder, verdict) / "report.html"
    _keep_another(output.parent, verdict)
    return output


def _place(folder: Path, verdict: Verdict | None) -> Path:
    """The folder itself, or one in it where another baseline's or gate's verdict stands there."""
    standing = _standing(folder)
    if verdict is None:
        return folder / "no-gate" if standing else folder
    if standing and standing.gate == HEALTH != verdict.gate:
        # What nobody asked for by name gives place to what somebody did.
        _move_files(folder, _free(standing, folder / HEALTH, folder / _own_name(standing)))
    return _free(verdict, folder, folder / _plain(verdict.gate), folder / _own_name(verdict))


def _free(verdict: Verdict, *places: Path) -> Path:
    """The first place that holds no verdict on another question, else the last."""
    for place in places:
        there = _standing(place)
        if there is None or _question(there) == _question(verdict):
            return place
    return places[-1]


def _plain(name: str) -> str:
    """A gate's name as that of a folder: people may write anything into a gate file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".") or "gate"


def _keep_another(folder: Path, verdict: Verdict | None) -> None:
    """Move the verdict that stands in a folder named by the user aside, if it answers another."""
    standing = _standing(folder)
    if standing is None or (verdict is not None and _question(standing) == _question(verdict)):
        return
    _move_files(folder, folder / _own_name(standing))


def _own_name(verdict: Verdict) -> str:
    """The name of a folder that no verdict on another question has."""
    return f"{_plain(verdict.gate)}-{text_sha256(''.join(_question(verdict)))[:8]}"


def _standing(folder: Path) -> Verdict | None:
    """The verdict that the folder keeps; one that cannot be read is written again."""
    file = folder / VERDICT
    try:
        return read_verdict(file) if file.is_file() else None
    except StoreError as error:
        _LOG.warning("%s", " ".join(error.text().split()))
        return None


def _question(verdict: Verdict) -> tuple[str, str, str]:
    """What a verdict answers: whose it is, against which baseline, by which rules."""
    return verdict.run, verdict.baseline, verdict.digests.get("gate", "")


def _move_files(folder: Path, target: Path) -> None:
    make_folder(target)
    for name in ("report.html", "report.md", "junit.xml", VERDICT):
        if (folder / name).is_file():
            (folder / name).replace(target / name)


def _overruled(verdict: Verdict | None, earlier: Sequence[Path]) -> Verdict | None:
    """The verdict, still overruled if it was and nothing that it rests on has changed."""
    for folder in earlier:
        standing = _standing(folder)
        if verdict is not None and verdict.accepted is None and standing is not None:
            verdict = still_accepted(verdict, standing)
    return verdict


def _seconds(results: Results) -> dict[str, float]:
    """Wall time by task: a probe's, shared among its tasks by their items."""
    records, found = results.records, {}
    spent = results.run.environment.get("seconds", {})
    for probe, rows in records.groupby("probe"):
        items = rows.groupby("task")["item"].nunique()
        for task, count in items.items():
            found[str(task)] = float(spent.get(str(probe), 0.0)) * int(count) / int(items.sum())
    return found


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
