"""The model that a recipe trains, freshly initialised from its ``model.yaml``."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from pydantic import Field

from pyr.errors import ContentError, did_you_mean
from pyr.schema import Strict
from pyr.training.recipe import read_file

_RESIDUAL_ENDS = ("o_proj.weight", "down_proj.weight")


class ModelFile(Strict):
    """A ``model.yaml``: a class of transformers, and its configuration as it is written there."""

    name: str
    description: str = ""
    architecture: str = "ArceeForCausalLM"
    """ReLU squared without a gate, served by transformers, vLLM, SGLang and llama.cpp. A Llama with
    ``hidden_act: relu2`` is refused: llama.cpp loads one without a warning and computes SwiGLU."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the configuration class."""


def read(file: Path) -> ModelFile:
    """The model file. Raises ContentError for an unknown class or configuration key."""
    import transformers

    asked = read_file(file, ModelFile)
    known = ("ArceeForCausalLM", "LlamaForCausalLM")
    if asked.architecture not in known:
        raise ContentError(
            f"the architecture {asked.architecture} is not one that Pyr trains.",
            where=str(file),
            remedy=did_you_mean(asked.architecture, known) or f"use {known[0]}",
        )
    if asked.architecture == "LlamaForCausalLM" and asked.config.get("hidden_act") == "relu2":
        raise ContentError(
            "a LlamaForCausalLM with relu2 is served wrongly: llama.cpp computes SwiGLU instead.",
            where=str(file),
            remedy="use ArceeForCausalLM with intermediate_size 3/2 as large",
        )
    fields = dataclasses.fields(getattr(transformers, asked.architecture).config_class)
    keys = {field.name for field in fields}
    for key in asked.config:
        if key not in keys:
            raise ContentError(
                f"'{key}' is no key of {asked.architecture}'s configuration.",
                where=str(file),
                remedy=did_you_mean(key, keys),
            )
    return asked


def build(asked: ModelFile, *, seed: int, attention: str = "sdpa") -> Any:
    """The model in float32, initialised by the seed."""
    import torch
    import transformers

    architecture = getattr(transformers, asked.architecture)
    config = architecture.config_class(**asked.config)
    config._attn_implementation = attention
    torch.manual_seed(seed)
    model = architecture(config)
    scale_residuals(model)
    return model


def scale_residuals(model: Any) -> None:
    """Divide what enters the residual stream by sqrt(2 * layers), once.

    So the stream's variance does not grow with depth. Source: GPT-2, Radford et al. 2019, 2.3.
    """
    import torch

    factor = 1 / math.sqrt(2 * model.config.num_hidden_layers)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(_RESIDUAL_ENDS):
                weight.mul_(factor)


def check_tokenizer(asked: ModelFile, folder: Path) -> None:
    """ContentError unless model and tokenizer agree on the vocabulary and the special tokens."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = asked.config.get("vocab_size", 0)
    if len(tokenizer) > rows:
        raise ContentError(
            f"the tokenizer has {len(tokenizer)} tokens, the model {rows} rows.",
            where=str(folder),
            remedy="raise vocab_size in model.yaml",
        )
    for kind in ("bos", "eos", "pad"):
        own = getattr(tokenizer, f"{kind}_token_id")
        said = asked.config.get(f"{kind}_token_id")
        if own != said:
            raise ContentError(
                f"{kind}_token_id is {said} in the model and {own} in the tokenizer.",
                where=str(folder / "tokenizer_config.json"),
                remedy=f"write {kind}_token_id: {own} into model.yaml",
            )
