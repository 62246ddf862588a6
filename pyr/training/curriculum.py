"""The conductor: for each phase prepare, train, evaluate, judge; stop at a closed gate.

All state is on disk, so the same command goes on wherever the last one ended:

    <output>/data/<source>-<digest>/   tokenised sources; shared by recipes that agree on them
             held-out/                 a task for every phase's held-out documents
             <phase>/order.json        what the phase is to do; its digest decides what is trained
                     log.jsonl         a line a step
                     checkpoint-N/     complete ones only
                     final/            the phase's result
                     verdict.json      the gate's answer
             <phase>--<digest>/        an earlier attempt, set aside when its recipe was changed
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pyr import content, files
from pyr.checkpoint import identify
from pyr.data.filters import NOTHING_BLOCKED
from pyr.engines import EngineSettings
from pyr.errors import MeasureError, StoreError
from pyr.evaluate import Conditions, evaluate
from pyr.gate import as_json
from pyr.gate.spec import Gate
from pyr.pipeline import assess_and_report
from pyr.schema import ProbeSpec, Run, State, Suite
from pyr.store import Store
from pyr.training import checkpoints, model, order, prepare, recipe
from pyr.training.held_out import blocked_items, write_tasks
from pyr.training.order import Order, Portion
from pyr.training.recipe import Curriculum, Phase

VERDICT = "verdict.json"
STOPPED = "stopped.json"
HELD_OUT = "held-out"


@dataclass(frozen=True)
class Rehearsal:
    """Where a curriculum is run."""

    output: Path
    store: Store
    texts: Path | None = None
    """A folder of text files, beside the recipe's own."""
    conditions: Conditions = field(default_factory=Conditions)
    decontaminate: bool = True
    say: Callable[[str], None] = lambda text: None


