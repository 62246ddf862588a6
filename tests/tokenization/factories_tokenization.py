"""A tiny tokenizer and what it is trained on."""

from __future__ import annotations

import tokenizers

from pyr.tokenization import train
from pyr.tokenization.recipe import Recipe
from pyr.tokenization.train import learn

TEXT = (
    "The cat sat on the mat, and the dog sat on the log.\n"
    "def add(left, right):\n    total = left + right\n    return total\n"
    '{"name": "add", "arguments": {"left": 12, "right": 345}}\n'
    "Caf\u00e9 na\u00efve \u65e5\u672c\u8a9e \U0001f600 x == y != z\n"
)
TEXTS = [TEXT, TEXT.upper(), TEXT[::-1], TEXT.replace("the", "a"), TEXT * 3]


def small_recipe(**changes: object) -> Recipe:
    values: dict[str, object] = {
        "name": "small",
        "vocab_size": 400,
        "pre_tokenizer": "qwen2",
        "special_tokens": ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"],
        "added_tokens": ["<think>", "</think>"],
        "begin": "<|endoftext|>",
        "end": "<|im_end|>",
        "pad": "<|pad|>",
        "texts": [{"name": "all", "files": ["*.jsonl"]}],
    }
    return Recipe.model_validate({**values, **changes})


def build_small(**changes: object) -> tokenizers.Tokenizer:
    recipe = small_recipe(**changes)
    merges = learn(TEXTS, recipe.pre_tokenizer, train.num_merges(recipe), trainer="tokenizers")
    return train.build(recipe, merges)
