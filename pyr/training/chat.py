"""trl's trainers, on rows and pairs that this room has laid out: their losses, our order."""

from __future__ import annotations

from typing import Any

from pyr.errors import ContentError
from pyr.training import packing
from pyr.training.order import Order


def _tokenizer(asked: Order) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(asked.tokenizer)


def sft_trainer(asked: Order, model: Any, options: Any, rows: packing.Rows) -> Any:
    """trl's SFTTrainer on packed rows, whose labels are what the assistant says.

    The rows are packed here, as in the base phases: the chat template's generation marks were
    turned into a loss mask when the data was prepared, so that resuming is exact here too.
    """
    import datasets
    import trl

    # trl takes nothing but a Dataset: this one holds the rows' numbers, and gives the rows.
    numbers = datasets.Dataset.from_dict({"row": list(range(len(rows)))})
    return trl.SFTTrainer(
        model=model,
        args=options,
        train_dataset=numbers.with_transform(lambda batch: _columns(rows, batch["row"])),
        data_collator=packing.collate,
        processing_class=_tokenizer(asked),
    )


def _columns(rows: packing.Rows, numbers: list[int]) -> dict[str, list[Any]]:
    found = [rows[number] for number in numbers]
    return {name: [row[name] for row in found] for name in found[0]}


def dpo_trainer(asked: Order, model: Any, options: Any) -> Any:
    """trl's DPOTrainer; the reference is the model that the phase starts from."""
    import datasets
    import trl

    if asked.start is None or asked.rows_file is None:
        raise ContentError(
            f"phase '{asked.phase.name}': dpo starts from a trained model.",
            remedy="give it a phase to start from",
        )
    datasets.disable_progress_bars()
    rows = datasets.load_dataset("json", data_files=str(asked.rows_file), split="train")
    return trl.DPOTrainer(
        model=model,
        args=options,
        train_dataset=rows,
        processing_class=_tokenizer(asked),
    )
