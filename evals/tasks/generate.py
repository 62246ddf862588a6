"""Write the items of Pyr's own tasks: `python evals/tasks/generate.py [TASK...]`.

Each task folder holds a `generate.py` with `items(rng)`, which gives the task's documents in order.
The random numbers are seeded by the task's name, so the files come out the same byte for byte.
"""

from __future__ import annotations

import importlib
import json
import random
import sys
from pathlib import Path

HERE = Path(__file__).parent


def task_names() -> list[str]:
    """The folders that bring a generator, by name."""
    return sorted(path.parent.name for path in HERE.glob("*/generate.py"))


def render(task: str) -> str:
    """The text of one task's items.jsonl."""
    generator = importlib.import_module(f"{task}.generate")
    documents = generator.items(random.Random(task))
    return "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents)


def main(tasks: list[str]) -> None:
    """Write items.jsonl of the named tasks, or of all."""
    for task in tasks or task_names():
        text = render(task)
        (HERE / task / "items.jsonl").write_text(text, encoding="utf-8", newline="\n")
        print(f"{task}: {text.count(chr(10))} items, {len(text.encode())} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
