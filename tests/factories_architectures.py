"""A tiny random model of every type of causal language model that transformers builds.

A config is made from the type's own defaults: each number is made small by what its name says. What
that cannot know stands in `CHANGES`.
"""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

from factories_model import byte_level_tokenizer

TOKENIZER = byte_level_tokenizer()
VOCABULARY = len(TOKENIZER)

_WIDTHS = (
    "hidden_size d_model n_embd dim embed_dim word_embed_proj_dim embedding_size emb_dim "
    "hidden_dim model_dim adapter_out_dim"
).split()
_LAYERS = (
    "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers "
    "num_encoder_layers num_decoder_layers n_blocks depth"
).split()
_HEADS = (
    "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads "
    "num_encoder_attention_heads num_decoder_attention_heads mamba_n_heads mamba_num_heads"
).split()
_GROUPS = ("num_kv_heads", "n_head_kv", "num_query_groups", "kv_n_heads")
_INNER = ("d_ff", "n_inner", "d_inner", "mlp_hidden_size")
_CHOSEN = (
    "num_experts_per_tok moe_topk top_k_experts moe_k num_experts_per_token moe_top_k"
).split()
_LENGTHS = (
    "max_position", "n_positions", "max_seq", "max_target", "n_ctx", "max_source", "seq_length",
)  # fmt: skip

_LINEAR = {"layer_types": ["linear_attention", "full_attention"]}
_CONV = {"layer_types": ["conv", "full_attention"]}
_HYBRID = {"layers_block_type": ["linear_attention", "hybrid"]}
_NO_SHARED_CACHE = {"num_kv_shared_layers": 0}
CHANGES: dict[str, dict[str, Any]] = {
    "bailing_hybrid": _LINEAR,
    "bamba": {"attn_layer_indices": [1]},
    "codegen": {"rotary_dim": 8},
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10_000.0}}
    },
    "dbrx": {"attn_config": {"rope_theta": 10_000.0, "kv_n_heads": 2, "clip_qkv": 8}},
    "deepseek_v2": {"num_experts_per_tok": 2, "n_group": 1, "topk_group": 1},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "dots3_note_text": {"num_key_value_heads": 4},
    "fsmt": {"decoder_start_token_id": 0},
    "gemma3n_text": _NO_SHARED_CACHE,
    "gptj": {"rotary_dim": 8},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": _LINEAR,
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8, "num_experts": 4},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": _LINEAR,
    "lfm2": _CONV,
    "lfm2_moe": _CONV,
    "lfm3": _CONV,
    "mamba2": {"num_heads": 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    "qwen3_next": _LINEAR,
    "qwen3_5_text": _LINEAR,
    "qwen3_5_moe_text": _LINEAR,
    "qwen4_exp_text": {
        **_LINEAR,
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 16,
        "indexer_compress_ratio": 2,
        "ngram_vocab_size_base": 1000,
        "split_ngram_parts": 2,
    },
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {
        "is_decoder": True,
        "attn_layers": ["local", "lsh"],
        "axial_pos_shape": [16, 32],
        "axial_pos_embds_dim": [16, 16],
    },
    "t5": {"decoder_start_token_id": 0},
    "xlstm": {"hidden_size": 128},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "zamba": {
        "num_hidden_layers": 3,
        "layers_block_type": ["linear_attention", "hybrid", "hybrid"],
    },
    "zamba2": _HYBRID,
    "zaya": {"num_experts_per_tok": 1},
}


def tiny_config(kind: str) -> Any:
    """The config of a tiny model of a type."""
    import transformers

    found = transformers.CONFIG_MAPPING[kind]
    settings = _settings(found)
    for name, value in CHANGES.get(kind, {}).items():
        inner = settings.get(name)
        settings[name] = {**inner, **value} if isinstance(inner, dict) else value
    return found(**settings)


def save_tiny(kind: str, folder: Path, *, whole: bool = False) -> Any:
    """Save a random model of a type with the tests' tokenizer; gives the model.

    whole: an encoder-decoder with its encoder, and not its decoder alone.
    """
    import torch
    import transformers

    torch.manual_seed(0)
    config = tiny_config(kind)
    auto = transformers.AutoModelForSeq2SeqLM if whole else transformers.AutoModelForCausalLM
    model = auto.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() >= 2:
                # Wide enough that a wrong mask or position moves a score by more than rounding.
                weight.normal_(0, 0.2)
    model.save_pretrained(folder)
    if not whole and model.config.model_type not in (kind, *known()):
        # The decoder of a larger model is found by the larger model's config.
        config.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return model


def known() -> set[str]:
    """The types of causal language models that transformers builds."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def _settings(config: Any) -> dict[str, Any]:
    """The defaults of a config class that are made smaller, its parts' with them."""
    import transformers

    smaller = {}
    for name, value in _defaults(config).items():
        if isinstance(value, int) and not isinstance(value, bool):
            smaller[name] = _small(name, value)
    if "kv_lora_rank" in smaller:
        smaller["num_key_value_heads"] = smaller["num_attention_heads"]
    for name, part in (getattr(config, "sub_configs_defaults", None) or {}).items():
        kind = part.model_type
        known_kind = kind in transformers.CONFIG_MAPPING
        found = transformers.CONFIG_MAPPING[kind] if known_kind else part
        smaller[name] = {"model_type": kind, **_settings(found), **CHANGES.get(kind, {})}
    return smaller


def _defaults(config: Any) -> dict[str, Any]:
    found = {}
    if dataclasses.is_dataclass(config):
        found = {each.name: each.default for each in dataclasses.fields(config) if each.init}
    for name, parameter in inspect.signature(config.__init__).parameters.items():
        found.setdefault(name, parameter.default)
    return found


def _small(name: str, value: int) -> int:
    tokens = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "decoder_start_token_id": 0}
    if name in tokens:
        return tokens[name]
    for names, small in (
        (_WIDTHS, 32), (_LAYERS, 2), (_HEADS, 4), (_GROUPS, 2), (_INNER, 64), (_CHOSEN, 2)
    ):  # fmt: skip
        if name in names:
            return small
    for words, small in (
        (("vocab",), VOCABULARY),
        (("_token_id", "_token_index"), min(value, 3)),
        (_LENGTHS, 512),
        (("head_dim", "kv_channels", "d_kv", "d_head", "head_size"), 8),
        (("key_value_heads",), 2),
        (("intermediate", "ffn"), 64),
        (("lora_rank",), 16),
        (("expert",), min(value, 4)),
        (("n_group", "topk_group"), 1),
        (("state", "rank"), min(value, 8)),
        (("window",), min(value, 16)),
    ):
        if any(word in name for word in words):
            return small
    return value
