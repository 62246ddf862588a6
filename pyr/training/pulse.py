"""A short suite on every saved checkpoint, as long as it stays within its share of the time.

What was written is what is measured. The weights do not depend on whether it ran: the random state
is put back. A checkpoint whose health is broken ends the phase; every rank learns of it.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainerCallback

from pyr import content
from pyr.checkpoint import identify
from pyr.engines import EngineSettings
from pyr.engines.model_reuse import ModelReuse
from pyr.errors import MeasureError
from pyr.evaluate import Conditions, evaluate
from pyr.files import write
from pyr.gate import assess
from pyr.gate.spec import Gate
from pyr.store import Store
from pyr.training.order import Order
from pyr.training.watch import any_rank, say

STATE = "pulse.json"


class Pulse(TrainerCallback):  # type: ignore[misc]
    """Evaluates what was saved; stands after `Watch`, which makes it visible."""

    def __init__(self, order: Order, folder: Path) -> None:
        self._order = order
        self._folder = folder
        # One more copy of the weights in memory, instead of loading and checking at every save.
        self._models = ModelReuse()
        self._spent = 0.0
        self._last = 0.0
        self._before = 0.0
        self._began = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take up the budget where the last process left it."""
        self._began = time.monotonic()
        file = self._folder / STATE
        if file.is_file():
            kept = json.loads(file.read_text(encoding="utf-8"))
            self._spent, self._last = kept["spent"], kept["last"]
            self._before = kept["elapsed"]

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Evaluate if the budget allows it. MeasureError on every rank if health is broken."""
        fault = ""
        if args.process_index == 0 and not control.should_training_stop:
            fault = self._measure(state.global_step)
        if any_rank(bool(fault)):
            raise MeasureError(
                f"step {state.global_step}: the pulse found a broken checkpoint. {fault}",
                where=str(self._folder),
                remedy="look at the phase's log, mend the recipe, start it again",
            )

    def _measure(self, step: int) -> str:
        elapsed = self._before + time.monotonic() - self._began
        share = self._order.phase.pulse_share
        if self._spent and (self._spent + self._last) / (elapsed + self._last) > share:
            return ""
        began = time.monotonic()
        with random_state_kept():
            fault = self._evaluate(step)
        self._last = time.monotonic() - began
        self._spent += self._last
        elapsed += self._last
        body = json.dumps({"spent": self._spent, "last": self._last, "elapsed": elapsed})
        write(self._folder / STATE, body)
        say(f"  pulse: {self._last:.1f} s, {self._spent / elapsed:.1%} of the phase's time so far")
        return fault

    def _evaluate(self, step: int) -> str:
        """Run the suite; gives what is broken, or an empty string."""
        asked = self._order
        assert asked.pulse is not None
        checkpoint = identify(self._folder / f"checkpoint-{step}")
        store = Store(asked.store)
        settings = EngineSettings(**asked.engine)
        conditions = Conditions(settings, skip_missing=True, models=self._models)
        run = evaluate(checkpoint, asked.pulse, store, conditions)
        gate = content.read(content.find("health", kind="gate", folder="evals/gates"), Gate)
        verdict = assess(gate, store.results(run), None).verdict
        failed = (
            [each.sentence for each in verdict.findings if each.state == "fail"] if verdict else []
        )
        return failed[0] if failed else ""


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Put Python's, numpy's and torch's random state back afterwards."""
    import torch

    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if devices:
            torch.cuda.set_rng_state_all(devices)
