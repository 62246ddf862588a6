"""The health probe: is this a checkpoint that can be measured at all? Runs first, in seconds.

Every check is one record: value 1 if sound, 0 if broken, the item names what was looked at and
`responses` says what is wrong with it. A census, not a sample: there is no interval. What the model
is like inside (task ``condition``) are numbers without a verdict; gates may name them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyr import content
from pyr.data import chat_formats
from pyr.data.filters import read_shipped_passages
from pyr.engines import tensors
from pyr.errors import CheckpointError
from pyr.probes import Chunk, Subject, resumption
from pyr.schema import HEALTH, Direction, Record, Strict

_ROUND_TRIP = (
    "Plain words, and a full stop.",
    "0123456789 3.14 1,000,000 2026-11-22",
    "a == 3 + 4 and b != c - d * e / f % g",
    "def f(x):\n    return {'k': [x, -1]}\n",
    'He said "no" (twice); she didn\'t.',
)
"""Digits and operators that are registered as special tokens vanish in decoding."""
_TEXTS_A_DOMAIN = 2
_TOKENS_A_TEXT = 128
_NOT_RESUMABLE = (
    "there is no optimizer, schedule or random state beside the model: it can be measured, but its "
    "training cannot go on from it"
)


class HealthOptions(Strict):
    """The health probe takes no options."""


class Health:
    """Sound weights, tokenizer, template and training state; and what the model is like inside."""

    def __init__(self, options: dict[str, Any], *, name: str) -> None:
        self.name = name
        content.check(options, HealthOptions, where=f"probe '{name}'")

    def writes(self) -> bool:
        """Nothing is generated."""
        return False

    def run(self, subject: Subject) -> Iterator[Chunk]:
        """One chunk with every check; a second with the condition of a model that is finite."""
        if not subject.earlier.empty:
            return
        subject.progress(self.name, 0, 2)
        weights = list(_weights(subject))
        checks = [
            *weights,
            *_places(subject),
            *_round_trip(subject.lm.tokenizer),
            *_template(subject),
        ]
        if subject.checkpoint.chat:
            checks += _generation_prompt(subject.lm.tokenizer)
        folder = Path(subject.checkpoint.path)
        resumable = folder.is_dir() and resumption.is_resumable(folder)
        if resumable:
            looks = resumption.looks(folder)
            checks += [_check("training_state", look.part, look.fault) for look in looks]
        # A model that knows no step was handed on, not saved on the way.
        expected = subject.checkpoint.step is not None and not resumable
        notes = [_NOT_RESUMABLE] if expected else []
        sound = all(record.value for record in weights if record.metric == "finite")
        looked_into = sound and _opened(subject.lm) and subject.lm.backend == "causal"
        inside = list(_condition(subject)) if looked_into else []
        yield Chunk(records=[*checks, *inside], notes=notes)
        subject.progress(self.name, 2, 2)


def _opened(lm: Any) -> bool:
    """True for an engine whose model is one of transformers, that can be looked into."""
    from lm_eval.models.huggingface import HFLM

    return isinstance(lm, HFLM)


# ------------------------------------------------------------------ weights


def _weights(subject: Subject) -> Iterator[Record]:
    """Every tensor holds numbers, and every matrix more than one of them.

    A vector may be constant: that is how norms and biases begin. Zeros in one layer's norm alone
    cut that layer off.
    """
    norms: dict[str, dict[str, bool]] = {}
    for name, tensor in _tensors(subject):
        if not tensor.is_floating_point():
            continue
        # Half of the operations are not written for the eight-bit types.
        values = tensor.float() if tensor.element_size() == 1 else tensor
        # A single value may be infinite: a bound that cuts nothing, as in Gemma 4's towers.
        sound = values.isfinite() if values.numel() > 1 else ~values.isnan()
        wrong = int((~sound).sum())
        fault = f"{wrong} of {tensor.numel()} values are not finite" if wrong else ""
        yield _check("finite", name, fault)
        if sum(size > 1 for size in tensor.shape) > 1 and not wrong:
            low, high = values.aminmax()
            fault = f"all its values are {float(low):g}" if low == high else ""
            yield _check("constant", name, fault)
        elif tensor.ndim == 1 and name.endswith(".weight"):
            norms.setdefault(tensors.kind(name), {})[name] = not values.any()
    for layers in norms.values():
        cut_off = [name for name, zero in layers.items() if zero]
        for name in cut_off if len(cut_off) < len(layers) else ():
            yield _check("constant", name, "all its values are 0")


def _tensors(subject: Subject) -> Iterator[tuple[str, Any]]:
    """Every tensor of the checkpoint by name: from the files where they can be read one by one."""
    if subject.checkpoint.format == "safetensors":
        return tensors.read(subject.checkpoint)
    named: Iterator[tuple[str, Any]] = subject.lm.model.named_parameters()
    return named


def _places(subject: Subject) -> Iterator[Record]:
    """Whether the model that is scored is the one in the files: what was left out, what differs.

    Said of every model, so that one whose weights were untied compares with the one before.
    """
    from pyr.engines.hflm import ReferenceLM

    lm: Any = subject.lm
    if not isinstance(lm, ReferenceLM):
        return
    untied = ", ".join(lm.loaded.untied)
    fault = f"the config ties them, and the file holds two that differ: {untied}" if untied else ""
    yield _check("tied_weights", "output head and embedding", fault)
    for name in lm.loaded.unused:
        yield _check("unused_weights", name, "the config's model has no place for it")
    if not lm.loaded.unused:
        yield _check("unused_weights", "tensors of the decoder", "")


# ------------------------------------------------------------------ tokenizer and template


def _round_trip(tokenizer: Any) -> Iterator[Record]:
    for text in _ROUND_TRIP:
        ids = tokenizer.encode(text, add_special_tokens=False)
        back = tokenizer.decode(ids, skip_special_tokens=True)
        # SentencePiece tokenizers may put a space before the first word: no loss.
        lost = back.strip() != text.strip()
        yield _check("tokenizer_round_trip", repr(text), f"comes back as {back!r}" if lost else "")


def _template(subject: Subject) -> Iterator[Record]:
    """The chat template renders, and what it writes behind an answer ends generation."""
    if not subject.checkpoint.chat or not _opened(subject.lm):
        return
    try:
        after = chat_formats.find_end_of_turn(subject.lm.tokenizer)
    except CheckpointError as error:
        yield _check("chat_template", "renders", error.what)
        return
    lost = "what the assistant said is not in it" if after is None else ""
    yield _check("chat_template", "renders", lost)
    if after is not None:
        yield _check("chat_template", "stop token", _stop_fault(subject.lm, after))


def _stop_fault(lm: Any, after: str) -> str:
    """What keeps the text behind an answer from ending generation, or an empty string."""
    if not after:
        return "nothing stands behind an answer: generation would never end"
    declared = lm.model.generation_config.eos_token_id
    listed = declared if isinstance(declared, list) else [declared]
    ends = {lm.tokenizer.eos_token_id, *listed} - {None}
    first = lm.tokenizer.encode(after, add_special_tokens=False)[0]
    if first in ends:
        return ""
    written = lm.tokenizer.decode([first])
    return (
        f"behind an answer stands {written!r} (id {first}), but generation ends at {sorted(ends)}"
    )


def _generation_prompt(tokenizer: Any) -> Iterator[Record]:
    """Whether the chat template opens the assistant's turn when an answer is asked for.

    Nothing is said of a template that cannot be rendered: the tasks that need it say why.
    """
    try:
        opening = chat_formats.find_missing_opening(tokenizer)
    except CheckpointError:
        return
    fault = f"an answer is asked for without {opening!r} before it" if opening else ""
    yield _check("generation_prompt", "chat template", fault)


# ------------------------------------------------------------------ inside


def _condition(subject: Subject) -> Iterator[Record]:
    lm: Any = subject.lm
    names, texts = _fixed_texts(lm)
    glimpses, fired = firing(lm.model, texts)
    # Zeros before the head, or in it: every token gets the same probability after any text.
    mute = all(seen.logit_scale == 0 for seen in glimpses)
    fault = "every token gets the same logit, whatever the text" if mute else ""
    yield _check("logits", "fixed texts", fault)
    for name, seen in zip(names, glimpses, strict=True):
        tokens = float(seen.tokens)
        yield _inside("loss", name, seen.loss, weight=tokens, unit="nats/token")
        yield _inside("cosine", name, seen.cosine)
        yield _inside("logit_scale", name, seen.logit_scale, unit="nats")
    for layer, fired_N in fired.layers.items():
        dead = 1 - fired_N.double().mean().item()
        yield _inside("dead_neurons", layer, dead, weight=float(len(fired_N)))
    head_VD = lm.model.get_output_embeddings().weight.detach()
    rank = effective_rank(head_VD)
    yield _inside(
        "head_rank", "output head", rank, direction="higher", unit="directions", exact=True
    )
    logged = resumption.last_loss(Path(subject.checkpoint.path))
    if logged is not None:
        fault = resumption.loss_fault(_easiest(names, glimpses), logged, len(head_VD))
        yield _check("loss", "against the trainer's last", fault)


def _fixed_texts(lm: Any) -> tuple[list[str], list[Any]]:
    """The beginnings of the first shipped texts of every domain: names, and ids_1L."""
    import torch

    length = min(_TOKENS_A_TEXT, lm.max_length)
    names, texts, counts = [], [], dict[str, int]()
    for document in read_shipped_passages():
        number = counts[document.domain] = counts.get(document.domain, 0) + 1
        if number > _TEXTS_A_DOMAIN:
            continue
        ids = lm.tokenizer.encode(document.text, add_special_tokens=False)[:length]
        names.append(f"{document.domain} {number}")
        texts.append(torch.tensor([ids], device=lm.model.device))
    return names, texts


def _easiest(names: Sequence[str], glimpses: Sequence[Glimpse]) -> float:
    """The loss of the kind of text that the model finds easiest, in nats a token."""
    sums: dict[str, list[float]] = {}
    for name, seen in zip(names, glimpses, strict=True):
        known = sums.setdefault(name.rpartition(" ")[0], [0.0, 0.0])
        known[0] += seen.loss * seen.tokens
        known[1] += seen.tokens
    return min(nats / tokens for nats, tokens in sums.values())


# ------------------------------------------------------------------ records


def _check(metric: str, item: str, fault: str) -> Record:
    return Record(
        task=HEALTH,
        metric=metric,
        item=item,
        value=0.0 if fault else 1.0,
        unit="check",
        kind="check",
        exact=True,
        responses=fault,
    )


def _inside(
    metric: str,
    item: str,
    value: float,
    *,
    weight: float = 1.0,
    direction: Direction = "lower",
    unit: str = "",
    exact: bool = False,
) -> Record:
    return Record(
        task="condition",
        metric=metric,
        item=item,
        value=value,
        weight=weight,
        direction=direction,
        unit=unit,
        kind="diagnostic",
        exact=exact,
    )


# ------------------------------------------------------------------
# What a model is like inside, on fixed texts: saturation, logit scale, dead neurons, loss.
#
# Shapes: L positions, D width, V vocabulary, N neurons of a layer.


def _rectified() -> tuple[type[Any], ...]:
    """The activations that are zero below zero: ReLU and ReLU squared, as modules."""
    from torch import nn
    from transformers.activations import ReLUSquaredActivation

    squared: type[Any] = ReLUSquaredActivation
    return (nn.ReLU, squared)


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
    for name, module in model.named_modules():
        if isinstance(module, _rectified()):
            hooks.append(module.register_forward_hook(seen.watch(name)))
    try:
        return [look(model, ids_1L) for ids_1L in texts], seen
    finally:
        for hook in hooks:
            hook.remove()
