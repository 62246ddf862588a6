"""A phase's options for transformers' and trl's trainers: ours where unsaid, theirs as written."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pyr.errors import ContentError, did_you_mean
from pyr.training.checkpoints import WRITING
from pyr.training.order import Order

_SAVES = 10
_OURS = {
    "output_dir": "checkpoints lie in the phase's folder",
    "max_steps": "write tokens and tokens_per_step",
    "gradient_accumulation_steps": "it follows from tokens_per_step",
    "seed": "it stands in recipe.yaml",
    "data_seed": "it stands in recipe.yaml",
    "train_sampling_strategy": "the order of rows is planned before the phase",
    "save_total_limit": "write checkpoints",
    "resume_from_checkpoint": "the same command resumes",
    "remove_unused_columns": "rows hold only what is used",
}


def arguments(order: Order, folder: Path, *, processes: int) -> Any:
    """TrainingArguments, SFTConfig or DPOConfig for a phase.

    Raises ContentError for an option that is unknown, ours, or not to be had with these processes.
    """
    kind = _config_class(order.phase.stage)
    options = _defaults(order, folder, processes)
    _check_names(order, kind)
    options |= order.phase.trainer
    if order.phase.stage != "dpo":
        options |= batch(order, options, processes)
    _share_of_steps(options)
    try:
        return kind(**options)
    except (TypeError, ValueError) as error:
        raise ContentError(
            f"phase '{order.phase.name}', trainer: {error}",
            remedy="mend the phase's trainer options",
        ) from error


def _config_class(stage: str) -> Any:
    import transformers

    if stage == "base":
        return transformers.TrainingArguments
    try:
        import trl
    except ImportError as error:
        raise ContentError(
            f"a {stage} phase needs trl, which is not installed.",
            remedy='install it: pip install "pyr-lm[train]"',
        ) from error
    return trl.SFTConfig if stage == "sft" else trl.DPOConfig


def _defaults(order: Order, folder: Path, processes: int) -> dict[str, Any]:
    import torch

    options: dict[str, Any] = {
        "output_dir": str(folder / WRITING),
        "seed": order.seed,
        "data_seed": order.seed,
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "steps",
        # Every step: what is logged then does not depend on where a run was broken off.
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "bf16": torch.cuda.is_available(),
        "per_device_train_batch_size": 8,
        "max_grad_norm": 1.0,
    }
    if processes > 1:
        options["ddp_find_unused_parameters"] = False
    if processes > 1 and not torch.cuda.is_available():
        # Unsaid, ranks without an accelerator do not find each other: each trains alone.
        options |= {"use_cpu": True, "ddp_backend": "gloo"}
    if order.phase.stage == "base":
        return options | {"save_steps": max(1, order.phase.steps // _SAVES)}
    # trl's own default is to trade time for memory, of which small models have enough.
    options["gradient_checkpointing"] = False
    if order.phase.stage == "sft":
        packed = {"skip_prepare_dataset": True}
        return options | {
            "save_steps": max(1, order.phase.steps // _SAVES),
            # The rows come packed, with labels for what the assistant says.
            "dataset_kwargs": packed,
            "max_length": order.phase.length,
        }
    return options | {"max_length": order.phase.length, "save_steps": 0.1}


def _check_names(order: Order, kind: Any) -> None:
    known = {field.name for field in dataclasses.fields(kind) if field.init}
    where = f"phase '{order.phase.name}', trainer"
    for name in order.phase.trainer:
        if name in _OURS:
            raise ContentError(
                f"'{name}' is not a trainer option here: {_OURS[name]}.", where=where
            )
        if name not in known:
            raise ContentError(
                f"'{name}' is no option of {kind.__name__}.",
                where=where,
                remedy=did_you_mean(name, known),
            )


def batch(order: Order, options: dict[str, Any], processes: int) -> dict[str, int]:
    """Steps, and the gradient accumulation that makes a step of `tokens_per_step`.

    Raises ContentError for a step that cannot be divided so.
    """
    rows = order.phase.tokens_per_step // order.phase.length
    asked = options["per_device_train_batch_size"]
    given = "per_device_train_batch_size" in order.phase.trainer
    if rows % processes:
        raise ContentError(
            f"a step of {rows} rows cannot be divided among {processes} processes.",
            where=f"phase '{order.phase.name}'",
            remedy=f"make tokens_per_step a multiple of {processes * order.phase.length}",
        )
    share = rows // processes
    at_once = asked if given else max(n for n in range(1, asked + 1) if share % n == 0)
    if share % at_once:
        raise ContentError(
            f"per_device_train_batch_size {at_once} does not divide the {share} rows of a step.",
            where=f"phase '{order.phase.name}'",
            remedy="leave it away, or choose a divisor",
        )
    return {
        "max_steps": order.phase.steps,
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": share // at_once,
    }


def _share_of_steps(options: dict[str, Any]) -> None:
    """``num_decay_steps`` below 1 is a share of the steps, as ``warmup_steps`` is."""
    schedule = dict(options.get("lr_scheduler_kwargs") or {})
    decay = schedule.get("num_decay_steps")
    if isinstance(decay, float) and 0 < decay < 1 and "max_steps" in options:
        schedule["num_decay_steps"] = round(decay * options["max_steps"])
        options["lr_scheduler_kwargs"] = schedule
