"""The transformers model and the tokenizer of a checkpoint, as they are in its files.

transformers fills a tensor that is missing with random numbers, leaves out one that has no place,
and goes on; lm-eval ties what a config calls tied, whatever the file holds. So what was loaded is
held against what the files hold: `Loaded` says where the two differ.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pyr.checkpoint import parts
from pyr.checkpoint.weights import bare_name, read_json, wrappers
from pyr.data.chat_formats import TEMPLATE_FILES, TEMPLATE_KEY
from pyr.engines import EngineSettings, adapters, tensors
from pyr.errors import CheckpointError
from pyr.schema import Checkpoint

_ODD_WRAPPERS = r"\.(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\."
_OUTER_WRAPPERS = r"^(?:(?:module|_orig_mod|_fsdp_wrapped_module|_forward_module)\.)+"
_MOST_WRAPPERS = 4
"""How many wrappers may stand inside one name."""


@dataclass(frozen=True)
class Loaded:
    """A model with its tokenizer, and where they are not what the files hold."""

    model: Any
    """In eval mode, on its device."""
    tokenizer: Any
    backend: Literal["causal", "seq2seq"] = "causal"
    unused: tuple[str, ...] = ()
    """Learned tensors of the decoder that the model has no place for."""
    untied: tuple[str, ...] = ()
    """Output heads that the config ties to the embedding and the file does not."""
    notes: list[str] = field(default_factory=list)
    """What a report must say, in a sentence each."""

    @property
    def plain(self) -> bool:
        """Whether the files hold the model's own tensors, by the model's own names."""
        return not (self.unused or self.untied or self.notes)


def load_model(checkpoint: Checkpoint, settings: EngineSettings) -> Loaded:
    """The transformers model of the checkpoint and its tokenizer.

    Raises CheckpointError if config, weights and tokenizer are not of one model.
    """
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    path = Path(checkpoint.base or checkpoint.path)
    where: dict[str, Any] = {"trust_remote_code": settings.trust_remote_code}
    folder = path
    if checkpoint.format == "gguf":
        folder, where["gguf_file"] = path.parent, path.name
    tokenizer, notes = _load_tokenizer(checkpoint, folder, where)
    names = tensors.names(checkpoint)
    wrapped = wrappers(names)
    if wrapped:
        where["key_mapping"] = _key_mapping()
        notes.append(f"the names of the tensors hold {', '.join(wrapped)}: taken off")
    _refuse_twins(path, names)
    backend, factory = _factory(path, folder, where)
    try:
        with adapters.base_alone(folder) as place:
            model, loading = factory.from_pretrained(
                place,
                dtype=_dtype(settings),
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                use_safetensors=checkpoint.format == "safetensors" or None,
                **where,
            )
    except _loading_errors() as error:
        raise _loading_failed(path, error) from error
    tensors.refuse_misfits(path, loading, used=model.state_dict())
    unused, others = tensors.split_unused(checkpoint, model, loading["unexpected_keys"])
    if others:
        notes.append(f"tensors of other towers and heads are not used: {_few(others)}")
    untied = _keep_untied(model)
    if checkpoint.base:
        model = adapters.merge(model, Path(checkpoint.path))
        _keep_untied(model)
        notes.append(f"the adapter was merged into its base model, {path}")
    _settle_padding(model, tokenizer)
    notes += _tokens_without_rows(model, tokenizer)
    model = model.to(settings.device).eval()
    _refuse_unusable(path, model, backend)
    return Loaded(model, tokenizer, backend, tuple(unused), tuple(untied), notes)


def _dtype(settings: EngineSettings) -> Any:
    import torch

    return getattr(torch, settings.dtype)


def _key_mapping() -> dict[str, str]:
    """The names of a wrapped model, to those of the model itself.

    transformers takes each pattern off once, so that one stands here in several spellings.
    """
    inner = {_ODD_WRAPPERS + "(?:)" * number: "." for number in range(_MOST_WRAPPERS)}
    return {_OUTER_WRAPPERS: "", **inner}


def _refuse_twins(path: Path, names: list[str]) -> None:
    """CheckpointError where two tensors are one once their wrappers' names are taken off."""
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(bare_name(name), name)
        if other != name:
            raise CheckpointError(
                f"the weights hold one tensor twice: {other} and {name}",
                where=str(path),
                remedy="save the model again, without what wraps it",
            )


def _factory(path: Path, folder: Path, where: Mapping[str, Any]) -> tuple[Any, Any]:
    """The kind of model and the class that loads it, as lm-eval's HFLM chooses them.

    A type that transformers knows as an encoder-decoder is one, unless the folder was saved from
    its decoder alone.
    """
    import transformers
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    )

    known = {key: value for key, value in where.items() if key != "key_mapping"}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **known)
    except _loading_errors() as error:
        raise _loading_failed(path, error) from error
    kind = config.model_type
    alone = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind)
    if kind not in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return "causal", transformers.AutoModelForCausalLM
    if alone is not None and alone in (config.architectures or ()):
        return "causal", transformers.AutoModelForCausalLM
    return "seq2seq", transformers.AutoModelForSeq2SeqLM


