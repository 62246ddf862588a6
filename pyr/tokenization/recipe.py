"""The file that says how a tokenizer is trained: ``train/<recipe>/tokenizer.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pyr import content
from pyr.data.source import TRAINING_KEYS, Source, refuse_keys
from pyr.errors import ContentError
from pyr.schema import Strict

PreTokenizer = Literal["qwen2", "smollm"]

TextSources = Annotated[
    list[Source],
    Field(min_length=1),
    AfterValidator(lambda texts: refuse_keys(texts, TRAINING_KEYS, reader="a tokenizer")),
]
BYTES = 256
"""Every tokenizer begins with one token for each byte."""


class Recipe(Strict):
    """A byte-level BPE: its size, its fixed tokens, and the texts that it learns merges from."""

    name: str
    vocab_size: int = Field(gt=BYTES)
    """Of everything: fixed tokens, bytes and merges."""
    pre_tokenizer: PreTokenizer
    """How text is cut before merging, by the name that llama.cpp has for it."""
    special_tokens: list[str]
    """Left out by ``decode(skip_special_tokens=True)``. They have the first ids, in this order."""
    added_tokens: list[str] = Field(default_factory=list)
    """Single tokens that decoding keeps; their ids follow."""
    begin: str
    """The special token that stands before a document (bos_token)."""
    end: str
    """The special token that ends a turn (eos_token)."""
    pad: str
    stop: list[str] = Field(default_factory=list)
    """Special tokens that end generation; `end` alone if empty."""
    model_max_length: int = 2048
    chat_template: str = ""
    """A Jinja file beside the recipe."""
    response_template: str = ""
    """A JSON file beside the recipe, for transformers' `parse_response`."""
    held_out: float = Field(default=0.05, ge=0, lt=1)
    """Share of documents, by the hash of their id, that training never sees."""
    lines_once: int | None = Field(default=None, gt=0)
    """Lines of so many letters or more count once, whatever document repeats them: licences,
    templates and copied code would buy tokens that new text has no use for."""
    texts: TextSources

    @model_validator(mode="after")
    def _fixed_tokens_agree(self) -> Recipe:
        fixed = [*self.special_tokens, *self.added_tokens]
        if len(set(fixed)) < len(fixed):
            raise ValueError("a token is listed twice in special_tokens and added_tokens")
        missing = {self.begin, self.end, self.pad, *self.stop} - set(self.special_tokens)
        if missing:
            raise ValueError(f"not among special_tokens: {', '.join(sorted(missing))}")
        if self.vocab_size <= BYTES + len(fixed):
            raise ValueError(f"vocab_size must be above {BYTES + len(fixed)}")
        return self

    @property
    def fixed_tokens(self) -> list[str]:
        """Special and added tokens in the order of their ids."""
        return [*self.special_tokens, *self.added_tokens]


class Texts(Strict):
    """A file that lists texts to measure on, as ``evals/tokenizer-texts.yaml``."""

    held_out: float = Field(default=0.05, ge=0, lt=1)
    """The share that the tokenizer's own recipe held out."""
    texts: TextSources


def find(place: Path) -> Path:
    """Return the recipe's file: a file, a folder that holds a tokenizer.yaml, or a shipped one."""
    found = content.locate(place, "train")
    file = found / "tokenizer.yaml" if found.is_dir() else found
    if not file.is_file():
        shipped = content.known("train", "tokenizer.yaml")
        raise ContentError(
            f"there is no recipe {place}.",
            where=f"looked for: {file}, and among the shipped ones: {', '.join(shipped)}",
            remedy="as in: pyr tokenizer train RECIPE.yaml",
        )
    return file


def read(file: Path) -> Recipe:
    """Read the recipe in a file.

    Raises ContentError naming the first wrong key.
    """
    return content.read(file, Recipe)


def beside(recipe_file: Path, name: str) -> str:
    """Read a file that a recipe names beside itself.

    Raises ContentError if it is not there.
    """
    file = recipe_file.parent / name
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ContentError(
            f"{recipe_file.name} names {name}, which cannot be read.",
            where=str(file),
            remedy="put it there, or take the name out of the recipe",
        ) from error
