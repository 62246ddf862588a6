"""trl's trainers, on rows and pairs that this room has laid out: their losses, our order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyr.errors import ContentError
from pyr.training import packing
from pyr.training.order import Order
from pyr.training.packing import NO_LABEL


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
    columns = {}
    for name in found[0]:
        columns[name] = [row[name] for row in found]
    return columns


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


# ------------------------------------------------------------------
# The language-model loss with a z-loss, for transformers' `compute_loss_func`.


def with_z_loss(weight: float) -> Callable[..., Any]:
    """Cross-entropy plus ``weight * logsumexp(logits)^2``, over the tokens that have a label.

    It keeps the logits' scale from drifting. Source: Chowdhery et al. 2022 (PaLM), section 5.
    """

    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        import torch

        logits, targets = outputs.logits[:, :-1].float(), labels[:, 1:]
        counted = targets != NO_LABEL
        normaliser = torch.logsumexp(logits, dim=-1)
        gold = logits.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        total = ((normaliser - gold + weight * normaliser**2) * counted).sum()
        return total / (counted.sum() if num_items_in_batch is None else num_items_in_batch)

    return loss
