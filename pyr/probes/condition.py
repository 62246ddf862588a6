"""What a model is like inside, on fixed texts: saturation, logit scale, dead neurons, loss.

Shapes: L positions, D width, V vocabulary, N neurons of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_RECTIFIED = ("relu", "relu2")


@dataclass(frozen=True, slots=True)
class Glimpse:
    """The model on one text."""

    loss: float
    """Nats a token, the first token given."""
    tokens: int
    """Tokens that were predicted."""
    cosine: float
    """Mean cosine between the last hidden states of different positions."""
    logit_scale: float
    """Standard deviation of a position's logits, in nats; the mean over positions."""


@dataclass
class Firing:
    """Which neurons of every rectified layer fired at all."""

    layers: dict[str, Any] = field(default_factory=dict)
    """By name of the layer: bool_N."""

    def watch(self, name: str) -> Any:
        """A forward hook that notes which outputs were above zero."""

        def hook(_: Any, __: Any, out_BLN: Any) -> None:
            fired_N = (out_BLN > 0).flatten(0, -2).any(0)
            before = self.layers.get(name)
            self.layers[name] = fired_N if before is None else before | fired_N

        return hook


def look(model: Any, ids_1L: Any) -> Glimpse:
    """One forward pass over a text of two tokens or more."""
    import torch

    with torch.inference_mode():
        out = model(ids_1L, output_hidden_states=True, use_cache=False)
        logits_LV = out.logits[0].float()
        loss = torch.nn.functional.cross_entropy(logits_LV[:-1], ids_1L[0, 1:]).item()
        return Glimpse(
            loss=loss,
            tokens=ids_1L.shape[1] - 1,
            cosine=mean_cosine(out.hidden_states[-1][0]),
            logit_scale=logits_LV.std(dim=-1).mean().item(),
        )


def mean_cosine(hidden_LD: Any) -> float:
    """The mean cosine over all pairs of different rows; 1 where all point the same way.

    Anisotropy as in Ethayarajh 2019, arXiv 1909.00512, and Godey et al. 2024, arXiv 2404.07647,
    where small models saturate.
    """
    import torch

    unit_LD = torch.nn.functional.normalize(hidden_LD.float(), dim=-1)
    count = len(unit_LD)
    # The sum of all products is the square of the sum; the diagonal is left out.
    total = unit_LD.sum(0).square().sum() - unit_LD.square().sum()
    return float(total / (count * (count - 1)))


def effective_rank(weight_VD: Any) -> float:
    """exp(entropy of the normalised singular values): Roy and Vetterli 2007, EUSIPCO.

    1 for a matrix of rank one, D for one whose directions count alike.
    """
    import torch

    # The Gram matrix is D by D, in which the vocabulary no longer counts: a tenth of a second.
    gram_DD = weight_VD.float().T @ weight_VD.float()
    singular_D = torch.linalg.eigvalsh(gram_DD.double()).clamp(min=0).sqrt()
    share_D = singular_D / singular_D.sum()
    return math.exp(float(torch.special.entr(share_D).sum()))


def firing(model: Any, texts: Sequence[Any]) -> tuple[list[Glimpse], Firing]:
    """The model on every text, and which neurons fired on any; ReLU and ReLU^2 alone can die."""
    seen = Firing()
    hooks = []
    if model.config.get_text_config().hidden_act in _RECTIFIED:
        hooks = [
            module.register_forward_hook(seen.watch(name))
            for name, module in model.named_modules()
            if name.rpartition(".")[2] == "act_fn"
        ]
    try:
        return [look(model, ids_1L) for ids_1L in texts], seen
    finally:
        for hook in hooks:
            hook.remove()
