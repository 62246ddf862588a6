"""lm-eval's own engines: HFLM, slow, and the oracle; and vLLM."""

from __future__ import annotations

import importlib.util
import logging
from typing import TYPE_CHECKING

from pyr.engines import EngineSettings
from pyr.errors import CheckpointError, UsageError
from pyr.schema import Checkpoint

if TYPE_CHECKING:
    from lm_eval.api.model import LM


def open_reference(checkpoint: Checkpoint, settings: EngineSettings) -> LM:
    """lm-eval's HFLM over the checkpoint."""
    # Set before the import: HFLM logs a warning for every model that is passed as an object.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from pyr.engines.hflm import ReferenceLM
    from pyr.engines.loading import load_model

    return ReferenceLM(load_model(checkpoint, settings), batch_size=settings.batch_size)


_LOADING_ERRORS = (OSError, ValueError, RuntimeError, LookupError, ImportError)
"""What vLLM raises for a model that it cannot load or that does not fit beside others."""


def open_vllm(checkpoint: Checkpoint, settings: EngineSettings) -> LM:
    """lm-eval's VLLM over the checkpoint; vLLM chooses its batches itself.

    Raises UsageError if vLLM is not installed, CheckpointError if it cannot load the model.
    """
    if importlib.util.find_spec("vllm") is None:
        raise UsageError(
            "engine 'vllm': vLLM is not installed.",
            remedy='install it: pip install "pyr-lm[vllm]"  (it needs a GPU), or use --engine fast',
        )
    if checkpoint.base:
        raise UsageError(
            "engine 'vllm' takes no adapters here.",
            where=checkpoint.path,
            remedy="use --engine fast, which merges it into its base model",
        )
    from lm_eval.models.vllm_causallms import VLLM

    try:
        lm: LM = VLLM(
            pretrained=checkpoint.path,
            dtype=settings.dtype,
            trust_remote_code=settings.trust_remote_code,
            batch_size="auto",
        )
    except _LOADING_ERRORS as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"vLLM cannot load the model: {first}",
            where=str(checkpoint.path),
            remedy="use --engine fast, or a model and dtype that vLLM knows",
        ) from error
    return lm
