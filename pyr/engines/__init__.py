"""Engines turn a checkpoint into an lm-eval `LM`: the only model interface that Pyr knows."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyr.errors import UsageError, did_you_mean
from pyr.hardware import keep_freed_memory
from pyr.schema import Checkpoint

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_ENGINES = {
    "fast": "pyr.engines.fast:open_fast",
    "reference": "pyr.engines.reference:open_reference",
    "vllm": "pyr.engines.reference:open_vllm",
}


_DTYPES = ("float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How a model is to be run. `device` and `dtype` may be ``auto``."""

    engine: str = "fast"
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int = 8
    """Rows at once; the fast engine, which packs rows of any length, takes as many times more."""
    trust_remote_code: bool = False

    def resolved(self) -> EngineSettings:
        """The same with ``auto`` settled: the first GPU if there is one, else float32 on the CPU.

        Scores depend on the arithmetic, so what was chosen is part of a run's identity.
        """
        import torch

        target = _target(self.engine)
        if target == self.engine:
            load_object(target, what="engine")
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = self.dtype
        if dtype == "auto":
            dtype = "float32" if device == "cpu" else "bfloat16"
        if dtype not in _DTYPES:
            raise UsageError(
                f"unknown dtype '{dtype}'.",
                remedy=did_you_mean(dtype, _DTYPES) or f"use one of: {', '.join(_DTYPES)}",
            )
        if self.batch_size < 1:
            raise UsageError(
                f"batch_size={self.batch_size}: no item fits into that.", remedy="use 1 or more"
            )
        _check_device(device)
        return EngineSettings(self.engine, device, dtype, self.batch_size, self.trust_remote_code)

    def label(self, checkpoint: Checkpoint) -> str:
        """What tells two runs of the same checkpoint apart, as ``fast-cpu-float32``.

        A checkpoint that brings code of its own is another model with it than without.
        """
        own = "-own-code" if self.trust_remote_code and "code" in checkpoint.digests else ""
        return f"{self.engine}-{self.device}-{self.dtype}{own}"


def open_model(checkpoint: Checkpoint, settings: EngineSettings) -> LM:
    """Load `checkpoint` in the engine that `settings` name.

    An engine is a callable (Checkpoint, EngineSettings) -> LM; one of our own by its name, any
    other as ``module:function``.
    Raises CheckpointError if the weights cannot be loaded, UsageError for an unknown engine.
    """
    target = _target(settings.engine)
    if settings.resolved().device == "cpu":
        keep_freed_memory()
    return load_object(target, what="engine")(checkpoint, settings)


def _target(engine: str) -> str:
    """Where an engine's function is, ``module:function``. UsageError for an unknown engine."""
    target = _ENGINES.get(engine, engine)
    if ":" not in target:
        raise UsageError(
            f"unknown engine '{engine}'.",
            remedy=did_you_mean(target, _ENGINES) or f"use one of: {', '.join(_ENGINES)}",
        )
    return target


def _check_device(device: str) -> None:
    """Raise UsageError with the devices there are if this is none of them."""
    import torch

    try:
        known = torch.device(device).type != "meta"
        # The only question that every kind of device answers: is there room for nothing?
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError):
        known = False
    if known:
        return
    there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        there.append("mps")
    raise UsageError(
        f"there is no device '{device}' on this machine.",
        remedy=did_you_mean(device, there) or f"use one of: {', '.join(there)}",
    )


def cache_keyword(model: Any) -> str:
    """What a model's forward calls its keys and values; empty if it takes none.

    transformers renamed ``past_key_values`` to ``cache`` in 5.24, model by model.
    """
    parameters = inspect.signature(model.forward).parameters
    names = ("cache", "past_key_values")
    return next((name for name in names if name in parameters), "")


def load_object(target: str, *, what: str) -> Any:
    """The object that ``module:name`` means; UsageError if there is none."""
    module_name, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"{what} '{target}' cannot be imported: {error}",
            remedy="write it as module:name, with the module on PYTHONPATH",
        ) from error
