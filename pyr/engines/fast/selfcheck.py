"""The self-check: does the fast engine score this kind of model as the reference engine does?

It runs the first time a (model class, config, dtype, device, versions) is met, on some two hundred
short requests of every type, and its outcome is kept. Weights are no part of the key: what can go
wrong (attention of another kind, a position rule, a head with a cap) is in the class and config.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import logging
import os
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lm_eval.api.instance import Instance
from numpy.typing import NDArray

from pyr.engines import cache_keyword
from pyr.engines.fast import slots
from pyr.engines.fast.attention import UnsupportedAttention
from pyr.engines.fast.lm import FastLM
from pyr.engines.fast.plan import Budget
from pyr.engines.fast.score import is_out_of_memory
from pyr.engines.hflm import LENGTH_RULES, ReferenceLM, padding_counts
from pyr.engines.loading import Loaded
from pyr.errors import MeasureError
from pyr.files import write

_LOG = logging.getLogger(__name__)

_VERSIONS = ("torch", "transformers", "lm_eval")
_NEEDED = ("position_ids", "logits_to_keep")
_TESTED = (5, 24)
"""The newest transformers that Pyr is tested with; a newer one may have renamed an argument."""

_WINDOW = 48
"""Tokens that both engines are told the model can take, so that long texts are cheap."""

_BUDGET = Budget(tokens=96, scored=64, cell_rows=16)
"""Small packs carry the spine from one to the next, small cells gather their keys."""

_SAID = {"until": ["\n\n"], "do_sample": False, "max_gen_toks": 8}
"""How the prompts are answered in words."""

_TEXT = (
    "The river rose in the night and by morning the lower fields stood under water. Nobody in the "
    "village could remember 1 such spring, though 3 or 4 of the oldest claimed to. They moved the "
    'animals first: 12 cows, a horse, and the hens in baskets. "Leave the chairs!" shouted Anna; '
    "but her brother had already tied them to the cart. def area(r):\n    return 3.14 * r ** 2\n"
    "Question: what is the capital of France?\nAnswer: Paris. Das Wasser kam schnell und leise. "
    "If x = 7 and y = 2 * x, then y + 1 equals 15. Once upon a time there was a small grey cat, "
    "and it liked to sit by the window and watch the birds come and go in the rain."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether the fast engine may be used for a kind of model, and what was seen."""

    agrees: bool
    reason: str
    requests: int = 0
    largest_difference: float = 0.0
    kept: bool = True
    """Whether it holds for every model of the kind, so that it need not be checked again."""


def check(loaded: Loaded) -> Outcome:
    """The outcome for this kind of model, from the cache or by running the check now."""
    model, tokenizer = loaded.model, loaded.tokenizer
    reason = "it is an encoder-decoder" if loaded.backend == "seq2seq" else unsupported(model)
    if reason:
        return Outcome(False, reason)
    file = _cache_folder() / f"{_key(model, tokenizer)}.json"
    if file.is_file():
        return Outcome(**json.loads(file.read_text(encoding="utf-8")))
    name, started = type(model).__name__, time.monotonic()
    _LOG.info("%s is new here: the fast engine is checked against the reference, once", name)
    outcome = run(loaded)
    _LOG.info("checked in %.0f s: %s", time.monotonic() - started, outcome.reason)
    if outcome.kept:
        _keep(file, outcome)
    return outcome


def unsupported(model: Any) -> str:
    """Why the fast engine cannot run this model at all; empty if it may try."""
    config = model.config.get_text_config(decoder=True)
    if model.config.is_encoder_decoder:
        return "it is an encoder-decoder"
    if not model._supports_attention_backend:
        return "its attention does not go through transformers' interface"
    layers = getattr(config, "layer_types", None) or []
    others = sorted({layer for layer in layers if layer != "full_attention"})
    if others:
        return f"it has layers of {', '.join(others)}"
    if getattr(config, "sliding_window", None):
        return "it attends to a sliding window"
    rule = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rule in LENGTH_RULES:
        return f"its {rule} positions depend on the longest text of a batch"
    return _lacking(model) or slots.unsupported(model)


