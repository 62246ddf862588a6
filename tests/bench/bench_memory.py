"""Peak memory of fast and stock scoring, each in a process of its own: ``make bench``.

    python tests/bench/bench_memory.py CHECKPOINT --datasets MIRROR... [--tasks name:items:shots,]

The most resident memory (ru_maxrss) less what the process held when the model was loaded and the
requests were built.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tasks_asked import Entry, asked_tasks, open_both, stock

DEFAULT_TASKS = "mmlu_anatomy:8:5,hellaswag:6:0"
ENGINES = ("fast", "stock, batch 1", "stock, batch 8")


def most_held() -> float:
    """MB at the most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def held() -> float:
    """MB now; Linux alone says so."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def one(engine: str, options: argparse.Namespace) -> None:
    """In the child: score and print what it took."""
    fast, _, model = open_both(options.checkpoint, threads=1)
    entry = Entry.read(options.tasks, 8, None)
    mirrors = [each.resolve() for each in options.datasets]
    (asked,) = asked_tasks(entry, mirrors=mirrors, lm=fast)
    lm = fast
    if engine != "fast":
        lm = stock(model, fast.tokenizer, int(engine.split()[-1]), True)
    before = held()
    asked.score(lm)
    print(f"| {entry.name} | {engine} | {before:.0f} | {most_held() - before:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--datasets", type=Path, nargs="+", required=True)
    parser.add_argument("--tasks", default=DEFAULT_TASKS)
    parser.add_argument("--engine", choices=ENGINES, help="measure this one here")
    options = parser.parse_args()
    if options.engine:
        return one(options.engine, options)
    print("| task | engine | MB held before | MB more at the peak |\n| --- | --- | ---: | ---: |")
    sys.stdout.flush()
    for task in options.tasks.split(","):
        for engine in ENGINES:
            here = [sys.executable, __file__, str(options.checkpoint), "--tasks", task]
            here += ["--engine", engine, "--datasets", *map(str, options.datasets)]
            subprocess.run(here, check=True)
    print()
    return None


if __name__ == "__main__":
    main()
