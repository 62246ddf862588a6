"""Stored runs judged again as if they had been asked in stages: what that saves, what it changes.

    python tests/bench/staged.py STORE BASELINE CANDIDATE... [--gate smoke]

The runs must be of the project's own tasks, whose order of items can be told without a bundle.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from factories_gate import replay_in_stages
from written import table

from pyr import content
from pyr.gate import assess
from pyr.gate.spec import Gate, Verdict
from pyr.probes import fixed_order
from pyr.store import Results, Store


@dataclass(frozen=True)
class Staged:
    """The verdict in stages, and the requests that it took of all there are."""

    verdict: Verdict
    requests: int
    of: int


def in_stages(gate: Gate, candidate: Results, baseline: Results) -> Staged:
    def judged(found: Results) -> Verdict:
        verdict = assess(gate, found, baseline).verdict
        assert verdict is not None
        return verdict

    found = replay_in_stages(judged, candidate, orders(candidate))
    return Staged(judged(found), requests(found), requests(candidate))


def orders(results: Results) -> dict[str, list[str]]:
    """The recorded items of our own tasks in the order in which they are asked."""
    found = {}
    seed = results.run.environment["seed"]
    for task, rows in results.records.groupby("task"):
        file = content.path("evals/tasks") / str(task) / "items.jsonl"
        if file.is_file():
            total = len(file.read_text(encoding="utf-8").splitlines())
            recorded = set(rows["item"])
            whole = (str(number) for number in fixed_order(seed, str(task), total))
            found[str(task)] = [item for item in whole if item in recorded]
    return found


def requests(results: Results) -> int:
    """What the model was asked: one answer a choice."""
    asked = results.records.drop_duplicates(["task", "item"])
    return sum(len(json.loads(each)) for each in asked["responses"] if each.startswith("["))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("baseline")
    parser.add_argument("candidates", nargs="+")
    parser.add_argument("--gate", default="smoke")
    asked = parser.parse_args()
    store = Store(asked.store)
    gate = content.read(content.find(asked.gate, kind="gate", folder="evals/gates"), Gate)
    baseline = store.results(store.run(asked.baseline))
    rows, shares = [], []
    for name in asked.candidates:
        candidate = store.results(store.run(name))
        whole = assess(gate, candidate, baseline).verdict
        staged = in_stages(gate, candidate, baseline)
        assert whole is not None
        shares.append(staged.requests / staged.of)
        spent = f"{staged.requests:,} of {staged.of:,}"
        rows.append([candidate.run.checkpoint.name, whole.state, staged.verdict.state, spent])
    print("\n".join(table(["candidate", "whole", "in stages", "requests"], rows)))
    print(f"\n{100 * sum(shares) / len(shares):.0f}% of the requests on average")
    return 0


if __name__ == "__main__":
    sys.exit(main())