def _lacking(model: Any) -> str:
    """Which arguments its forward lacks, in a sentence, and how to get them; empty if none."""
    parameters = inspect.signature(model.forward).parameters
    lacking = [name for name in _NEEDED if name not in parameters]
    if not cache_keyword(model):
        lacking.append("cache")
    if not lacking:
        return ""
    version = importlib.metadata.version("transformers")
    said = f"its forward takes no {', '.join(lacking)} in transformers {version}"
    if tuple(map(int, version.split(".")[:2])) <= _TESTED:
        return said
    tested = ".".join(map(str, _TESTED))
    return f"{said}; pip install 'transformers=={tested}.*' is the newest that Pyr is tested with"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What both engines are asked."""

    pairs: Sequence[tuple[str, str]]
    rolling: Sequence[str]
    prompts: Sequence[str]

    @property
    def number(self) -> int:
        return len(self.pairs) + len(self.rolling) + len(self.prompts)


@dataclass(frozen=True, slots=True)
class _Answers:
    """[requests, (log-likelihood, flag)] of the pairs, [texts] rolling, and what was said."""

    pairs: NDArray[np.float64]
    rolling: NDArray[np.float64]
    said: Sequence[str]

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.pairs).all() and np.isfinite(self.rolling).all())


def run(loaded: Loaded) -> Outcome:
    """Put the built-in requests to both engines and compare."""
    model = loaded.model
    if padding_counts(model):
        return Outcome(False, "what stands behind a text changes its scores")
    reference = _reference(loaded, batch_size=8)
    asked = _requests(reference)
    expected = _ask(reference, asked)
    # Batch shape alone changes the last bits: what the reference differs from itself is no fault.
    alone = _ask(_reference(loaded, batch_size=1), asked)
    short = model.dtype != torch.float32
    try:
        exact = _exact(loaded, asked) if short else None
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return Outcome(False, "its weights do not fit in float32, to judge by", kept=False)
    try:
        seen = _ask(FastLM(loaded, budget=_BUDGET, max_length=_WINDOW), asked)
    except (UnsupportedAttention, TypeError, ValueError, RuntimeError, AttributeError) as error:
        return Outcome(False, f"it cannot be run packed: {_first_line(error)}", kept=False)
    except MeasureError as error:
        if expected.finite:
            return Outcome(False, f"packed it cannot be scored: {error.what}", kept=False)
        # The reference gives NaN as well: that is the weights, and no verdict on the engine.
        return Outcome(True, "not verified: the model's logits are NaN", kept=False)
    fault = _fault(seen, expected, alone) if exact is None else _short_fault(seen, expected, exact)
    fault = fault or _said_otherwise(seen, expected, alone)
    return Outcome(
        agrees=not fault,
        reason=fault or "agrees with the reference engine",
        requests=asked.number,
        largest_difference=_largest(seen, expected),
    )


def _fault(seen: _Answers, expected: _Answers, alone: _Answers) -> str:
    """Where scores in float32 differ by more than rounding; empty where they do not.

    A request may differ by 2e-5 + 1e-6 |LL| plus four times what the reference differs from itself
    between batch sizes. No greedy flag may differ.
    """
    wrong = False
    for ours, theirs, single in (
        (seen.pairs[:, 0], expected.pairs[:, 0], alone.pairs[:, 0]),
        (seen.rolling, expected.rolling, alone.rolling),
    ):
        allowed = 2e-5 + 1e-6 * np.abs(theirs) + 4 * np.abs(single - theirs).max()
        wrong |= bool((np.abs(ours - theirs) > allowed).any())
    flips = int((seen.pairs[:, 1] != expected.pairs[:, 1]).sum())
    return _differing(seen, expected, flips) if wrong or flips else ""


def _short_fault(seen: _Answers, expected: _Answers, exact: _Answers) -> str:
    """Where scores in a dtype shorter than float32 are worse than the reference's own.

    Both are held against the same weights in float32. What the reference differs from itself
    between batch sizes says little: most of its rounding is the same in both. Allowed are 1.5 times
    its root of the mean square and 0.002, and for a request twice its largest error and 0.02 (of
    rolling texts 0.01 and 0.1). Greedy flags may differ, at near ties.
    """
    wrong = False
    for ours, theirs, truth, slack in (
        (seen.pairs[:, 0], expected.pairs[:, 0], exact.pairs[:, 0], 0.02),
        (seen.rolling, expected.rolling, exact.rolling, 0.1),
    ):
        off, own = np.abs(ours - truth), np.abs(theirs - truth)
        wrong |= bool(off.max() > 2 * own.max() + slack)
        wrong |= _root_mean_square(off) > 1.5 * _root_mean_square(own) + slack / 10
    return _differing(seen, expected, 0) if wrong else ""


def _differing(seen: _Answers, expected: _Answers, flips: int) -> str:
    largest = _largest(seen, expected)
    return (
        f"scores differ from the reference engine's by up to {largest:.2g}, "
        f"{flips} greedy flags differ"
    )


def _said_otherwise(seen: _Answers, expected: _Answers, alone: _Answers) -> str:
    """How many answers in words differ, where that is too many; else empty.

    One may, at a near tie, and two more for each in which the reference differs from itself.
    """
    other = _num_different(seen.said, alone.said)
    if other > 1 + 2 * _num_different(expected.said, alone.said):
        return f"{other} of {len(seen.said)} answers differ from the reference engine's"
    return ""


def _exact(loaded: Loaded, asked: _Asked) -> _Answers:
    """What the reference gives with the same weights in float32.

    Tensors are replaced one by one and put back. A copy of the model could call the forward of the
    first: some libraries set one on the instance.
    """
    tensors = [*loaded.model.parameters(), *loaded.model.buffers()]
    before = [each.data for each in tensors]
    try:
        for each in tensors:
            if each.is_floating_point():
                each.data = each.data.float()
        return _ask(_reference(loaded, batch_size=8), replace(asked, prompts=()))
    finally:
        for each, data in zip(tensors, before, strict=True):
            each.data = data


def _root_mean_square(values: NDArray[np.float64]) -> float:
    return float(np.sqrt((values**2).mean()))


def _largest(seen: _Answers, expected: _Answers) -> float:
    pairs = np.abs(seen.pairs[:, 0] - expected.pairs[:, 0]).max()
    return float(max(pairs, np.abs(seen.rolling - expected.rolling).max()))


def _num_different(left: Sequence[str], right: Sequence[str]) -> int:
    return sum(a != b for a, b in zip(left, right, strict=True))


def _reference(loaded: Loaded, batch_size: int) -> ReferenceLM:
    return ReferenceLM(loaded, batch_size=batch_size, max_length=_WINDOW, softmax_dtype="float32")


def _ask(lm: Any, asked: _Asked) -> _Answers:
    pairs = [Instance("loglikelihood", {}, pair, 0) for pair in asked.pairs]
    rolling = [Instance("loglikelihood_rolling", {}, (text,), 0) for text in asked.rolling]
    prompts = [
        Instance("generate_until", {}, (prompt, dict(_SAID)), index, ("selfcheck", index, 1))
        for index, prompt in enumerate(asked.prompts)
    ]
    return _Answers(
        np.asarray(lm.loglikelihood(pairs, disable_tqdm=True), float),
        np.asarray(lm.loglikelihood_rolling(rolling, disable_tqdm=True), float),
        lm.generate_until(prompts, disable_tqdm=True),
    )


def _requests(lm: ReferenceLM) -> _Asked:
    """Shared contexts, shared shots, other splits, no context, duplicates, too long; and prompts.

    Only requests that the tokenizer leaves a continuation for.
    """
    draw = random.Random(0)
    words = _TEXT.split(" ")

    def piece(least: int, most: int) -> str:
        start = draw.randrange(len(words) - most)
        return " ".join(words[start : start + draw.randint(least, most)])

    pairs = []
    for _ in range(25):
        context = piece(1, 6)
        pairs += [(context, " " + piece(1, 4)) for _ in range(4)]
    shots = piece(14, 18)
    for _ in range(10):
        context = f"{shots} {piece(2, 4)}"
        pairs += [(context, answer) for answer in (" A", " B", " yes", " " + piece(2, 3))]
    whole = piece(12, 12)
    pairs += [(whole[:cut], whole[cut:]) for cut in range(4, len(whole) - 4, 5)]
    pairs += [("", piece(1, 4)) for _ in range(6)]
    pairs += [(piece(50, 60), " " + piece(1, 6)) for _ in range(4)]
    pairs += [(piece(2, 3) + " \n", piece(1, 2)) for _ in range(4)]
    pairs += pairs[:6] + pairs[-6:]
    draw.shuffle(pairs)
    pairs = [pair for pair in pairs if _is_scorable(lm, pair)]
    beginning = piece(24, 24)
    prompts = [f"{beginning} {piece(1, 3)}" for _ in range(4)] + [piece(1, 2), piece(12, 16)]
    return _Asked(pairs, ["", piece(1, 1), piece(20, 20), _TEXT], prompts)


def _is_scorable(lm: ReferenceLM, pair: tuple[str, str]) -> bool:
    context, continuation = pair
    if not context:
        return len(lm.tok_encode(continuation, add_special_tokens=False)) > 1
    before, after = lm._encode_pair(context, continuation)
    return bool(before) and 0 < len(after) <= _WINDOW


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:120] if text else type(error).__name__


# ------------------------------------------------------------------ what is kept


def _cache_folder() -> Path:
    """``$XDG_CACHE_HOME/pyr/selfcheck``, by default under ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "pyr" / "selfcheck"


def _key(model: Any, tokenizer: Any) -> str:
    """sha256 of all that the outcome depends on, this package's own files included."""
    config = model.config.to_dict()
    config.pop("_name_or_path", None)
    device = model.device.type
    own = sorted(Path(__file__).parent.glob("*.py"))
    ingredients = {
        "class": type(model).__qualname__,
        "config": config,
        "vocabulary": len(tokenizer),
        "dtype": str(model.dtype),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONS},
        "engine": [hashlib.sha256(file.read_bytes()).hexdigest() for file in own],
    }
    text = json.dumps(ingredients, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _keep(file: Path, outcome: Outcome) -> None:
    try:
        write(file, json.dumps(asdict(outcome), indent=1))
    except OSError as error:
        _LOG.info("the outcome cannot be kept (%s): checked again the next time", error)
