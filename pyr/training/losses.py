"""The language-model loss with a z-loss, for transformers' `compute_loss_func`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyr.training.packing import NO_LABEL


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
