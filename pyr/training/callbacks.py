"""What is looked at during a phase: losses, signals, saves. A callback of transformers' Trainer."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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
from pyr.training import checkpoints
from pyr.training.order import LOG, Order, keep_lines, read_log

_WINDOW = 50
_LEAST = 20
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
)


@dataclass(frozen=True, slots=True)
class Speed:
    """What a token costs, and what the devices could do."""

    parameters: int
    """That a token is multiplied by: all but the input embedding."""
    peak: float
    """FLOP a second of one device, measured; 0 if it was not."""
    devices: int

    def of(self, tokens: int, seconds: float) -> dict[str, float]:
        """Tokens a second over all devices, and model FLOP utilisation.

        6 FLOP per parameter and token, forward and backward (Kaplan et al. 2020, 2.1); attention
        itself is left out, so that this is a lower bound. Rows have no padding: every token counts.
        """
        rate = tokens / max(seconds, 1e-9)
        found = {"tokens_per_second": round(rate, 1)}
        if self.peak:
            found["mfu"] = round(6 * self.parameters * rate / (self.peak * self.devices), 4)
        return found


@dataclass(frozen=True, slots=True)
class Watched:
    """What the watch must know of its phase."""

    folder: Path
    tokenizer: Path
    about: Mapping[str, Any]
    """Goes into every checkpoint's marker: recipe, phase, digests."""
    tokens_before: int
    tokens_per_step: int
    spike: float | None
    keep: int
    describe: Callable[[int], str]
    """The rows and documents of a step, in words."""
    speed: Speed


class Watch(TrainerCallback):  # type: ignore[misc]
    """Logs every step, stops on a loss that is not finite or leaps, makes saves whole.

    SIGTERM and SIGINT save and end the phase at the next step; every rank agrees on it.
    """

    def __init__(self, watched: Watched) -> None:
        self._phase = watched
        self._losses: deque[float] = deque(maxlen=_WINDOW)
        self._signalled = False
        self.conductor: int | None = None
        self._since = time.monotonic()
        self._logged = 0

    @property
    def interrupted(self) -> bool:
        """True if a signal has asked for the end."""
        return self._signalled

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take up the log where the checkpoint stands."""
        self._logged = state.global_step
        log = self._phase.folder / LOG
        if args.process_index == 0:
            keep_lines(log, state.global_step)
        if log.is_file():
            self._losses.extend(
                line["loss"] for line in read_log(log) if line["step"] <= state.global_step
            )
        self._since = time.monotonic()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals as the wish to save and stop, while the block runs."""
        before = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: Any) -> None:
        self._signalled = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Save and stop when signalled; log before every save, so that no bad state is kept."""
        if any_rank(self._signalled or self._left_behind()):
            self._signalled = True
            control.should_save = True
            control.should_training_stop = True
        if control.should_save:
            control.should_log = True
        return control

    def _left_behind(self) -> bool:
        """True if the process that started this one has ended."""
        if self.conductor is None:
            return False
        try:
            os.kill(self.conductor, 0)
        except ProcessLookupError:
            return True
        return False

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """A line in the log; MeasureError if the loss or the gradient is not a number, or leaps."""
        if "loss" not in (logs or {}):
            return
        now = time.monotonic()
        steps = max(1, state.global_step - self._logged)
        self._logged = state.global_step
        if args.process_index == 0:
            self._write(state, logs, seconds=(now - self._since) / steps)
        self._judge(state.global_step, logs)
        self._losses.append(logs["loss"])
        self._since = time.monotonic()

    def _write(self, state: Any, logs: Mapping[str, Any], *, seconds: float) -> None:
        phase = self._phase
        line = {
            "step": state.global_step,
            "tokens": phase.tokens_before + state.global_step * phase.tokens_per_step,
            **{key: value for key, value in logs.items() if key not in ("epoch", "num_tokens")},
            "seconds": round(seconds, 4),
            **phase.speed.of(phase.tokens_per_step, seconds),
        }
        with (phase.folder / LOG).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")

    def _judge(self, step: int, logs: Mapping[str, Any]) -> None:
        loss, norm = logs["loss"], logs.get("grad_norm", 0.0)
        usual = sum(self._losses) / max(1, len(self._losses))
        spike = self._phase.spike
        if not (math.isfinite(loss) and math.isfinite(norm)):
            fault = f"the loss is {loss} and the gradient's norm {norm}"
        elif spike and len(self._losses) >= _LEAST and loss > usual + spike:
            fault = f"the loss leapt to {loss:.3f}, from {usual:.3f} in the steps before"
        else:
            return
        last = checkpoints.newest(self._phase.folder)
        kept = f"the last good state is {last.folder}" if last else "no state had been saved yet"
        raise MeasureError(
            f"step {step}: {fault}; {kept}.",
            where=f"batch: {self._phase.describe(step - 1)}",
            remedy="lower the learning rate or look at these documents, then start it again",
        )

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Make the save complete and visible, then let old ones go."""
        phase = self._phase
        barrier()
        if args.process_index == 0:
            aside = phase.folder / checkpoints.WRITING / f"checkpoint-{state.global_step}"
            copy_tokenizer(phase.tokenizer, aside)
            tokens = phase.tokens_before + state.global_step * phase.tokens_per_step
            about = {**phase.about, "tokens": tokens}
            checkpoints.publish(phase.folder, state.global_step, about=about)
            checkpoints.prune(phase.folder, keep=phase.keep)
            say(f"  saved step {state.global_step} of {state.max_steps}")
        barrier()
        self._since = time.monotonic()


def copy_tokenizer(source: Path, folder: Path) -> None:
    """The tokenizer's files, byte for byte: a library that saves them again may change them."""
    for name in _TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def say(text: str) -> None:
    """A line on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


# ------------------------------------------------------------------ ranks


def any_rank(claim: bool) -> bool:
    """True on every rank if it is on one: a decision that all must take together."""
    import torch

    if not _distributed():
        return claim
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    flag = torch.tensor([int(claim)], device=device)
    torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
    return bool(flag.item())


def barrier() -> None:
    """Wait for every rank."""
    import torch

    if _distributed():
        torch.distributed.barrier()


def _distributed() -> bool:
    import torch

    return torch.distributed.is_available() and torch.distributed.is_initialized()


# ------------------------------------------------------------------
# A short suite on every saved checkpoint, as long as it stays within its share of the time.
#
# What was written is what is measured. The weights do not depend on whether it ran: the random
# state is put back. A checkpoint whose health is broken ends the phase; every rank learns of it.


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
