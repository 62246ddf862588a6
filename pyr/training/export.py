"""A trained model as others take it: a Hugging Face folder with its card and its scores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pyr.checkpoint import MARKER
from pyr.compare import compare
from pyr.errors import UsageError
from pyr.schema import Comparison
from pyr.store import Results

_LEFT_BEHIND = ("trainer_state.json", MARKER)


def to_folder(checkpoint: Path, folder: Path, results: Sequence[Results], *, name: str) -> Path:
    """Copy the model with its tokenizer and generation settings, and write its card.

    results: stored runs of it, whose scores go into the card.
    Raises UsageError if something lies at `folder` already.
    """
    if folder.exists():
        raise UsageError(f"{folder} is there already.", remedy="name a new folder")
    left = shutil.ignore_patterns(*_LEFT_BEHIND)
    shutil.copytree(checkpoint, folder, ignore=left)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    # The trainer switches the cache off; generation wants it.
    config["use_cache"] = True
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(config, results, name=name), encoding="utf-8")
    return folder


def card(config: dict[str, Any], results: Sequence[Results], *, name: str) -> str:
    """The model card: front matter that the hub reads scores from, what it is, and a table."""
    from huggingface_hub import ModelCardData

    scores = {each.run.id: _scores(each) for each in results}
    entries = [entry for rows in scores.values() for entry in _entries(rows)]
    front = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        model_name=name if entries else None,
        eval_results=entries or None,
    )
    what = (
        f"{config['architectures'][0]}: {config['num_hidden_layers']} layers, hidden "
        f"{config['hidden_size']}, {config['vocab_size']} tokens, "
        f"{config['max_position_embeddings']} positions."
    )
    lines = ["---", front.to_yaml(), "---", "", f"# {name}", "", what, ""]
    for each in results:
        lines += [*_table(each, scores[each.run.id]), ""]
    return "\n".join(lines)


def _scores(results: Results) -> list[Comparison]:
    rows = [row for row in compare(results, None) if row.candidate is not None]
    return [row for row in rows if row.kind != "check"]


def _entries(rows: Sequence[Comparison]) -> Iterator[Any]:
    from huggingface_hub import EvalResult

    for row in rows:
        assert row.candidate is not None
        yield EvalResult(
            task_type="text-generation",
            dataset_type=row.task,
            dataset_name=row.task,
            metric_type=row.metric,
            metric_value=float(f"{row.candidate.value:.6g}"),
        )


def _table(results: Results, rows: Sequence[Comparison]) -> Iterator[str]:
    run = results.run
    yield f"## Scores\n\nSuite `{run.suite}`, engine `{run.engine}`, run `{run.id}`.\n"
    if run.checkpoint.tokens:
        yield f"Training tokens: {run.checkpoint.tokens:,}.\n"
    yield "| measure | score | standard error | n |\n|---|---:|---:|---:|"
    for row in rows:
        assert row.candidate is not None
        score = row.candidate
        yield f"| {row.measure} | {score.value:.4g} | {score.se:.2g} | {score.n} |"
