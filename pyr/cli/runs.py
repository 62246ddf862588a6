"""Stored runs: ``pyr ls``, ``rm``, ``compare``, ``report``, ``import`` and ``export``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from pyr.cli import show
from pyr.errors import UsageError
from pyr.pipeline import assess_and_report, read_gate
from pyr.store import Store
from pyr.store.lm_eval_export import export_results
from pyr.store.lm_eval_import import import_results


def ls(options: argparse.Namespace) -> int:
    """List the stored runs, oldest first."""
    runs = Store(options.store).runs()
    if options.json:
        print(json.dumps([asdict(each) for each in runs], indent=2, sort_keys=True))
        return 0
    if not runs:
        print(f"no runs in {options.store}")
    for each in runs:
        state = "finished" if each.finished else "UNFINISHED"
        if any(skipped.missing for skipped in each.skipped):
            state = "INCOMPLETE"
        print(f"{each.id}  {state}  {each.suite}  {each.engine_used}  {each.started}")
    return 0


def rm(options: argparse.Namespace) -> int:
    """Delete stored runs with their reports; what one name means is settled before any goes."""
    store = Store(options.store)
    runs = {}
    for reference in options.runs:
        found = store.run(reference)
        runs[found.id] = found
    removed = [str(store.remove(run)) for run in runs.values()]
    print(json.dumps(removed, indent=2) if options.json else "\n".join(removed))
    return 0


def compare(options: argparse.Namespace) -> int:
    """Compare two stored runs; with ``--gate`` judge. Several candidates count as their mean."""
    gate = read_gate(options.gate) if options.gate else None
    store = Store(options.store)
    baseline = store.run(options.baseline)
    *others, last = [store.run(each) for each in options.candidate]
    outcome = assess_and_report(store, last, baseline, gate, mean_with=others, apart=True)
    return show(outcome, as_json=options.json)


def report(options: argparse.Namespace) -> int:
    """One report of the last run against the first, with the trajectory of all of them."""
    place = Path(options.output)
    file = place / "report.html" if place.is_dir() else place
    if file.suffix not in (".html", ".htm"):
        raise UsageError(
            f"-o {options.output}: the report is one HTML file.",
            remedy="name it so: -o report.html (report.md and verdict.json go beside it)",
        )
    gate = read_gate(options.gate) if options.gate else None
    store = Store(options.store)
    runs = [store.run(reference) for reference in options.runs]
    outcome = assess_and_report(
        store,
        runs[-1],
        runs[0] if len(runs) > 1 else None,
        gate,
        others=runs,
        output=file,
    )
    return show(outcome, as_json=options.json)


# ------------------------------------------------------------------ results in and out


def exchange(options: argparse.Namespace) -> int:
    """Take results in, or write a run or a checkpoint out."""
    done = _import(options) if options.direction == "import" else _FORMS[options.form](options)
    print(json.dumps(done, indent=2) if options.json else "\n".join(done))
    return 0


def _import(options: argparse.Namespace) -> list[str]:
    paths = [Path(path) for path in options.paths]
    found = import_results(paths, Store(options.store), options.tokens_per_step)
    return [run.id for run in found]


def _to_lm_eval(options: argparse.Namespace) -> list[str]:
    store = Store(options.store)
    stored = store.run(options.what)
    results, documents = store.results(stored), store.documents(stored)
    return [str(file) for file in export_results(results, documents, Path(options.place))]


def _to_hugging_face(options: argparse.Namespace) -> list[str]:
    from pyr.checkpoint import identify
    from pyr.training.export import to_folder

    store, place = Store(options.store), Path(options.place)
    digest = identify(options.what).digest
    runs = [each for each in store.runs() if each.finished and each.checkpoint.digest == digest]
    results = [store.results(each) for each in runs]
    folder = to_folder(Path(options.what), place, results, name=place.name)
    scored = ", ".join(each.id for each in runs) or f"none, as {store.root} holds no run of it"
    return [str(folder), f"scores: {scored}"]


def _to_gguf(options: argparse.Namespace) -> list[str]:
    from pyr.checkpoint import identify
    from pyr.training.export import convert

    if not options.llama_cpp:
        raise UsageError(
            "export gguf needs the converter of llama.cpp.",
            remedy="name a checkout of it: --llama-cpp DIR",
        )
    identify(options.what)
    kind = options.outtype or "f32"
    done = convert(
        Path(options.what), Path(options.place), llama_cpp=Path(options.llama_cpp), kind=kind
    )
    texts = f"{done.texts} texts cut alike by llama.cpp"
    if done.texts is None:
        texts = "texts not compared, as the Python package llama_cpp is not installed"
    return [
        str(done.file),
        f"{done.vocabulary} tokens and the merges of tokenizer.json, cut as {done.pre_tokenizer}",
        texts,
    ]


_FORMS: dict[str, Callable[[argparse.Namespace], list[str]]] = {
    "lm-eval": _to_lm_eval,
    "hf": _to_hugging_face,
    "gguf": _to_gguf,
}
