"""lm-eval's own engines: HFLM, unchanged, slow, and the oracle; and vLLM."""

from __future__ import annotations

import importlib.util
import logging
import re
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyr.engines import EngineSettings
from pyr.errors import CheckpointError, UsageError
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

    Raises CheckpointError if config, weights and tokenizer are not of one model: transformers would
    fill a tensor that is missing with random numbers, leave out a layer, and score that.
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
    tokenizer = _load_tokenizer(path, folder, where)
    try:
        model, loading = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, settings.dtype),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            use_safetensors=checkpoint.format == "safetensors" or None,
            **where,
        )
    except _loading_errors() as error:
        raise _loading_failed(path, error) from error
    _refuse_misfits(path, loading, used=model.state_dict())
    return model.to(settings.device).eval(), tokenizer


def _refuse_misfits(path: Path, loading: Mapping[str, Any], *, used: Iterable[str]) -> None:
    """CheckpointError unless config and weights name the same tensors, of the same shapes.

    A head or a tower that the model has no place for is no fault, a further layer is.
    """
    kinds = {_kind(name) for name in used}
    unused = loading["unexpected_keys"]
    left_out = [name for name in unused if _kind(name) != name and _kind(name) in kinds]
    shapes = [
        f"{name} has the shape {list(held)}, the config says {list(asked)}"
        for name, held, asked in loading["mismatched_keys"]
    ]
    for what, names in (
        ("are missing from the weights", loading["missing_keys"]),
        ("of the weights are not the config's", shapes),
        ("of the weights have no place in the config's model", left_out),
    ):
        if names:
            raise CheckpointError(
                f"{len(names)} tensors {what}: {', '.join(sorted(names)[:3])}",
                where=str(path),
                remedy="the config is of another model, or the save was cut short: save it again",
            )


def _kind(tensor: str) -> str:
    """A tensor's name without the numbers of its layer and expert."""
    return re.sub(r"\d+", "N", tensor)


def _load_tokenizer(path: Path, folder: Path, where: dict[str, Any]) -> Any:
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **where)
    except _loading_errors() as error:
        raise _loading_failed(path, error) from error
    except Exception as error:
        # The tokenizers library raises plain Exception for a file that is JSON but no tokenizer.
        if type(error) is not Exception:
            raise
        raise _loading_failed(path, error) from error
    if tokenizer.bos_token_id is None and tokenizer.eos_token_id is None:
        raise CheckpointError(
            "the tokenizer names no token that begins or ends a text.",
            where=f"looked for bos_token and eos_token in: {path}",
            remedy="set them, and save it beside the model: tokenizer.save_pretrained(folder)",
        )
    return tokenizer


def _loading_errors() -> tuple[type[Exception], ...]:
    """What transformers raises for files that are damaged or do not belong together."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    builtin = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)
    return (*builtin, ImportError, struct.error, SafetensorError, StrictDataclassError)


def _loading_failed(path: Path, error: Exception) -> CheckpointError:
    said = " ".join(str(error).split()[:60]) or type(error).__name__
    if "trust_remote_code" in str(error):
        remedy = "read that code, then pass --set trust_remote_code=true"
    elif path.is_file():
        remedy = "fetch the file again, or convert the model again"
    else:
        remedy = "see that config.json, the weights and the tokenizer are of one model"
    return CheckpointError(
        f"transformers cannot load the model: {said}", where=str(path), remedy=remedy
    )


# ------------------------------------------------------------------ vLLM
# An extra, for machines with a GPU. Its scores are vLLM's own arithmetic, not transformers'; the
# engine is part of a run's identity.


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
