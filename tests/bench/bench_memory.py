"""Peak memory of fast and stock scoring, each in a process of its own: ``make bench``.

    python tests/bench/bench_memory.py CHECKPOINT --datasets MIRROR... [--tasks name:items:shots,]

The most resident memory (ru_maxrss) less what the process held when the model was loaded and the
requests were built. All is scored twice; processor seconds and page faults are the second time's.
`fast, returning` has the allocator that the C library comes with.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tasks_asked import Entry, asked_tasks, open_both, stock

from pyr.engines.fast.lm import FastLM
from pyr.engines.loading import Loaded
from pyr.hardware import keep_freed_memory

DEFAULT_TASKS = "mmlu_anatomy:8:5,hellaswag:6:0"
ENGINES = ("fast", "fast, returning", "stock, batch 1", "stock, batch 8")
HEADER = (
    "| task | engine | MB held before | MB more at the peak | CPU s | page faults |\n"
    "| --- | --- | ---: | ---: | ---: | ---: |"
)


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
    if engine == "fast":
        keep_freed_memory()
    elif engine != "fast, returning":
        lm = stock(model, fast.tokenizer, int(engine.split()[-1]), True)
    before = held()
    asked.score(lm)
    # A new engine: nothing is kept from the first time.
    again = FastLM(Loaded(model, fast.tokenizer)) if lm is fast else lm
    start = resource.getrusage(resource.RUSAGE_SELF)
    asked.score(again)
    end = resource.getrusage(resource.RUSAGE_SELF)
    seconds = end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime
    cells = (
        entry.name,
        engine,
        f"{before:.0f}",
        f"{most_held() - before:.0f}",
        f"{seconds:.2f}",
        end.ru_minflt - start.ru_minflt,
    )
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--datasets", type=Path, nargs="+", required=True)
    parser.add_argument("--tasks", default=DEFAULT_TASKS)
    parser.add_argument("--engine", choices=ENGINES, help="measure this one here")
    options = parser.parse_args()
    if options.engine:
        return one(options.engine, options)
    print(HEADER, flush=True)
    for task in options.tasks.split(","):
        for engine in ENGINES:
            here = [sys.executable, __file__, str(options.checkpoint), "--tasks", task]
            here += ["--engine", engine, "--datasets", *map(str, options.datasets)]
            subprocess.run(here, check=True)
    print()
    return None


if __name__ == "__main__":
    main()
