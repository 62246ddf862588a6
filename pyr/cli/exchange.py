"""``pyr import PATH...`` and ``pyr export FORM WHAT PLACE``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from pyr.errors import UsageError
from pyr.store import Store
from pyr.store.lm_eval_export import export_results
from pyr.store.lm_eval_import import import_results


def run(options: argparse.Namespace) -> int:
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
