"""The spine: `evaluate(checkpoint, suite, store) -> Run`. Nothing else evaluates anything."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from pyr import datasets, files
from pyr.compare import versions
from pyr.engines import EngineSettings
from pyr.engines.model_reuse import ModelReuse
from pyr.gate.sequential import Budget
from pyr.hardware import processor
from pyr.probes import ItemsChanged, Probe, Reading, Subject, Writing, make_probe, needs
from pyr.schema import Checkpoint, ProbeSpec, Run, Skipped, Suite
from pyr.store import OpenRun, Results, Store
from pyr.store.tables import aggregates_frame

_VERSIONS = ("pyr-lm", "lm_eval", "torch", "transformers", "tokenizers", "datasets")


@dataclass(frozen=True, slots=True)
class Shown:
    """Where an evaluation reports to; by default nowhere."""

    progress: Callable[[str, int, int], None] = lambda what, done, total: None
    """Called with a task, its items done and all of them."""
    say: Callable[[str], None] = lambda text: None


@contextmanager
def _unseen(title: str) -> Iterator[Shown]:
    yield Shown()


@dataclass(frozen=True, slots=True)
class Conditions:
    """How to evaluate, apart from what: the same suite under other conditions is another run."""

    settings: EngineSettings = field(default_factory=EngineSettings)
    mirror: Path | None = None
    """Local mirror of hub data sets; None asks the hub or its cache."""
    skip_missing: bool = False
    """Go on without tasks whose data is not here; the run is marked incomplete."""
    budget: Budget | None = None
    """Ask in stages; None asks everything."""
    models: ModelReuse = field(default_factory=ModelReuse)
    """Opens the model, and keeps it for the next checkpoint."""
    how: str = ""
    """What is unlike the other runs, in words."""
    shown: Callable[[str], AbstractContextManager[Shown]] = _unseen
    """Given the title of an evaluation, where it reports to while it runs."""


def evaluate(
    checkpoint: Checkpoint, suite: Suite, store: Store, conditions: Conditions | None = None
) -> Run:
    """Measure `checkpoint` by `suite` and keep every record in `store`.

    A finished run of the same weights, suite, engine and data is returned as it is; one that was
    broken off goes on where it stopped.
    """
    conditions = conditions or Conditions()
    conditions = replace(conditions, settings=conditions.settings.resolved())
    probes = [make_probe(spec) for spec in _with_health_first(suite)]
    title = f"{checkpoint.name} under suite {suite.name}"
    with conditions.shown(f"{title}, {conditions.how}" if conditions.how else title) as shown:
        new = _new_run(checkpoint, suite, store, conditions, shown.say)
        if not new.finished and not conditions.skip_missing:
            # Before the run's folder is there: what cannot be asked leaves no unfinished run.
            needs.refuse(needs.of_probes(probes, checkpoint, conditions.mirror))
        with store.begin(new, on_wait=shown.say) as run:
            if not run.finished:
                bundles = store.root / "bundles"
                try:
                    _measure(run, probes, suite, conditions, shown, bundles=bundles)
                except ItemsChanged as changed:
                    shown.say(f"{changed.what}: everything is measured anew")
                    run.discard()
                    _measure(run, probes, suite, conditions, shown, bundles=bundles)
            return run.run


def _measure(
    run: OpenRun,
    probes: list[Probe],
    suite: Suite,
    conditions: Conditions,
    shown: Shown,
    *,
    bundles: Path,
) -> None:
    found = _Found()
    budget = conditions.budget
    subject = Subject(
        checkpoint=run.run.checkpoint,
        settings=conditions.settings,
        seed=suite.seed,
        mirror=conditions.mirror,
        bundles=bundles,
        skip_missing=conditions.skip_missing,
        earlier=run.records("health"),
        progress=shown.progress,
        models=conditions.models,
        wanted=budget.wanted if budget else lambda task: None,
        sizes=found.sizes,
    )
    _ask(run, probes, subject, found)
    while budget and not found.unsound and budget.more(_so_far(run, probes, found)):
        _ask(run, probes, subject, found)
    asked = _so_far(run, probes, found).run.asked if budget else {}
    engine_notes = conditions.models.notes(run.run.checkpoint)
    run.finish(
        finished=now(),
        skipped=list(dict.fromkeys(found.skipped)),
        notes=[*dict.fromkeys([*found.notes, *engine_notes]), *_spent(asked, budget)],
        data=found.data,
        environment={
            **environment(suite, conditions),
            "engine": conditions.models.engine(run.run.checkpoint, conditions.settings),
            "seconds": found.seconds,
        },
        asked=asked,
        requests=found.requests,
    )


def _ask(run: OpenRun, probes: list[Probe], subject: Subject, found: _Found) -> None:
    """Every probe once, each going on where its records end."""
    for probe in probes:
        if found.unsound:
            found.skipped.append(
                Skipped(probe.name, f"not measured: {found.unsound}", unsound=True)
            )
            continue
        began = time.monotonic()
        for chunk in probe.run(replace(subject, earlier=run.records(probe.name))):
            found.data |= chunk.data
            # Before the first record: whoever goes on with this run must know what it is of.
            run.note_data(found.data)
            run.append(probe.name, chunk.records)
            run.revise(probe.name, chunk.revised)
            run.put_documents(chunk.documents)
            found.skip(chunk.skipped)
            found.notes += chunk.notes
            found.sizes |= chunk.sizes
            found.requests |= chunk.requests
        spent = time.monotonic() - began
        found.seconds[probe.name] = round(found.seconds.get(probe.name, 0.0) + spent, 3)
        found.unsound = _unsound(run.records("health"))


def _so_far(run: OpenRun, probes: list[Probe], found: _Found) -> Results:
    """What a run in stages has measured, as if it were finished."""
    records = pd.concat([run.records(probe.name) for probe in probes], ignore_index=True)
    items = records.groupby("task")["item"].nunique()
    asked = {task: (int(items.get(task, 0)), size) for task, size in found.sizes.items()}
    whole = replace(run.run, finished=now(), skipped=tuple(found.skipped), asked=asked)
    return Results(whole, records, aggregates_frame([]))


def _spent(asked: Mapping[str, Sequence[int]], budget: Budget | None) -> list[str]:
    """What stages have spared, for the report's reader."""
    if budget is None or not asked:
        return []
    items, total = map(sum, zip(*asked.values(), strict=True))
    ended = f"; {budget.ended}" if budget.ended else ""
    return [f"asked in stages ({budget.label}): {items:,} of {total:,} items{ended}"]


