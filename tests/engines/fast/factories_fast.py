"""Tiny random models of several families, and requests of every kind to score with them."""

from __future__ import annotations

import random
from typing import Any

from factories_model import HERE, byte_level_tokenizer

TOKENIZER = byte_level_tokenizer()
MAX_LENGTH = 128

_COMMON = {
    "vocab_size": len(TOKENIZER),
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": MAX_LENGTH,
    # Wide enough that a wrong mask or position moves a score by far more than rounding does.
    "initializer_range": 0.2,
    "bos_token_id": TOKENIZER.bos_token_id,
    "eos_token_id": TOKENIZER.eos_token_id,
}
_GPT2 = {
    "vocab_size": len(TOKENIZER),
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": MAX_LENGTH,
    "initializer_range": 0.2,
    "bos_token_id": TOKENIZER.bos_token_id,
    "eos_token_id": TOKENIZER.eos_token_id,
}
FAMILIES = {
    "llama": ("LlamaConfig", _COMMON),
    "arcee": ("ArceeConfig", _COMMON),
    "qwen2": ("Qwen2Config", _COMMON),
    "qwen3": ("Qwen3Config", {**_COMMON, "head_dim": 16}),
    "gpt2": ("GPT2Config", _GPT2),
}
UNSUPPORTED = {
    "mistral": ("MistralConfig", _COMMON),
    "gemma2": ("Gemma2Config", {**_COMMON, "head_dim": 8}),
    "mamba": (
        "MambaConfig",
        {
            "vocab_size": len(TOKENIZER),
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "bos_token_id": 0,
            "eos_token_id": 2,
        },
    ),
}


def tiny_model(family: str, **changes: Any) -> Any:
    """A float32 model with random weights, the same at every call."""
    import torch
    import transformers

    name, settings = {**FAMILIES, **UNSUPPORTED}[family]
    config = getattr(transformers, name)(**{**settings, **changes})
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def reference(model: Any, **options: Any) -> Any:
    from lm_eval.models.huggingface import HFLM

    settings = {"batch_size": 8, "logits_cache": False, **options}
    return HFLM(pretrained=model, tokenizer=TOKENIZER, **settings)


def instances(kind: str, arguments: list[tuple[str, ...]]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, each, index) for index, each in enumerate(arguments)]


def requests() -> list[tuple[str, str]]:
    """Every kind of (context, continuation): see the comments."""
    draw = random.Random(0)
    text = (HERE / "tiny_text.txt").read_text(encoding="utf-8")

    def piece(length: int) -> str:
        start = draw.randrange(len(text) - length)
        return text[start : start + length]

    pairs = []
    # Choices of an item.
    for _ in range(4):
        context = piece(draw.randrange(5, 150))
        pairs += [(context, " " + piece(draw.randrange(3, 40))) for _ in range(4)]
    # Shots shared by items, answers of one token.
    shots = piece(150)
    for _ in range(4):
        context = shots + piece(20)
        pairs += [(context, " a"), (context, " b"), (context, " " + piece(20))]
    # The same text, split elsewhere, also inside a word and inside a merge (T1).
    pairs += [(shots[:cut], shots[cut:]) for cut in (20, 21, 22, 50)]
    # No context (T2), the prefix token written out, a context that ends in spaces (T1).
    pairs += [("", piece(30)), ("", " a"), ("", "<|endoftext|>" + piece(20))]
    pairs += [(piece(20) + " \n ", piece(9))]
    # Duplicates (T6), and more than the model can take (T4).
    pairs += [pairs[0], pairs[0], pairs[-4]]
    pairs += [(piece(500), " yes"), (piece(500), piece(150))]
    # A chat template, whose special tokens stand in the text.
    for question in (piece(20), piece(40)):
        turns = [{"role": "system", "content": shots}, {"role": "user", "content": question}]
        chat = TOKENIZER.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        pairs += [(chat, "yes"), (chat, piece(12)), (chat, "no<|im_end|>")]
    draw.shuffle(pairs)
    return pairs


def texts() -> list[str]:
    """For rolling scores: empty, one token, and longer than several windows (T8)."""
    text = (HERE / "tiny_text.txt").read_text(encoding="utf-8")
    return ["", "a", text[:40], text[:700], text[700:1200]]
