"""The reference engine: lm-eval's own HFLM, unchanged. It is slow, and it is the oracle."""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyr.engines import EngineSettings
from pyr.errors import CheckpointError
from pyr.schema import Checkpoint

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_LOADING_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    ImportError,
    struct.error,
)
"""What transformers raises for files that are damaged or do not belong together."""


def open_reference(checkpoint: Checkpoint, settings: EngineSettings) -> LM:
    """lm-eval's HFLM over the checkpoint.

    Its logits cache is off: it scores wrongly when two requests share a context but split it at
    different points (lm_eval/models/huggingface.py, `_loglikelihood_tokens`).
    """
    # Set before the import: HFLM logs a warning for every model that is passed as an object.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from lm_eval.models import huggingface
    from lm_eval.models.huggingface import HFLM

    huggingface.tqdm = _quiet_bar
    model, tokenizer = load_model(checkpoint, settings)
    return HFLM(
        pretrained=model, tokenizer=tokenizer, batch_size=settings.batch_size, logits_cache=False
    )


def _quiet_bar(*arguments: Any, **options: Any) -> Any:
    """A tqdm that shows nothing: HFLM's rolling scorer shows one whatever it is told."""
    import tqdm

    return tqdm.tqdm(*arguments, **{**options, "disable": True})


def load_model(checkpoint: Checkpoint, settings: EngineSettings) -> tuple[Any, Any]:
    """The transformers model (in eval mode, on its device) and its tokenizer.

    Raises CheckpointError if a tensor is missing or of the wrong shape: transformers would fill
    it with random numbers and score those.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    path = Path(checkpoint.path)
    where: dict[str, Any] = {"trust_remote_code": settings.trust_remote_code}
    folder = path
    if checkpoint.format == "gguf":
        folder, where["gguf_file"] = path.parent, path.name
    tokenizer = _load_tokenizer(path, folder, where)
    try:
        model, loading = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, settings.dtype),
            output_loading_info=True,
            use_safetensors=checkpoint.format == "safetensors" or None,
            **where,
        )
    except (*_LOADING_ERRORS, SafetensorError) as error:
        raise _loading_failed(path, error) from error
    missing = sorted(loading["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{len(missing)} tensors are missing from the weights: {', '.join(missing[:3])}",
            where=str(path),
            remedy="the config is of another model, or the save was cut short: save it again",
        )
    return model.to(settings.device).eval(), tokenizer


def _load_tokenizer(path: Path, folder: Path, where: dict[str, Any]) -> Any:
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(folder, **where)
    except _LOADING_ERRORS as error:
        raise _loading_failed(path, error) from error
    except Exception as error:
        # The tokenizers library raises plain Exception for a file that is JSON but no tokenizer.
        if type(error) is not Exception:
            raise
        raise _loading_failed(path, error) from error


def _loading_failed(path: Path, error: Exception) -> CheckpointError:
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "trust_remote_code" in str(error):
        remedy = "read that code, then pass --trust-remote-code"
    else:
        remedy = "see that config.json, the weights and the tokenizer are of one model"
    return CheckpointError(
        f"transformers cannot load the model: {first_line}", where=str(path), remedy=remedy
    )
