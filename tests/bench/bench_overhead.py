"""What a checkpoint costs outside the model: ``make bench``.

    python tests/bench/bench_overhead.py CHECKPOINT --datasets MIRROR... [--narrow] [--limit 32]

Stock is lm_eval.simple_evaluate in a fresh process, as each checkpoint costs it: start, imports,
the index of tasks, loading, building, scoring, grading, standard errors. Fast is `pyr.evaluate` on
the second checkpoint in one process: bundles and model are there, everything else is done anew, the
digest of the weights and the records on disk included. Printed are CPU seconds in all, outside the
forward passes of the model, and outside the LM's methods as well (stock's log-softmax over every
position and its encoding lie between the two). --narrow takes a model of two layers of 64 over the
checkpoint's tokenizer, so that more items can be asked; it loads faster for both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from tasks_asked import OVERRIDES

TASKS = ("arc_easy", "sciq", "hellaswag", "lambada_openai")
FAMILIES = ("arc", "sciq", "hellaswag", "lambada")
DATA_SETS = {
    "arc_easy": "allenai/ai2_arc",
    "sciq": "allenai/sciq",
    "hellaswag": "Rowan/hellaswag",
    "lambada_openai": "EleutherAI/lambada_openai",
}
METHODS = ("loglikelihood", "loglikelihood_rolling", "generate_until", "loglikelihood_encoded")


class Clock:
    """CPU seconds inside a model's forward passes and inside an LM's methods."""

    def __init__(self) -> None:
        self.forward = self.methods = 0.0
        self._began: list[float] = []

    def watch(self, lm: Any) -> Any:
        """Count what `lm` does from now on, once however often it is given."""
        if vars(lm).get("watched"):
            return lm
        lm.watched = True
        lm.model.register_forward_pre_hook(lambda *_: self._began.append(time.process_time()))
        lm.model.register_forward_hook(self._ended)
        for name in METHODS:
            if name in dir(lm):
                setattr(lm, name, self._timed(getattr(lm, name)))
        return lm

    def _ended(self, *_: Any) -> None:
        self.forward += time.process_time() - self._began.pop()

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **options: Any) -> Any:
            before, started = self.methods, time.process_time()
            answers = method(*given, **options)
            # One method may call another of them.
            self.methods = before + time.process_time() - started
            return answers

        return timed

    def say(self, seconds: float) -> None:
        """The last line of a child: what it spent in all, and inside."""
        print(json.dumps([seconds, self.forward, self.methods]), flush=True)


def stock(checkpoint: Path, mirrors: Sequence[Path], limit: int) -> None:
    """In a child: one checkpoint, from the start of the process."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    clock = Clock()
    lm = clock.watch(HFLM(pretrained=str(checkpoint), dtype="float32", device="cpu", batch_size=8))
    folders = {name: _folder(DATA_SETS[name], mirrors) for name in TASKS}
    tasks = [
        {"task": name, "dataset_path": str(folders[name]), **OVERRIDES.get(name, {})}
        for name in TASKS
    ]
    lm_eval.simple_evaluate(model=lm, tasks=[{"group": "all", "task": tasks}], limit=limit)
    clock.say(time.process_time())


def fast(first: Path, second: Path, mirrors: Sequence[Path], limit: int) -> None:
    """In a child: two checkpoints, of which the second counts."""
    from pyr.checkpoint import identify
    from pyr.engines import EngineSettings
    from pyr.engines.model_reuse import ModelReuse
    from pyr.evaluate import Conditions, evaluate
    from pyr.schema import ProbeSpec, Suite
    from pyr.store import Store

    entries = [{"task": name, **OVERRIDES.get(name, {})} for name in TASKS]
    options = {"families": list(FAMILIES), "tasks": entries, "limit": limit}
    suite = Suite(name="overhead", probes=[ProbeSpec(probe="harness", options=options)])
    clock = Clock()

    class Watched(ModelReuse):
        def open(self, checkpoint, settings):
            return clock.watch(super().open(checkpoint, settings))

    conditions = Conditions(
        settings=EngineSettings(engine="fast", device="cpu", dtype="float32"),
        mirror=next(each for each in mirrors if (each / DATA_SETS["lambada_openai"]).is_dir()),
        models=Watched(),
    )
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        evaluate(identify(first), suite, store, conditions)
        clock.forward = clock.methods = 0.0
        started = time.process_time()
        evaluate(identify(second), suite, store, conditions)
        clock.say(time.process_time() - started)


def _folder(data_set: str, mirrors: Sequence[Path]) -> Path:
    return next(each / data_set for each in mirrors if (each / data_set).is_dir())


def narrow(checkpoint: Path, folder: Path) -> Path:
    """A random model of two layers of 64 with the checkpoint's tokenizer."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--datasets", type=Path, nargs="+", required=True)
    parser.add_argument("--limit", type=int, default=16, help="items a task")
    parser.add_argument("--narrow", action="store_true")
    parser.add_argument("--child", choices=["stock", "fast"], help="measure this one here")
    parser.add_argument("--second", type=Path, help="the other checkpoint, for the child")
    options = parser.parse_args()
    mirrors = [each.resolve() for each in options.datasets]
    if options.child == "stock":
        return stock(options.checkpoint, mirrors, options.limit)
    if options.child == "fast":
        return fast(options.checkpoint, options.second, mirrors, options.limit)
    return compare(options)


def compare(options: argparse.Namespace) -> None:
    """Both children, and the table."""
    from pyr import faults

    with tempfile.TemporaryDirectory() as folder:
        first = options.checkpoint
        if options.narrow:
            first = narrow(first, Path(folder) / "first")
        second = Path(folder) / "second"
        faults.add_noise(first, second, fraction=0.01, seed=0)
        given = ["--limit", str(options.limit), "--datasets", *map(str, options.datasets)]
        seen = {
            "stock": child(first, "stock", given),
            "fast, second checkpoint": child(first, "fast", [*given, "--second", str(second)]),
        }
    width = "2 layers of 64" if options.narrow else options.checkpoint.name
    print(f"{width}, {options.limit} items of each of {', '.join(TASKS)}:\n")
    print("| engine | CPU s | outside the forward passes | outside the LM's methods |")
    print("| --- | ---: | ---: | ---: |")
    for name, (seconds, forward, methods) in seen.items():
        print(f"| {name} | {seconds:.2f} | {seconds - forward:.2f} | {seconds - methods:.2f} |")
    (all_a, forward_a, methods_a), (all_b, forward_b, methods_b) = seen.values()
    print(
        f"| stock over fast | {all_a / all_b:.1f} | "
        f"**{(all_a - forward_a) / (all_b - forward_b):.1f}** | "
        f"{(all_a - methods_a) / (all_b - methods_b):.1f} |\n",
        flush=True,
    )


def child(checkpoint: Path, which: str, given: Sequence[str]) -> tuple[float, float, float]:
    here = [sys.executable, __file__, str(checkpoint), "--child", which, *given]
    done = subprocess.run(here, check=True, capture_output=True, text=True)
    seconds, forward, methods = json.loads(done.stdout.splitlines()[-1])
    return seconds, forward, methods


if __name__ == "__main__":
    main()
