"""The folder of a trained tokenizer: what it holds, and how it is written.

tokenizer.json           fixed tokens, bytes, merges (library `tokenizers`)
tokenizer_config.json    for transformers: which token is which, the response template
chat_template.jinja      how turns are written
generation_config.json   which tokens end generation
training.json            recipe, data and result: what this was trained on, and what it is
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyr.files import write
from pyr.tokenization.recipe import BYTES, Recipe, beside
from pyr.tokenization.train import Merge, byte_letters, pre_tokenizer


def build(recipe: Recipe, merges: Sequence[Merge]) -> Any:
    """The `tokenizers.Tokenizer`: fixed tokens first, then the bytes, then the merges.

    So the fixed tokens and the bytes keep their ids whatever the size of the vocabulary.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models

    letters = byte_letters()

    def written_as(half: bytes) -> str:
        return "".join(letters[byte] for byte in half)

    written = [(written_as(left), written_as(right)) for left, right in merges]
    tokens = [*recipe.fixed_tokens, *letters, *(left + right for left, right in written)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=written, fuse_unk=False))
    tokenizer.pre_tokenizer = pre_tokenizer(recipe.pre_tokenizer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in recipe.special_tokens]
    )
    tokenizer.add_tokens(
        [AddedToken(token, normalized=False, special=False) for token in recipe.added_tokens]
    )
    return tokenizer


def num_merges(recipe: Recipe) -> int:
    """How many merges fill the vocabulary."""
    return recipe.vocab_size - BYTES - len(recipe.fixed_tokens)


def save(
    folder: Path, recipe_file: Path, recipe: Recipe, tokenizer: Any, training: dict[str, Any]
) -> str:
    """Write the folder; gives the sha256 of tokenizer.json.

    training: the record of the data, to which the recipe and the result are added.
    """
    files = {
        "tokenizer.json": tokenizer.to_str(pretty=False) + "\n",
        "tokenizer_config.json": _json(_config(recipe_file, recipe)),
        "generation_config.json": _json(_generation(recipe, tokenizer)),
    }
    if recipe.chat_template:
        files["chat_template.jinja"] = beside(recipe_file, recipe.chat_template)
    digests = {name: hashlib.sha256(body.encode()).hexdigest() for name, body in files.items()}
    record = {
        "recipe": recipe.model_dump(mode="json", exclude_defaults=True),
        "recipe_sha256": hashlib.sha256(recipe_file.read_bytes()).hexdigest(),
        **training,
        "result": {"vocab_size": tokenizer.get_vocab_size(), "sha256": digests},
    }
    files["training.json"] = _json(record)
    for name, body in files.items():
        write(folder / name, body)
    return digests["tokenizer.json"]


def _config(recipe_file: Path, recipe: Recipe) -> dict[str, Any]:
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": recipe.begin,
        "eos_token": recipe.end,
        "pad_token": recipe.pad,
        "model_max_length": recipe.model_max_length,
        "clean_up_tokenization_spaces": False,
    }
    if recipe.response_template:
        config["response_template"] = json.loads(beside(recipe_file, recipe.response_template))
    return config


def _generation(recipe: Recipe, tokenizer: Any) -> dict[str, Any]:
    stop = [tokenizer.token_to_id(token) for token in recipe.stop or [recipe.end]]
    return {
        "bos_token_id": tokenizer.token_to_id(recipe.begin),
        "eos_token_id": stop if len(stop) > 1 else stop[0],
        "pad_token_id": tokenizer.token_to_id(recipe.pad),
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
