"""What a fluent answer to another question scores: the chance level of instructions and dialogues.

    python tests/bench/answers_swapped.py out/apart/results RUN

Takes the answers of a stored run of `pyr_instruct` and the `turns` probe, and grades each by what
the next item of its task (the same turn of the next dialogue) asks. No model runs.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections import defaultdict
from pathlib import Path

from pyr import content
from pyr.probes.instructions import followed
from pyr.store import Store

TASKS = Path("evals/tasks")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("run")
    options = parser.parse_args()
    store = Store(options.store)
    records = store.results(store.run(options.run)).records
    records = records[records["metric"].isin(["strict", "followed"])]
    scores: dict[str, list[bool]] = defaultdict(list)
    for (task, _), rows in records.groupby(["task", records["item"].map(turn_of)], observed=True):
        docs = [document(str(task), str(item)) for item in rows["item"]]
        answers = [json.loads(each)[0] for each in rows["responses"]]
        for doc, answer in swapped(docs, answers):
            scores[str(task)].append(all(followed(doc, answer).strict))
    for task, held in sorted(scores.items()):
        print(f"{task}: {sum(held) / len(held):.3f} of {len(held)}")


def swapped(docs: list[dict], answers: list[str]) -> list[tuple[dict, str]]:
    """Each document with the next answer that was given to something else."""
    pairs = []
    for place, doc in enumerate(docs):
        others = [*range(place + 1, len(docs)), *range(place)]
        other = next((each for each in others if rules(docs[each]) != rules(doc)), None)
        if other is not None:
            pairs.append((doc, answers[other]))
    return pairs


def rules(doc: dict) -> tuple:
    return doc["instruction_id_list"], doc["kwargs"]


def turn_of(item: str) -> str:
    return item.partition(".")[2]


def document(task: str, item: str) -> dict:
    """The item as it is written: of a level by its place there, of a dialogue by key and turn."""
    key, _, turn = item.partition(".")
    if turn:
        return lines("pyr_turns")[int(key)]["turns"][int(turn) - 1]
    level = [each for each in lines("pyr_instruct") if each["level"] == int(task[-1])]
    return level[int(item)]


@functools.cache
def lines(folder: str) -> list[dict]:
    file = content.path(str(TASKS / folder / "items.jsonl"))
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
