"""Compare the outputs of two source trees: what a refactoring must leave unchanged.

    python tests/bench/same_outputs.py OLD_TREE NEW_TREE --work DIR
        [--model FOLDER] [--datasets DIR] [--published DIR] [--limit N] [--suites NAME ...]
        [--parts records training verdicts]

Each tree is a checkout with its own ``.venv`` (``.ci/setup`` makes it). Three parts:

- records: suites smoke, demo, drift and instruct on a tiny random model, and on ``--model`` as far
  as ``--limit`` items a task. Every record must be identical to the last bit, apart from speeds.
- training: the files of ``pyr train train/tiny``: prepared shards and weights, by sha256.
- verdicts: `pyr compare` of every published checkpoint in ``--published`` (lm-eval results by
  training step) with the one before it: state of the verdict and of every finding.

What a tree has produced under DIR/<its folder name> is kept: a second call goes on from there. The
exit code is 0 if all is the same, 1 if something differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

SUITES = ("smoke", "demo", "drift", "instruct")
KEY = ["task", "metric", "item"]
NOT_REPEATABLE = ("throughput",)
"""Probes that measure time and memory: their values differ from run to run."""

MAKE_TINY_MODEL = """
import sys, torch, transformers
tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
config = transformers.LlamaConfig(
    vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048,
    bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    tie_word_embeddings=True, initializer_range=0.2,
)
torch.manual_seed(0)
transformers.LlamaForCausalLM(config).save_pretrained(sys.argv[2])
tokenizer.save_pretrained(sys.argv[2])
"""

COMPARE_PUBLISHED = """
import contextlib, io, json, sys
from pathlib import Path
from pyr.cli import main
folder, store, output = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
main(["import", str(folder), "--store", store, "--tokens-per-step", "2097152"])
runs = []
for file in Path(store).glob("*/run.json"):
    run = json.loads(file.read_text())
    run = run.get("run", run)
    runs.append((run["checkpoint"]["step"] or 0, file.parent.name))
runs.sort()
states = {}
for (_, earlier), (step, later) in zip(runs[:-1], runs[1:]):
    printed = io.StringIO()
    arguments = ["compare", earlier, later, "--gate", "pythia", "--store", store, "--json"]
    with contextlib.redirect_stdout(printed):
        main(arguments)
    [verdict_file] = (Path(store) / later).rglob("verdict.json")
    verdict = json.loads(verdict_file.read_text())
    states[step] = [verdict["state"]] + [
        [each["measure"], each["state"], each["bound"]] for each in verdict["findings"]
    ]
