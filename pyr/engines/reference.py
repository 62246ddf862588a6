"""The reference engine: lm-eval's own HFLM, unchanged. It is slow, and it is the oracle."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyr.engines import EngineSettings
from pyr.errors import CheckpointError
from pyr.schema import Checkpoint

if TYPE_CHECKING:
    from lm_eval.api.model import LM


def open_reference(checkpoint: Checkpoint, settings: EngineSettings) -> LM:
    """lm-eval's HFLM over the checkpoint.

    Its logits cache is off: it scores wrongly when two requests share a context but split it at
    different points (lm_eval/models/huggingface.py, `_loglikelihood_tokens`).
    """
    # Set before the import: HFLM logs a warning for every model that is passed as an object.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from lm_eval.models.huggingface import HFLM

    model, tokenizer = load_model(checkpoint, settings)
    return HFLM(
        pretrained=model, tokenizer=tokenizer, batch_size=settings.batch_size, logits_cache=False
    )


def load_model(checkpoint: Checkpoint, settings: EngineSettings) -> tuple[Any, Any]:
    """The transformers model (in eval mode, on its device) and its tokenizer.

    Raises CheckpointError if a tensor is missing or of the wrong shape: transformers would fill
    it with random numbers and score those.
    """
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    path = Path(checkpoint.path)
    where: dict[str, Any] = {"trust_remote_code": settings.trust_remote_code}
    folder = path
    if checkpoint.format == "gguf":
        folder, where["gguf_file"] = path.parent, path.name
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **where)
        model, loading = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, settings.dtype),
            output_loading_info=True,
            use_safetensors=checkpoint.format == "safetensors" or None,
            **where,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, IndexError) as error:
        raise _loading_failed(path, error) from error
    missing = sorted(loading["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{len(missing)} tensors are missing from the weights: {', '.join(missing[:3])}",
            where=str(path),
            remedy="the config is of another model, or the save was cut short: save it again",
        )
    return model.to(settings.device).eval(), tokenizer


def _loading_failed(path: Path, error: Exception) -> CheckpointError:
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "trust_remote_code" in str(error):
        remedy = "read that code, then pass --trust-remote-code"
    else:
        remedy = "see that config.json, the weights and the tokenizer are of one model"
    return CheckpointError(
        f"transformers cannot load the model: {first_line}", where=str(path), remedy=remedy
    )