@dataclass(frozen=True, slots=True)
class Passage:
    """One phase that has been trained and judged."""

    phase: str
    run: str
    state: State
    opens: bool
    report: Path
    sentences: tuple[str, ...]
    """What the gate found that is not a pass."""


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How far the curriculum came."""

    state: Literal["pass", "fail", "unclear", "stopped"]
    passages: tuple[Passage, ...]


def run(curriculum: Curriculum, rehearsal: Rehearsal, *, until: str = "") -> RunOutcome:
    """Run the phases in their order, to the end, to a closed gate, or to a signal.

    until: the last phase to run; all if empty.
    Raises PyrError for what a person must mend: content, data, a loss that is not a number, a disk.
    """
    if until:
        curriculum.phase(until)
    stand = Stand(curriculum, rehearsal)
    passages: list[Passage] = []
    for phase in curriculum.phases:
        folder = rehearsal.output / phase.name
        stand.place(phase)
        if not checkpoints.final(folder):
            rehearsal.say(f"{phase.name}: training")
            _train(folder, curriculum)
        if not checkpoints.final(folder):
            return RunOutcome("stopped", tuple(passages))
        passages.append(stand.judge(phase))
        if not passages[-1].opens:
            state = passages[-1].state
            return RunOutcome("unclear" if state == "unclear" else "fail", tuple(passages))
        if phase.name == until:
            break
    return RunOutcome("pass", tuple(passages))


class Stand:
    """What stays the same from phase to phase: the data, the tasks, the store."""

    def __init__(self, curriculum: Curriculum, rehearsal: Rehearsal) -> None:
        """Reads the model file and prepares the data of every phase."""
        self._curriculum = curriculum
        self._rehearsal = rehearsal
        self._tokenizer = prepare.tokenizer_folder(curriculum)
        self._model = model.read(curriculum.beside(curriculum.recipe.model))
        model.check_tokenizer(self._model, self._tokenizer)
        blocked = NOTHING_BLOCKED
        if rehearsal.decontaminate:
            mirror = rehearsal.conditions.mirror
            blocked = blocked_items(recipe.suites_of(curriculum), mirror)
        data = rehearsal.output / "data"
        kitchen = prepare.Kitchen(data, rehearsal.texts, blocked, rehearsal.say)
        self._prepared = prepare.prepare(curriculum, kitchen)
        held_out = (rehearsal.output / HELD_OUT).resolve()
        names = write_tasks(curriculum, self._prepared, held_out)
        self._held_out = _held_out_probe(held_out, names)
        self._preferences = {
            phase.name: prepare.write_preferences(phase, curriculum, kitchen, data)
            for phase in curriculum.phases
            if phase.stage == "dpo"
        }

    def place(self, phase: Phase) -> None:
        """Put the phase's order on disk; an attempt by another order is set aside."""
        folder = self._rehearsal.output / phase.name
        asked = self._order(phase)
        before = order.digest_of(folder)
        if before and before != asked.digest():
            aside = folder.with_name(f"{phase.name}--{before[:8]}")
            number = 1
            while aside.exists():
                number += 1
                aside = folder.with_name(f"{phase.name}--{before[:8]}-{number}")
            folder.rename(aside)
            self._rehearsal.say(
                f"{phase.name}: the recipe has changed; the earlier attempt is now {aside}"
            )
        order.write(folder, asked)

    def _order(self, phase: Phase) -> Order:
        start, tokens = self._start(phase)
        pulse = (
            self._with_held_out(recipe.suite_of(self._curriculum, phase.pulse))
            if phase.pulse
            else None
        )
        return Order(
            recipe=self._curriculum.recipe.name,
            phase=phase,
            seed=self._curriculum.recipe.seed,
            model=self._model,
            tokenizer=self._tokenizer.resolve(),
            sources=[
                Portion(name=part.name, folder=part.folder.resolve(), weight=part.weight)
                for part in self._prepared.get(phase.name, [])
            ],
            start=start.resolve() if start else None,
            start_digest=identify(start).digests["weights"] if start else "",
            tokens_before=tokens,
            rows_file=self._preferences.get(phase.name),
            store=self._rehearsal.store.root.resolve(),
            engine=self._curriculum.recipe.engine,
            pulse=pulse,
        )

    def _start(self, phase: Phase) -> tuple[Path | None, int]:
        """The model folder that the phase starts from, and the tokens it has seen."""
        name = self._curriculum.start_of(phase)
        if name == "scratch":
            return None, 0
        final = checkpoints.final(self._rehearsal.output / name)
        if final:
            return final.folder, int(final.about["tokens"])
        folder = self._curriculum.beside(name)
        if not (folder / "config.json").is_file():
            raise StoreError(
                f"phase '{phase.name}' starts from '{name}', which has no result yet.",
                remedy=f"train it first, or mend 'start' of {phase.name}.yaml",
            )
        return folder, int(identify(folder).tokens or 0)

    def _with_held_out(self, suite: Suite) -> Suite:
        """The suite with every phase's held-out documents: what was forgotten, at any time."""
        if not self._held_out:
            return suite
        return suite.model_copy(update={"probes": [*suite.probes, self._held_out]})

    def _gate(self, name: str) -> Gate:
        file = self._curriculum.folder / name
        if not file.is_file():
            file = content.find(name, kind="gate", folder="evals/gates")
        return content.read(file, Gate)

    def judge(self, phase: Phase) -> Passage:
        """Evaluate the phase's result and its start, judge, and keep the verdict."""
        rehearsal = self._rehearsal
        suite = self._with_held_out(recipe.suite_of(self._curriculum, phase.suite))
        candidate = self._measure(phase.name, suite)
        start = self._curriculum.start_of(phase)
        baseline = None if start == "scratch" else self._measure(start, suite)
        gate = self._gate(phase.gate)
        # A person finds the verdict in the phase's folder, and may have overruled it there.
        copy = rehearsal.output / phase.name / VERDICT
        outcome = assess_and_report(
            rehearsal.store, candidate, baseline, gate, judged_before=[copy.parent]
        )
        if outcome.verdict is not None:
            files.write(copy, as_json(outcome.verdict))
        findings = outcome.verdict.findings if outcome.verdict else ()
        return Passage(
            phase=phase.name,
            run=candidate.id,
            state=outcome.state,
            opens=outcome.opens,
            report=outcome.html,
            sentences=tuple(each.sentence for each in findings if each.state != "pass"),
        )

    def _measure(self, name: str, suite: Suite) -> Run:
        final = checkpoints.final(self._rehearsal.output / name)
        found = identify(final.folder if final else self._curriculum.beside(name))
        settings = EngineSettings(**self._curriculum.recipe.engine)
        conditions = dataclasses.replace(self._rehearsal.conditions, settings=settings)
        return evaluate(found, suite, self._rehearsal.store, conditions)


def _held_out_probe(folder: Path, names: list[str]) -> ProbeSpec | None:
    if not names:
        return None
    options = {"include_path": [str(folder)], "tasks": names}
    return ProbeSpec(probe="harness", name="held-out", options=options)


# ------------------------------------------------------------------ the stage's process


def _train(folder: Path, curriculum: Curriculum) -> None:
    """Run the stage and wait for it; signals are passed on, so that it saves.

    Raises MeasureError or StoreError with what the stage said when it stopped by itself.
    """
    process = subprocess.Popen(stage_command(folder, curriculum))
    asked_to_stop = False

    def pass_on(number: int, _: Any) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True
        # A terminal sends SIGINT to both; asking twice does no harm.
        process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code == 0 or asked_to_stop:
        return
    said = folder / STOPPED
    if said.is_file():
        words = json.loads(said.read_text(encoding="utf-8"))
        raise MeasureError(words["what"], where=words["where"], remedy=words["remedy"])
    raise StoreError(
        f"{folder.name}: a training process was killed, or ended by itself (code {code}).",
        where="what it said stands above",
        remedy="the same command goes on from its last complete checkpoint",
    )


def stage_command(folder: Path, curriculum: Curriculum) -> list[str]:
    """How the stage of a phase is started: by the recipe's launcher, torchrun, or plainly."""
    recipe = curriculum.recipe
    stage = ["-m", "pyr.training.stage", str(folder), str(os.getpid())]
    if recipe.launch:
        return [*recipe.launch, *stage]
    if recipe.processes > 1:
        count = f"--nproc_per_node={recipe.processes}"
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", count, *stage]
    return [sys.executable, *stage]