@dataclass
class _Found:
    """What the probes of one run have said, apart from records."""

    data: dict[str, str] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time by probe."""
    unsound: str = ""
    """Why nothing more can be measured."""

    def skip(self, skipped: Sequence[Skipped]) -> None:
        """Note what is skipped; of a task's items, what a later stage says counts."""
        partly = {each.what for each in skipped if each.items}
        kept = [each for each in self.skipped if not (each.items and each.what in partly)]
        self.skipped = [*kept, *skipped]


def _with_health_first(suite: Suite) -> list[ProbeSpec]:
    """The suite's probes, the health probe before all others whether it is named or not."""
    health = [spec for spec in suite.probes if spec.probe == "health"]
    others = [spec for spec in suite.probes if spec.probe != "health"]
    return [*(health or [ProbeSpec(probe="health")]), *others]


def _unsound(health: pd.DataFrame) -> str:
    """The first tensor that is not finite, in words: scores of such a model mean nothing."""
    broken = health[(health["metric"] == "finite") & (health["value"] == 0)]
    if broken.empty:
        return ""
    first = broken.iloc[0]
    return f"tensor {first['item']}: {first['responses']}"


# ------------------------------------------------------------------ identity of a run


def _new_run(
    checkpoint: Checkpoint,
    suite: Suite,
    store: Store,
    conditions: Conditions,
    say: Callable[[str], None],
) -> Run:
    """The run to begin or go on with; one whose data has changed since gets a new number."""
    digest = suite_digest(suite)
    engine = conditions.settings.label(checkpoint)
    plan = conditions.budget.label if conditions.budget else ""
    written = _generation(checkpoint, suite)
    key = files.text_sha256(f"{checkpoint.digest}{written}{digest}{engine}{plan}")[:10]
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{checkpoint.name}--{suite.name}--{key}")
    known = {run.id: run for run in store.runs()}
    today = environment(suite, conditions)
    number = 1
    while earlier := known.get(_numbered(stem, number)):
        changed = _changed(earlier, today, conditions)
        if not changed:
            break
        if not earlier.finished:
            say(f"{earlier.id} was broken off under {changed}: it is measured anew")
        elif versions.changes(earlier.environment, today):
            say(f"{earlier.id} was measured under {changed}: it is measured again")
        number += 1
    return Run(
        id=_numbered(stem, number),
        checkpoint=checkpoint,
        suite=suite.name,
        suite_digest=digest,
        engine=engine,
        environment=today,
        started=now(),
        finished=earlier.finished if earlier else "",
    )


