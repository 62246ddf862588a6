"""The gate on published trainings: ``make public-histories``.

    python tests/bench/public_histories.py DATA_FOLDER [--write docs/gates.md]

DATA_FOLDER holds pythia-70m, pythia-160m and pythia-410m: lm-eval results by training step. Every
stored checkpoint from step 1,000 on is judged against the one before it by evals/gates/pythia.yaml.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from written import table, write_section

from pyr import content
from pyr.compare import compare
from pyr.gate import assess, judge
from pyr.gate.bisect import bisect, read_rule
from pyr.gate.spec import Finding, Gate, Verdict
from pyr.store import Results, Store
from pyr.store.lm_eval_import import import_results

MODELS = ("pythia-70m", "pythia-160m", "pythia-410m")
TOKENS_PER_STEP = 2_097_152
FALL = "lambada_openai/acc not_worse_by 0.02"


def trajectory(folder: Path, store: Store) -> list[Results]:
    """Every checkpoint from step 1,000 on, in order."""
    runs = import_results([folder], store, TOKENS_PER_STEP)
    late = sorted(
        (run for run in runs if (run.checkpoint.step or 0) >= 1000),
        key=lambda run: run.checkpoint.step or 0,
    )
    return [store.results(run) for run in late]


def pairs(gate: Gate, way: Sequence[Results], *, noise: bool) -> list[tuple[int, Verdict]]:
    """Step and verdict of every checkpoint against the one before."""
    found = []
    for number, (earlier, later) in enumerate(zip(way[:-1], way[1:], strict=True)):
        history = way[: number + 2] if noise else []
        verdict = assess(gate, later, earlier, history=history).verdict
        assert verdict is not None
        found.append((later.run.checkpoint.step or 0, verdict))
    return found


def fails(verdict: Verdict) -> list[Finding]:
    return [each for each in verdict.findings if each.state == "fail"]


WAYS = {
    "items only, each rule for itself": ("none", False),
    "items only, Holm": ("holm", False),
    "items and checkpoints, each rule for itself": ("none", True),
    "items and checkpoints, Holm": ("holm", True),
}


def counted(model: str, found: dict[str, list[tuple[int, Verdict]]]) -> list[list[str]]:
    """How many pairs fail each way, before step 20,000 and after."""
    rows = []
    for way, verdicts in found.items():
        early = sum(each.state == "fail" for step, each in verdicts if step <= 20_000)
        late = sum(each.state == "fail" for step, each in verdicts if step > 20_000)
        rows.append([model, way, str(len(verdicts)), str(early), str(late)])
    return rows


def listed(model: str, found: dict[str, list[tuple[int, Verdict]]]) -> list[list[str]]:
    """Every measure that fails on its own after step 20,000, and which way it still fails."""
    rows = []
    strict = {way: dict(verdicts) for way, verdicts in found.items()}
    for step, verdict in found["items only, each rule for itself"]:
        for each in fails(verdict) if step > 20_000 else ():
            still = [
                way
                for way in list(WAYS)[1:]
                if each.measure in {other.measure for other in fails(strict[way][step])}
            ]
            p = f"{each.p_fail:.2g}" if each.p_fail is not None else ""
            seen = each.sentence.partition(": ")[0]
            rows.append([model, f"{step:,}", seen, p, "; ".join(still) or "no other way"])
    return rows


def turn(way: Sequence[Results]) -> list[str]:
    """Where lambada_openai begins its fall, from its best checkpoint to the last."""
    scores = [
        float(
            each.aggregates.query("task == 'lambada_openai' and metric == 'acc'")["value"].iloc[0]
        )
        for each in way
    ]
    best = scores.index(max(scores))
    rest = way[best:]
    gate = read_rule(FALL)

    def judged(position: int) -> Finding:
        return judge(gate, rest[position], rest[0], compare(rest[position], rest[0])).findings[0]

    found = bisect(len(rest), judged)
    good, bad = (rest[at].run.checkpoint for at in (found.last_good, found.first_bad))
    return [
        f"`pyr bisect` by `{FALL}` from step {rest[0].run.checkpoint.step:,} (the best) to "
        f"{rest[-1].run.checkpoint.step:,}: the last that passes is step {good.step:,}, the first "
        f"that fails step {bad.step:,} ({(bad.tokens or 0) / 1e9:.0f}B tokens); "
        f"{found.asked} of {len(rest)} checkpoints were judged."
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", type=Path, help="the document to write the table into")
    asked = parser.parse_args()
    gate = content.read(content.find("pythia", kind="gate", folder="evals/gates"), Gate)
    counts: list[list[str]] = []
    rows: list[list[str]] = []
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as spare:
        for model in MODELS:
            way = trajectory(asked.folder / model, Store(Path(spare) / model))
            found = {
                name: pairs(gate.model_copy(update={"family": family}), way, noise=noise)
                for name, (family, noise) in WAYS.items()
            }
            counts += counted(model, found)
            rows += listed(model, found)
            if model == "pythia-160m":
                lines = turn(way)
    head = ["model", "errors and family", "pairs", "fail to step 20,000", "fail after"]
    late = ["model", "step", "what fails on its own", "p", "still fails by"]
    body = [*table(head, counts), "", *table(late, rows), "", *lines]
    print("\n".join(body))
    if asked.write:
        write_section(asked.write, "public histories", body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
