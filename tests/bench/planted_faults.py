"""The smoke gate on damaged and on harmless copies of a real checkpoint: ``make planted-faults``.

    python tests/bench/planted_faults.py CHECKPOINT [--work DIR] [--write docs/gates.md]

The checkpoint is first rounded to bfloat16, so that a copy in bfloat16 is exact; that is the
baseline. Every copy is made, evaluated by the project's own tasks, judged by the smoke gate and
deleted: about 75 s of a CPU thread each. Runs are kept, so that the same command goes on where it
was stopped. Then the stored records are judged again as if they had been asked in stages.
Exits with 1 if a harmless copy does not pass, or a fault that should be found does not fail.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from staged import Staged, in_stages
from written import table, write_section

from pyr import content, faults
from pyr.checkpoint import identify
from pyr.engines import EngineSettings
from pyr.engines.model_reuse import ModelReuse
from pyr.evaluate import Conditions, evaluate, suite_digest
from pyr.faults.copies import Tensors, copy
from pyr.gate import assess
from pyr.gate.spec import Gate, Verdict
from pyr.schema import Run, Suite
from pyr.store import Results, Store

Make = Callable[[Path, Path], Path]

DAMAGED: dict[str, Make] = {
    "noise of 3%": partial(faults.add_noise, fraction=0.03, seed=1),
    "noise of 10%": partial(faults.add_noise, fraction=0.1, seed=1),
    "noise of 30%": partial(faults.add_noise, fraction=0.3, seed=1),
    "layer 15 dropped": partial(faults.drop_layer, layer=15),
    "3 of 9 heads of layer 0 zeroed": partial(faults.zero_heads, layer=0, heads=(0, 1, 2)),
    "1 of 9 heads of layer 20 zeroed": partial(faults.zero_heads, layer=20, heads=(4,)),
    "digits permuted": faults.permute_digits,
    "tokenizer without its first merge": faults.without_merge,
    "tokenizer without its 20,000th merge": partial(faults.without_merge, merge=20_000),
    "template without its generation prompt": faults.without_generation_prompt,
    "BOS added": faults.add_bos,
    "rounded to int4": faults.round_to_int4,
    "RoPE base ten times too high": faults.wrong_rope_base,
}
HARMLESS: dict[str, Make] = {
    "saved again": faults.saved_again,
    "in shards": faults.in_shards,
    "bfloat16": faults.as_bfloat16,
    "tied weights untied": faults.untied,
}
TOO_SMALL = {
    "noise of 3%",
    "1 of 9 heads of layer 20 zeroed",
    "tokenizer without its 20,000th merge",
}
"""Faults that need not fail; the document says why, with the numbers."""

ITEMS = {
    "pyr_pairs": 1024,
    "pyr_words": 236,
    "pyr_facts": 64,
    "pyr_arithmetic": 256,
    "pyr_copy": 64,
    **dict.fromkeys(("pyr_bpb_prose", "pyr_bpb_stories", "pyr_bpb_python", "pyr_bpb_chat"), 5),
}


def the_suite() -> Suite:
    tasks = [{"task": task, "limit": limit} for task, limit in ITEMS.items()]
    probes = [{"probe": "health"}, {"probe": "harness", "tasks": tasks}]
    return Suite.model_validate({"name": "faults", "probes": probes})


def rounded(source: Path, target: Path) -> Path:
    """The checkpoint with weights that are exact in bfloat16, stored in float32."""
    import torch

    def there_and_back(tensors: Tensors) -> Tensors:
        return {name: each.to(torch.bfloat16).float() for name, each in tensors.items()}

    return copy(source, target, tensors=there_and_back)


# ------------------------------------------------------------------ measuring


class Bench:
    """Makes and evaluates copies, one model in memory, each only once."""

    def __init__(self, work: Path, suite: Suite) -> None:
        self.copies = work / "copies"
        self.copies.mkdir(parents=True, exist_ok=True)
        self.store = Store(work / "store")
        settings = EngineSettings(engine="fast", device="cpu", dtype="float32")
        self.conditions = Conditions(settings=settings, models=ModelReuse())
        self.suite, self.digest = suite, suite_digest(suite)

    def run(self, name: str, make: Make, source: Path, *, keep: bool = False) -> Run:
        """The run of the copy of `source` called `name`; the copy is deleted unless it is kept."""
        folder = self.copies / name.replace(" ", "-").replace(",", "")
        known = [each for each in self.store.runs() if each.checkpoint.name == folder.name]
        known = [each for each in known if each.finished and each.suite_digest == self.digest]
        if known and not keep:
            return known[0]
        started = time.process_time()
        if not folder.exists():
            make(source, folder)
        found = evaluate(identify(folder), self.suite, self.store, self.conditions)
        print(f"{name}: {time.process_time() - started:.0f} s", file=sys.stderr, flush=True)
        if not keep:
            shutil.rmtree(folder)
        return found


# ------------------------------------------------------------------ judging


def first_failure(staged: Staged) -> tuple[str, str]:
    """The rule that failed with the fewest items, and how many those were."""
    failed = [each for each in staged.verdict.findings if each.state == "fail"]
    if not failed:
        return "none", ""
    first = min(
        failed, key=lambda each: (each.observed.n if each.observed else 0, each.p_fail or 0)
    )
    items = f"{first.observed.n:,}" if first.observed else ""
    return f"{first.measure} {first.rule}", items


def row(name: str, whole: Verdict, staged: Staged) -> list[str]:
    rule, items = first_failure(staged)
    broken = sum(each.state == "fail" for each in whole.findings)
    return [
        name,
        whole.state.upper(),
        str(broken),
        staged.verdict.state.upper(),
        f"{rule}",
        items,
        f"{100 * staged.requests / staged.of:.0f}%",
    ]


def judged(
    bench: Bench, base: Results, name: str, run: Run, gate: Gate
) -> tuple[list[str], Staged]:
    candidate = bench.store.results(run)
    whole = assess(gate, candidate, base).verdict
    assert whole is not None
    staged = in_stages(gate, candidate, base)
    for each in whole.findings:
        if each.state != "pass":
            print(f"  {name}: {each.state}: {each.sentence}", file=sys.stderr)
    return row(name, whole, staged), staged


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--work", type=Path, default=Path("out/planted-faults"))
    parser.add_argument("--copies", nargs="*", default=[*DAMAGED, *HARMLESS], metavar="NAME")
    parser.add_argument("--write", type=Path, help="the document to write the table into")
    asked = parser.parse_args()
    bench = Bench(asked.work, the_suite())
    base_run = bench.run("baseline", rounded, asked.checkpoint, keep=True)
    source = bench.copies / "baseline"
    chosen = {name: make for name, make in {**DAMAGED, **HARMLESS}.items() if name in asked.copies}
    runs = {name: bench.run(name, make, source) for name, make in chosen.items()}

    gate = content.read(content.find("smoke", kind="gate", folder="evals/gates"), Gate)
    base = bench.store.results(base_run)
    rows, shares, wrong = [], [], []
    for name, run in runs.items():
        cells, staged = judged(bench, base, name, run, gate)
        rows.append(cells)
        shares.append(staged.requests / staged.of)
        if cells[1] != cells[3]:
            wrong.append(f"{name}: {cells[1]} as a whole, {cells[3]} in stages")
        if name in HARMLESS and cells[1] != "PASS":
            wrong.append(f"{name} is harmless, and {cells[1]}")
        if name in DAMAGED and name not in TOO_SMALL and cells[1] != "FAIL":
            wrong.append(f"{name} is a fault, and {cells[1]}")
    head = ["copy", "verdict", "rules failed", "in stages", "first to fail", "items", "requests"]
    alike = len(rows) - sum("in stages" in each for each in wrong)
    said = (
        f"In stages {alike} of {len(rows)} verdicts are the same, for "
        f"{100 * sum(shares) / len(shares):.0f}% of the requests on average."
    )
    lines = [*table(head, rows), "", said]
    print("\n".join(lines))
    if asked.write:
        write_section(asked.write, "planted faults", lines)
    for each in wrong:
        print(f"WRONG  {each}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