def _generation(checkpoint: Checkpoint, suite: Suite) -> str:
    """The digest of how the checkpoint generates, where that can change what is measured.

    It does where answers are generated, and health reads the ends of a chat from it.
    """
    probes = [make_probe(spec) for spec in suite.probes]
    silent = all(isinstance(probe, Writing) and not probe.writes() for probe in probes)
    return "" if silent and not checkpoint.chat else checkpoint.digests.get("generation", "")


def next_id(run: Run, store: Store) -> str:
    """The first id after that of a stored run which no run has."""
    known = {each.id for each in store.runs()}
    number = 2
    while _numbered(run.id, number) in known:
        number += 1
    return _numbered(run.id, number)


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}-{number}"


def _changed(run: Run, environment: Mapping[str, Any], conditions: Conditions) -> str:
    """Why this run cannot be returned or gone on with, in words; empty if it can.

    Its data is no longer what was read; it lacks what is here now; or it was broken off and would
    go on under other conditions: one score is not made of answers from two sets of libraries.
    """
    for name, fingerprint in run.data.items():
        if datasets.source_fingerprint(name, conditions.mirror) not in (fingerprint, None):
            return f"other data ({name})"
    if not run.finished:
        return _other_conditions(run.environment, environment)
    lacking = any(skipped.missing for skipped in run.skipped) and not conditions.skip_missing
    if lacking and not any(skipped.unsound for skipped in run.skipped):
        return "less data than is here now"
    return ", ".join(map(str, versions.changes(run.environment, environment)))


def _other_conditions(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What decides scores and has changed since, in words; empty if nothing has."""
    pairs = {key: (before.get(key), now[key]) for key in ("device", "dtype")}
    for name, version in now["versions"].items():
        pairs[name] = (before.get("versions", {}).get(name), version)
    changed = [f"{name} {was} (now {new})" for name, (was, new) in pairs.items() if was != new]
    return ", ".join(changed)


def suite_digest(suite: Suite) -> str:
    """sha256 of what is asked: the suite's words, and what its tasks are made of.

    Name, description, the places of files and what lies beside them do not count. Versions of
    libraries are looked at apart: `pyr.compare.versions`.
    """
    asked = suite.model_dump(mode="json", exclude={"name", "description", "datasets"})
    for probe in asked["probes"]:
        for option in ("families", "files", "include_path", "run_code"):
            probe["options"].pop(option, None)
    ingredients = {
        "asked": asked,
        "reads": [_reads(spec) for spec in suite.probes],
    }
    return files.json_sha256(ingredients)


def _reads(spec: ProbeSpec) -> list[str]:
    """Digests of what a probe reads; of one that does not say, the files that its options name."""
    probe = make_probe(spec)
    if isinstance(probe, Reading):
        return list(probe.reads())
    texts = [each for option in spec.options.values() for each in datasets.texts_in(option)]
    return [datasets.fingerprint(Path(text)) for text in texts if _is_place(text)]


def _is_place(text: str) -> bool:
    try:
        return bool("/" in text or Path(text).suffix) and Path(text).exists()
    except (OSError, ValueError):
        return False


def environment(suite: Suite, conditions: Conditions) -> dict[str, Any]:
    """What a reader needs to repeat the run."""
    import torch

    settings = conditions.settings
    device = settings.device
    if device.startswith("cuda"):
        device = f"{device} ({torch.cuda.get_device_name()})"
    return {
        "versions": {name: _version(name) for name in _VERSIONS},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": processor(),
        "device": device,
        "dtype": settings.dtype,
        "batch_size": settings.batch_size,
        "threads": torch.get_num_threads(),
        "seed": suite.seed,
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "suite": suite.model_dump(mode="json"),
    }


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def now() -> str:
    """This moment, ISO 8601 in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
