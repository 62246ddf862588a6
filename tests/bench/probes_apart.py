"""Do the probes tell a sound model from a damaged one and from one that never learnt?

    python tests/bench/probes_apart.py MODEL --suite drift -o out/apart

A probe that gives a model, its damaged copy and random weights of the same shape the same score
measures nothing. Prints the table of evals/README.md: the three scores with half of their 95%
interval, and what chance or the reference text scores.
"""

from __future__ import annotations

import argparse
import math
import shutil
import time
from fnmatch import fnmatchcase
from pathlib import Path

from pyr import content, faults
from pyr.checkpoint import identify
from pyr.compare import compare, interval
from pyr.engines import EngineSettings
from pyr.engines.model_reuse import ModelReuse
from pyr.evaluate import Conditions, evaluate
from pyr.schema import Comparison, Suite
from pyr.store import Store

NAMES = ("sound", "damaged", "random")
SHOWN = (
    "ifeval/*_acc",
    "pyr_instruct*/*",
    "pyr_turns*/*",
    "samples*/distance",
    "samples/*_4grams",
    "samples/before_loop",
    "samples/stilted",
    "samples/textbook",
    "samples_chat/ends",
    "samples_python/parses",
    "text*/bits_per_byte",
    "*/acc",
    "*/swapped_acc",
    "*/reads_acc",
    "condition/*",
    "throughput/*_tokens_per_second*",
    "throughput/*_share",
)
"""The lines of evals/README.md; the other measures stand in the report."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--suite", default="drift")
    parser.add_argument("--datasets", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("out/apart"))
    options = parser.parse_args()
    suite = content.read(content.find(options.suite, kind="suite", folder="evals/suites"), Suite)
    store = Store(options.output / "results")
    conditions = Conditions(
        settings=EngineSettings(engine="fast"),
        mirror=options.datasets.resolve() if options.datasets else None,
        models=ModelReuse(),
    )
    tables: dict[str, dict[str, Comparison]] = {}
    for name, folder in copies(options.model, options.output).items():
        began = time.process_time()
        run = evaluate(identify(folder), suite, store, conditions)
        print(f"{name}: {run.id}, {time.process_time() - began:.0f} s of processor", flush=True)
        tables[name] = {row.measure: row for row in compare(store.results(run), None)}
    print(table(tables))


def copies(model: Path, output: Path) -> dict[str, Path]:
    """The model, its damaged copy as `pyr demo` makes it, and random weights of its shape."""
    output.mkdir(parents=True, exist_ok=True)
    damaged, random = output / "damaged", output / "random"
    if not damaged.exists():
        faults.add_noise(model, damaged, fraction=0.15, seed=0)
    if not random.exists():
        at_random(model, random)
    return dict(zip(NAMES, (model, damaged, random), strict=True))


def at_random(model: Path, target: Path) -> None:
    """A model of the same config and tokenizer, its weights as they are before training."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(model)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(target)
    for file in model.iterdir():
        if file.suffix in (".json", ".jinja", ".txt") and not (target / file.name).exists():
            shutil.copyfile(file, target / file.name)


def table(tables: dict[str, dict[str, Comparison]]) -> str:
    """The measures as Markdown."""
    lines = [f"| measure | n | {' | '.join(NAMES)} | reference |", "|---|---:|---:|---:|---:|---:|"]
    for measure, row in sorted(tables["sound"].items()):
        if not any(fnmatchcase(measure, shown) for shown in SHOWN):
            continue
        cells = [score(tables[name].get(measure)) for name in NAMES]
        known = tables["sound"].get(f"{measure}@reference")
        reference = score(known) if known else "-"
        n = row.candidate.n if row.candidate else 0
        lines.append(f"| `{measure}` | {n} | {' | '.join(cells)} | {reference} |")
    return "\n".join(lines)


def score(row: Comparison | None) -> str:
    if row is None or row.candidate is None:
        return "-"
    found = row.candidate
    if not math.isfinite(found.se) or found.se == 0:
        return f"{found.value:.4g}"
    limits = interval(found, 0.95)
    return f"{found.value:.3f} +-{(limits.high - limits.low) / 2:.3f}"


if __name__ == "__main__":
    main()
