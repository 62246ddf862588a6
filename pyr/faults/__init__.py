"""Damaged and converted copies of a checkpoint: what a sound evaluation must tell apart.

weights.py    noise, a layer dropped, heads zeroed, digits permuted, four bits, a wrong RoPE base
copies.py     harmless: saved again, in shards, in bfloat16, untied, from GGUF; other texts: a
              tokenizer off by one merge, a template without its prompt, a BOS too many
"""

from pyr.faults.copies import (
    add_bos,
    as_bfloat16,
    as_folder,
    in_shards,
    saved_again,
    untied,
    without_generation_prompt,
    without_merge,
)
from pyr.faults.weights import (
    add_noise,
    drop_layer,
    permute_digits,
    round_to_int4,
    wrong_rope_base,
    zero_heads,
)

__all__ = [
    "add_bos",
    "add_noise",
    "as_bfloat16",
    "as_folder",
    "drop_layer",
    "in_shards",
    "permute_digits",
    "round_to_int4",
    "saved_again",
    "untied",
    "without_generation_prompt",
    "without_merge",
    "wrong_rope_base",
    "zero_heads",
]
