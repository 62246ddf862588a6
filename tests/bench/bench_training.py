"""What packing gains over padding=max_length, and what the Trainer costs over a bare loop.

    python tests/bench/bench_training.py [--small]

Both are timed by the processor's own clock on one thread, in turns, so that a busy machine matters
little. The documents are those of the installed Python: documentation strings, as in train/tiny.
Ends with code 1 if the Trainer costs more than 3%.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers

from pyr import content
from pyr.data.shards import Shards, open_shards
from pyr.store import Store
from pyr.training import curriculum, model, order, packing, recipe, settings, stage
from pyr.training.order import Order
from pyr.training.packing import NO_LABEL

MOST_OVERHEAD = 0.03
FIRST = "base-1"
SETTINGS = [
    f"phases=[{FIRST}]",
    "tokenizer=../pyr-135m/tokenizer",
    f"{FIRST}.data=[{{name: docs, rows: 'generate.py:python_docs', megabytes: 2}}]",
    f"{FIRST}.trainer.save_strategy='no'",
    f"{FIRST}.trainer.per_device_train_batch_size=1",
]


class Stamps(transformers.TrainerCallback):
    """The processor's time at the end of every step."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.at.append(time.process_time())

    @property
    def steps(self) -> list[float]:
        """Seconds from step to step."""
        return [end - begin for begin, end in zip(self.at, self.at[1:], strict=False)]


def placed(folder: Path, *, model_file: str, length: int, rows: int, steps: int) -> Order:
    """The order of a phase of train/tiny at this length, its documents prepared."""
    asked = [
        f"model={model_file}",
        f"{FIRST}.length={length}",
        f"{FIRST}.tokens_per_step={length * rows}",
        f"{FIRST}.tokens={length * rows * steps}",
    ]
    read = recipe.read(content.path("train/tiny"), [*SETTINGS, *asked])
    there = curriculum.Rehearsal(folder, Store(folder / "results"), decontaminate=False)
    curriculum.Stand(read, there).place(read.phases[0])
    return order.read(folder / FIRST)


# ------------------------------------------------------------------ packing


def padded(shards: Shards, length: int, count: int) -> list[dict[str, torch.Tensor]]:
    """`count` documents as ``tokenizer(padding="max_length", truncation=True)`` makes rows."""
    rows = []
    for start, tokens in zip(shards.starts[:count], shards.lengths[:count], strict=True):
        kept = min(int(tokens), length)
        ids = torch.full((length,), 3)
        ids[:kept] = torch.from_numpy(shards.tokens(int(start), kept).astype("int64"))
        mask = torch.arange(length) < kept
        labels = torch.where(mask, ids, NO_LABEL)
        rows.append({"input_ids": ids, "attention_mask": mask.long(), "labels": labels})
    return rows


def seconds_of(built: Any, rows: Any, options: Any) -> list[float]:
    """Seconds of every step but the first, under transformers' Trainer."""
    stamps = Stamps()
    trainer = transformers.Trainer(
        model=built,
        args=options,
        train_dataset=rows,
        data_collator=packing.collate,
        callbacks=[stamps],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return stamps.steps


def packing_gain(folder: Path, length: int, steps: int) -> float:
    """Useful tokens a second, packed over padded, on the same documents; prints both."""
    asked = placed(folder, model_file="../pyr-6m/model.yaml", length=length, rows=2, steps=steps)
    shards = open_shards(asked.sources[0].folder)
    built = model.build(asked.model, seed=1)
    options = settings.arguments(asked, folder / FIRST, processes=1)
    documents = padded(shards, length, count=2 * steps)
    useful = sum(int(row["attention_mask"].sum()) for row in documents)
    plan = packing.lay_out([shards], [1.0], tokens=2 * steps * length, seed=1)
    rows = packing.Rows([shards], plan, length=length)
    slow, fast = [], []
    for _ in range(2):
        slow += seconds_of(built, documents, options)
        fast += seconds_of(built, rows, options)
    share = useful / (2 * steps * length)
    padded_rate, packed_rate = share * 2 * length / median(slow), 2 * length / median(fast)
    print(
        f"length {length}: padded {padded_rate:,.0f} useful tokens/s ({share:.0%} of the slots), "
        f"packed {packed_rate:,.0f}; ratio {packed_rate / padded_rate:.2f}"
    )
    return packed_rate / padded_rate


# ------------------------------------------------------------------ overhead


def bare_steps(built: Any, batches: Sequence[dict[str, torch.Tensor]], options: Any) -> list[float]:
    """Seconds a step of the shortest loop with the same kernels, the first left out."""
    optimizer = torch.optim.AdamW(
        built.parameters(),
        lr=options.learning_rate,
        betas=(options.adam_beta1, options.adam_beta2),
        weight_decay=options.weight_decay,
        fused=True,
    )
    built.train()
    at = []
    for batch in batches:
        loss = built(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(built.parameters(), options.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        at.append(time.process_time())
    return [end - begin for begin, end in zip(at, at[1:], strict=False)]


def overhead(folder: Path, model_file: str, length: int, steps: int, rounds: int) -> float:
    """Share of a step that `pyr train`'s own trainer adds to the bare loop; prints both."""
    asked = placed(folder, model_file=model_file, length=length, rows=1, steps=steps)
    options = settings.arguments(asked, folder / FIRST, processes=1)
    ours, bare = [], []
    for _ in range(rounds):
        trainer, _ = stage._trainer(asked, folder / FIRST, options)
        stamps = Stamps()
        trainer.add_callback(stamps)
        trainer.train()
        ours += stamps.steps
        batches = [packing.collate([trainer.train_dataset[n]]) for n in range(steps)]
        bare += bare_steps(trainer.model, batches, options)
        del trainer
    share = median(ours) / median(bare) - 1
    print(
        f"{Path(model_file).parent.name}, {length} tokens a step, {len(ours)} steps each: trainer "
        f"{median(ours):.3f} s, bare loop {median(bare):.3f} s; overhead {share:+.1%} "
        f"(at most {MOST_OVERHEAD:.0%} asked); medians of processor time, one thread"
    )
    return share


def main() -> int:
    """Both tables; 1 if the Trainer costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="6M parameters for the overhead too")
    small = parser.parse_args().small
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for length, steps in ((512, 8), (2048, 3)):
            packing_gain(folder / str(length), length, steps)
        size = "pyr-6m" if small else "pyr-135m"
        share = overhead(folder / size, f"../{size}/model.yaml", 512, steps=4, rounds=2)
    return int(share > MOST_OVERHEAD)


if __name__ == "__main__":
    sys.exit(main())
