"""How large a vocabulary should be: one training, many sizes.

A byte-level BPE of k merges is the first k of a longer training, so that the largest size is
trained and the others are cut from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyr.errors import UsageError
from pyr.tokenization import files, forms, measure
from pyr.tokenization.measure import Passages, Score
from pyr.tokenization.recipe import BYTES, Recipe
from pyr.tokenization.train import Merge, learn, training_texts


@dataclass(frozen=True, slots=True)
class Model:
    """The model that the vocabulary is for."""

    hidden: int
    """Width of the embeddings."""
    body: float
    """Parameters besides the embeddings."""


@dataclass(frozen=True, slots=True)
class Size:
    """What one size of the vocabulary costs and gives."""

    vocab_size: int
    embedding_parameters: int
    """Vocabulary times width, once; an untied model has them twice."""
    bytes_per_token: Score
    """Mean over domains of unseen text."""
    tokens_per_byte: float
    """Tokens that a byte costs: all tokens / all bytes of the same texts."""
    flops_per_byte: float
    """To train on: 6 for each parameter and token (Kaplan et al. 2020, arXiv 2001.08361), of the
    body and the output embeddings; the input embeddings are only looked up."""
    domains: dict[str, float]
    """Bytes per token by domain."""


def train_sizes(recipe: Recipe, root: Path, sizes: Sequence[int]) -> list[Merge]:
    """The merges of the largest size.

    Raises UsageError if a size is too small to hold the fixed tokens and the bytes.
    """
    least = BYTES + len(recipe.fixed_tokens)
    if min(sizes) <= least:
        raise UsageError(
            f"a vocabulary of {min(sizes)} is too small.",
            remedy=f"the bytes and the fixed tokens alone are {least}",
        )
    return learn(training_texts(recipe, root), recipe.pre_tokenizer, max(sizes) - least)


def measure_sizes(
    recipe: Recipe,
    merges: Sequence[Merge],
    sizes: Sequence[int],
    texts: Sequence[Passages],
    model: Model,
) -> list[Size]:
    """Every size over the same texts, the smallest first."""
    found = []
    for size in sorted(set(sizes)):
        part = recipe.model_copy(update={"vocab_size": size})
        tokenizer = files.build(part, merges[: files.num_merges(part)])
        coded = [forms.HuggingFace(tokenizer).encode_all(each.texts) for each in texts]
        counts = [measure.token_counts(each) for each in coded]
        total = sum(int(each.bytes.sum()) for each in texts)
        tokens_per_byte = sum(int(each.sum()) for each in counts) / total
        found.append(
            Size(
                vocab_size=size,
                embedding_parameters=size * model.hidden,
                bytes_per_token=measure.mean_score(texts, coded),
                tokens_per_byte=tokens_per_byte,
                flops_per_byte=6 * (model.body + size * model.hidden) * tokens_per_byte,
                domains={
                    each.domain: float(each.bytes.sum() / count.sum())
                    for each, count in zip(texts, counts, strict=True)
                },
            )
        )
    return found