output.write_text(json.dumps(states))
"""


def call(tree: Path, *arguments: object, log: Path) -> int:
    """Run the tree's Python in the tree, its output into `log`."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "HF_HUB_OFFLINE": "1"}
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"$ {' '.join(map(str, arguments))[:400]}\n")
        stream.flush()
        done = subprocess.run(
            [tree / ".venv/bin/python", *map(str, arguments)],
            cwd=tree,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return done.returncode


def capped_suite(tree: Path, name: str, limit: int, place: Path) -> Path:
    """The tree's suite with no more than `limit` items a task, written to `place`."""
    suite = yaml.safe_load((tree / f"evals/suites/{name}.yaml").read_text(encoding="utf-8"))
    for probe in suite["probes"]:
        if probe["probe"] == "throughput":
            probe.update(repetitions=2, decode=4, largest_batch=1)
            continue
        if "limit" in probe:
            probe["limit"] = min(probe["limit"], limit)
        if "dialogues" in probe:
            probe["dialogues"] = min(probe["dialogues"], limit)
        if "tokens" in probe:
            probe["tokens"] = min(probe["tokens"], 48)
        tasks = []
        for task in probe.get("tasks", []):
            entry = dict(task) if isinstance(task, dict) else {"task": task}
            entry["limit"] = min(entry.get("limit", limit), limit)
            tasks.append(entry)
        if tasks:
            probe["tasks"] = tasks
    file = place / f"{name}.yaml"
    file.write_text(yaml.safe_dump({"name": name, **suite}), encoding="utf-8")
    return file


def collect_records(tree: Path, place: Path, options: argparse.Namespace) -> dict[str, Path]:
    """Evaluate both models under every suite; the run folder of each."""
    tiny = options.work / "tiny-model"
    if not (tiny / "config.json").exists():
        call(
            tree, "-c", MAKE_TINY_MODEL, tree / "train/pyr-135m/tokenizer", tiny,
            log=place / "log.txt",
        )  # fmt: skip
    models = {"tiny": (tiny, 10**9)}
    if options.model:
        models["model"] = (options.model, options.limit)
    folders = {}
    for label, (model, limit) in models.items():
        for name in options.suites:
            store = place / "stores" / f"{label}-{name}"
            store.mkdir(parents=True, exist_ok=True)
            if not list(store.glob("*/run.json")):
                suite = capped_suite(tree, name, limit, store)
                arguments = ["--suite", suite, "--store", store, "--skip-missing"]
                if options.datasets:
                    arguments += ["--datasets", options.datasets]
                call(tree, "-m", "pyr.cli", "eval", model, *arguments, log=place / "log.txt")
            found = list(store.glob("*/run.json"))
            if found:
                folders[f"{label} {name}"] = found[0].parent
            else:
                print(f"  no run: {label} {name}, see {place}/log.txt", file=sys.stderr)
    return folders


def read_records(folder: Path) -> pd.DataFrame:
    """All records of a run that a second run must repeat."""
    tables = []
    for file in sorted(folder.glob("*.parquet")):
        if file.stem in (*NOT_REPEATABLE, "documents", "aggregates"):
            continue
        tables.append(pd.read_parquet(file).assign(probe=file.stem))
    return pd.concat(tables, ignore_index=True)


def differing_records(old: Path, new: Path) -> list[str]:
    """What differs between two runs' records, in words."""
    before, after = read_records(old), read_records(new)
    left = before.set_index(["probe", *KEY]).sort_index()
    right = after.set_index(["probe", *KEY]).sort_index()
    if not left.index.equals(right.index):
        missing = left.index.difference(right.index)
        added = right.index.difference(left.index)
        return [
            f"{len(missing)} records are missing ({list(missing[:2])}), "
            f"{len(added)} are new ({list(added[:2])})"
        ]
    found = []
    for column in sorted(set(left.columns) & set(right.columns)):
        # NaN equals NaN here: a value that is not finite must be the same one.
        same = (left[column] == right[column]) | (left[column].isna() & right[column].isna())
        if not same.all():
            first = left.index[~same][0]
            found.append(
                f"{column} differs in {int((~same).sum())} of {len(same)} records; first "
                f"{first}: {left[column][~same].iloc[0]!r} -> {right[column][~same].iloc[0]!r}"
            )
    return found


def collect_training(tree: Path, place: Path) -> dict[str, str]:
    """sha256 of every shard and weight file of ``pyr train train/tiny``."""
    output = place / "tiny"
    call(tree, "-m", "pyr.cli", "train", "train/tiny", "-o", output, log=place / "log.txt")
    digests = {}
    for pattern in ("*.bin", "*.npy", "*.safetensors"):
        for file in sorted(output.rglob(pattern)):
            name = file.relative_to(output)
            if file.name == "training_args.bin":
                continue  # It holds the paths of this machine.
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            # A folder of prepared data is named after its source's settings: what counts is whether
            # the same shards are there.
            key = f"data: {file.name} {digest}" if name.parts[0] == "data" else str(name)
            digests[key] = digest
    return digests


def collect_verdicts(tree: Path, place: Path, published: Path) -> dict[str, Any]:
    """The verdict of every published checkpoint against the one before it, by model."""
    states = {}
    for folder in sorted(path for path in published.iterdir() if path.is_dir()):
        output = place / f"verdicts-{folder.name}.json"
        if not output.exists():
            store = place / "stores" / f"published-{folder.name}"
            code = ["-c", COMPARE_PUBLISHED, folder, store, output]
            call(tree, *code, log=place / "log.txt")
        states[folder.name] = json.loads(output.read_text()) if output.exists() else "failed"
    return states


def differing_values(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Keys whose values differ, or that one side lacks."""
    found = []
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            before, after = str(old.get(key))[:100], str(new.get(key))[:100]
            found.append(f"{key}: {before} -> {after}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("trees", nargs="+", type=Path, help="old and new; one alone is collected")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--datasets", type=Path)
    parser.add_argument("--published", type=Path)
    parser.add_argument("--limit", type=int, default=8, help="items a task of --model")
    parser.add_argument("--suites", nargs="*", default=SUITES)
    parser.add_argument("--parts", nargs="*", default=["records", "training", "verdicts"])
    options = parser.parse_args()
    options.work = options.work.resolve()
    sides = []
    for tree in options.trees:
        place = options.work / tree.resolve().name
        place.mkdir(parents=True, exist_ok=True)
        side: dict[str, Any] = {}
        if "records" in options.parts:
            side["records"] = collect_records(tree.resolve(), place, options)
        if "training" in options.parts:
            side["training"] = collect_training(tree.resolve(), place)
        if "verdicts" in options.parts and options.published:
            side["verdicts"] = collect_verdicts(tree.resolve(), place, options.published)
        sides.append(side)
    if len(sides) == 1:
        return 0
    return 1 if report_differences(*sides) else 0


def report_differences(old: dict[str, Any], new: dict[str, Any]) -> int:
    """Print what differs by part; how many things do."""
    differences = 0
    for name, folder in old.get("records", {}).items():
        said = ["no run"]
        if name in new["records"]:
            said = differing_records(folder, new["records"][name])
        print(f"records, {name}: {len(read_records(folder))} records, {said or 'identical'}")
        differences += len(said)
    for part in ("training", "verdicts"):
        said = differing_values(old.get(part, {}), new.get(part, {}))
        print(f"{part}: {len(old.get(part, {}))} compared, {len(said)} differ")
        for line in said[:20]:
            print(f"  {line}")
        differences += len(said)
    return differences


if __name__ == "__main__":
    raise SystemExit(main())
