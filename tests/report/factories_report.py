"""Small runs made by hand, for the tests of the report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from factories_stats import facts_of

from pyr.compare import compare
from pyr.gate import assess
from pyr.gate.spec import Finding, Rule, Verdict
from pyr.report import checkpoint_view, html, markdown, outline
from pyr.schema import Aggregate, Checkpoint, Record, Run
from pyr.store import Results

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e[bold]x[/bold]\x00"

RECORD_COLUMNS = [field.name for field in dataclasses.fields(Record)]
AGGREGATE_COLUMNS = [field.name for field in dataclasses.fields(Aggregate)]


def a_run(name: str = "new", *, step: int | None = None, **changes: Any) -> Run:
    checkpoint = Checkpoint(
        path=f"out/{name}",
        name=name,
        digest=f"digest-of-{name}",
        format="safetensors",
        digests={"weights": f"weights-of-{name}", "tokenizer": "tok"},
        step=step,
        tokens=None if step is None else step * 1000,
    )
    whole = Run(
        id=f"run-{name}",
        checkpoint=checkpoint,
        suite="smoke",
        suite_digest="suite-digest",
        engine="reference",
        environment={"device": "cpu", "versions": {"torch": "2.13.0"}},
        started="2026-01-01T00:00:00Z",
        finished="2026-01-01T00:10:00Z",
    )
    return dataclasses.replace(whole, **changes)


def rows(
    values: Sequence[float], *, task: str = "arc", metric: str = "acc", **columns: Any
) -> list[Record]:
    """One measure's records; a column given as a list has one value an item."""
    made = []
    for number, value in enumerate(values):
        mine = {
            name: column[number] if isinstance(column, list) else column
            for name, column in columns.items()
        }
        mine = {**facts_of(task, metric, str(mine.get("unit", ""))), **mine}
        made.append(Record(task=task, metric=metric, item=str(number), value=value, **mine))
    return made


def results(run: Run, records: Iterable[Record] = ()) -> Results:
    listed = [dataclasses.asdict(record) | {"probe": "harness"} for record in records]
    return Results(
        run=run,
        records=pd.DataFrame(listed, columns=[*RECORD_COLUMNS, "probe"]),
        aggregates=pd.DataFrame(columns=AGGREGATE_COLUMNS),
    )


def published(run: Run, *aggregates: Aggregate) -> Results:
    frame = pd.DataFrame([dataclasses.asdict(each) for each in aggregates])
    types = {"n": "float64", "se": "float64"}
    empty = results(run)
    return dataclasses.replace(empty, aggregates=frame.astype(types))


def documents(*items: tuple[str, str, Sequence[str], str], task: str = "arc") -> pd.DataFrame:
    """Rows of (item, prompt, choices, target)."""
    return pd.DataFrame(
        [
            {
                "task": task,
                "item": item,
                "prompt": prompt,
                "choices": json.dumps(list(choices)),
                "target": target,
            }
            for item, prompt, choices, target in items
        ]
    )


def a_finding(state: str = "pass", measure: str = "arc/acc", **changes: Any) -> Finding:
    whole = Finding(
        measure=measure,
        rule=Rule(measure=measure, not_worse_by=0.02),
        state=state,
        observed=None,
        bound=None,
        n_needed=None,
        statement=f"{measure} says {state}.",
    )
    return dataclasses.replace(whole, **changes)


def a_verdict(*findings: Finding, state: str | None = None, **changes: Any) -> Verdict:
    states = [finding.state for finding in findings]
    worst = next((each for each in ("fail", "unclear") if each in states), "pass")
    whole = Verdict(
        gate="keep", run="run-new", baseline="run-old", state=state or worst, findings=findings
    )
    return dataclasses.replace(whole, **changes)


def a_report(
    candidate: Results, baseline: Results | None = None, verdict: Verdict | None = None, **more: Any
) -> outline.Report:
    """The report of a run; history: other checkpoints of its training; documents: as asked."""
    history, documents = more.pop("history", ()), more.get("documents")
    assessed = assess(None, candidate, baseline, history=history, documents=documents)
    plain = compare(candidate, baseline)
    assessed = dataclasses.replace(assessed, comparisons=plain, verdict=verdict)
    return outline.build(candidate, baseline, assessed, **more)


def rendered(report: outline.Report, template: Path | None = None) -> str:
    return html.render(checkpoint_view.document(report), template)


def as_markdown(report: outline.Report) -> str:
    return markdown.write(checkpoint_view.document(report))


def choice_scores(*scores: float) -> str:
    return json.dumps([[score, False] for score in scores])


def two_runs(n: int = 200, lost: int = 60) -> tuple[Results, Results]:
    """A baseline right on three quarters, and a candidate that lost `lost` of those."""
    right = [float(number % 4 != 0) for number in range(n)]
    worse = list(right)
    for number in [place for place, value in enumerate(right) if value][:lost]:
        worse[number] = 0.0
    return (
        results(a_run("new", step=300), rows(worse)),
        results(a_run("old", step=200), rows(right)),
    )


def hostile_report() -> outline.Report:
    """A report whose every free text holds a script, control codes and markup."""
    old = rows([1.0] * 40, task=f"arc{HOSTILE}", responses=json.dumps([HOSTILE]))
    new = rows([0.0] * 40, task=f"arc{HOSTILE}", responses=json.dumps([HOSTILE]))
    asked = documents(
        *((str(n), f"{HOSTILE} prompt {n}", [HOSTILE], HOSTILE) for n in range(40)),
        task=f"arc{HOSTILE}",
    )
    environment = {"command": f"pyr-eval {HOSTILE}"}
    run = a_run(f"new{HOSTILE}", step=3, environment=environment, notes=[HOSTILE])
    broken = rows([0.0], task="health", metric="finite", responses=HOSTILE, unit="check")
    finding = a_finding("fail", f"arc{HOSTILE}/acc", statement=HOSTILE, why=HOSTILE)
    before = [results(a_run(f"old{HOSTILE}{step}", step=step), old) for step in (1, 2)]
    return a_report(
        results(run, [*new, *broken]),
        before[0],
        a_verdict(finding),
        history=before,
        documents=asked,
    )