def _keep_untied(model: Any) -> list[str]:
    """Heads that the config ties and the file holds apart; nothing ties them from here on.

    transformers leaves such heads as the file has them. Its `tie_weights`, which lm-eval calls,
    would overwrite them: it asks the configs again.
    """
    asked = model.get_expanded_tied_weights_keys(all_submodels=True)
    untied = [head for head, source in asked.items() if not _is_one(model, head, source)]
    if untied:
        tensors.never_tie(model)
    return untied


def _is_one(model: Any, head: str, source: str) -> bool:
    first, second = (model.get_parameter_or_buffer(name) for name in (head, source))
    return first is second or first.data_ptr() == second.data_ptr()


# ------------------------------------------------------------------ the tokenizer


def _load_tokenizer(
    checkpoint: Checkpoint, folder: Path, where: dict[str, Any]
) -> tuple[Any, list[str]]:
    import transformers

    path = Path(checkpoint.path)
    if path.is_dir() and parts.holds_tokenizer(path):
        folder = path
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
            where=f"looked for bos_token and eos_token in: {folder}",
            remedy="set them, and save it beside the model: tokenizer.save_pretrained(folder)",
        )
    if not tokenizer.encode("a word and 1 more", add_special_tokens=False):
        raise CheckpointError(
            "the tokenizer makes no token of plain words: its vocabulary was not found.",
            where=str(folder),
            remedy="save it again beside the model: tokenizer.save_pretrained(folder)",
        )
    return tokenizer, _add_template(tokenizer, folder)


def _add_template(tokenizer: Any, folder: Path) -> list[str]:
    """Give the tokenizer the template of chat_template.json, which transformers keeps for others.

    Gives a note where that was done.
    """
    file = folder / TEMPLATE_FILES[1]
    if tokenizer.chat_template is not None or not file.is_file():
        return []
    tokenizer.chat_template = read_json(file).get(TEMPLATE_KEY)
    return [f"the chat template is that of {file.name}"] if tokenizer.chat_template else []


def _settle_padding(model: Any, tokenizer: Any) -> None:
    """Let batches be padded with a token that has a row in the embedding.

    lm-eval pads with pad, unk or eos, or else adds a new token behind the vocabulary. What is
    padded is masked, so that any token will do.
    """
    chosen = tokenizer.pad_token_id
    if chosen is None:
        chosen = tokenizer.unk_token_id
    if chosen is None:
        chosen = tokenizer.eos_token_id
    if chosen is None or chosen >= tensors.num_rows(model):
        ends = (tokenizer.eos_token_id, tokenizer.bos_token_id)
        tokenizer.pad_token_id = next(each for each in ends if each is not None)


def _tokens_without_rows(model: Any, tokenizer: Any) -> list[str]:
    """A note on tokens that were added to the tokenizer and have no row in the embedding."""
    rows = tensors.num_rows(model)
    beyond = [token for token, number in tokenizer.get_added_vocab().items() if number >= rows]
    if not beyond:
        return []
    return [f"tokens without a row in the embedding, which no task may use: {_few(beyond)}"]


# ------------------------------------------------------------------ errors


def _refuse_unusable(path: Path, model: Any, backend: str) -> None:
    """CheckpointError unless the model takes a text of two tokens and gives logits for each.

    An encoder-decoder is asked as HFLM asks it: an answer of two tokens to a text of three.
    """
    import torch

    ids_BL = torch.tensor([[0, 1]], device=model.device)
    asked = {"input_ids": ids_BL}
    if backend == "seq2seq":
        text_BL = torch.tensor([[0, 1, 1]], device=model.device)
        mask_BL = torch.ones_like(text_BL)
        asked = {"input_ids": text_BL, "attention_mask": mask_BL, "labels": ids_BL}
    errors: tuple[type[Exception], ...] = (*_loading_errors(), AssertionError)
    try:
        with torch.inference_mode():
            shape = tuple(model(**asked).logits.shape)
    except errors as error:
        said = " ".join(str(error).split()[:40]) or type(error).__name__
        raise CheckpointError(
            f"{type(model).__name__} cannot score a plain text: {said}",
            where=str(path),
            remedy="no engine can; lm-eval's own cannot either",
        ) from error
    if shape[:2] != (1, 2) or len(shape) != 3:
        raise CheckpointError(
            f"{type(model).__name__} gives no logits for each token of a plain text.",
            where=f"{path}: logits of shape {list(shape)} for two tokens",
            remedy="it is no model of texts alone",
        )


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(sorted(names)[:3]) + more


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
