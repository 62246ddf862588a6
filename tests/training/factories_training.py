"""A recipe of a few thousand parameters on invented stories, trained in seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from pyr import content

MODEL = {
    "architecture": "ArceeForCausalLM",
    "config": {
        "vocab_size": 600,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 64,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 3,
    },
}


def invented(kind: str, count: int) -> dict[str, Any]:
    """Keys of a source: rows that train/tiny makes up."""
    file = content.path("train/tiny/generate.py")
    return {"rows": f"{file}:{kind}", "arguments": {"count": count}}


PHASE: dict[str, Any] = {
    "length": 32,
    "tokens": 32 * 4 * 12,
    "tokens_per_step": 32 * 4,
    "data": [{"name": "stories", **invented("stories", 60)}],
    "held_out": 0.1,
    "held_out_items": 4,
    "trainer": {"learning_rate": 1e-3, "save_steps": 4},
    "suite": "suite.yaml",
    "gate": "health",
}
SUITE = {"probes": [{"probe": "health"}]}


def write_recipe(
    folder: Path, tokenizer: Path, phases: dict[str, dict[str, Any]], **more: Any
) -> Path:
    """A recipe folder; each phase is `PHASE` with what is given."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = {"name": "toy", "tokenizer": str(tokenizer), "phases": list(phases), **more}
    files = {"recipe": recipe, "model": MODEL, "suite": SUITE}
    files |= {name: PHASE | phase for name, phase in phases.items()}
    for name, value in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(value), encoding="utf-8")
    return folder


def stage(folder: Path, *, ranks: int = 1, **options: Any) -> subprocess.CompletedProcess[str]:
    """Train the phase in `folder` in a process of its own, or in several under torchrun."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
    return subprocess.run(
        [
            sys.executable,
            *(launcher if ranks > 1 else []),
            *["-m", "pyr.training.stage", str(folder)],
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        check=False,
        **options,
    )


def rehearsed(folder: Path, **more: Any) -> Any:
    """A curriculum's place on disk."""
    from pyr.store import Store
    from pyr.training.curriculum import Rehearsal

    return Rehearsal(folder / "out", Store(folder / "results"), **more)


def placed(folder: Path, tokenizer: Path, phases: dict[str, dict[str, Any]], **more: Any) -> Path:
    """The folder of the last phase, its order on disk and the data of all prepared."""
    from pyr.training import curriculum, recipe

    read = recipe.read(write_recipe(folder / "recipe", tokenizer, phases, **more))
    rehearsal = rehearsed(folder, decontaminate=False)
    curriculum.Stand(read, rehearsal).place(read.phases[-1])
    return folder / "out" / read.phases[-1].name


def weights(folder: Path) -> bytes:
    """The weights of a finished phase, byte for byte."""
    return (folder / "final" / "model.safetensors").read_bytes()


def curve(folder: Path) -> list[tuple[Any, ...]]:
    """What a phase's log says of every step, the clock left out."""
    from pyr.training.order import read_log

    keys = ("step", "tokens", "loss", "grad_norm", "learning_rate")
    return [tuple(line[key] for key in keys) for line in read_log(folder / "log.jsonl")]
