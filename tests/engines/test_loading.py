from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from factories_model import byte_level_tokenizer
from safetensors.torch import load_file, save_file

from pyr.checkpoint import identify
from pyr.engines import EngineSettings
from pyr.engines.loading import load_model
from pyr.errors import CheckpointError

CPU = EngineSettings(engine="reference", device="cpu").resolved()


def add_tensors(folder: Path, more: dict[str, torch.Tensor]) -> None:
    held = load_file(folder / "model.safetensors")
    save_file({**held, **more}, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_missing_tensor_is_an_error_and_never_filled_at_random(checkpoint_copy: Path) -> None:
    file = checkpoint_copy / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="1 tensors are missing from the weights"):
        load_model(identify(checkpoint_copy), CPU)


def test_a_tensor_of_the_wrong_shape_is_an_error(checkpoint_copy: Path) -> None:
    config = json.loads((checkpoint_copy / "config.json").read_text())
    config["intermediate_size"] *= 2
    (checkpoint_copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"gate_proj.* the shape \[64, 32\], .* \[128, 32\]"):
        load_model(identify(checkpoint_copy), CPU)


def test_a_layer_that_the_config_leaves_out_is_an_error(checkpoint_copy: Path) -> None:
    config = json.loads((checkpoint_copy / "config.json").read_text())
    config["num_hidden_layers"] = 1
    (checkpoint_copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="9 tensors of the weights have no place"):
        load_model(identify(checkpoint_copy), CPU)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.q_proj.bias",
        "model.layers.1.self_attn.q_norm.weight",
        "model.layers.1.post_feedforward_layernorm.weight",
        "model.embed_norm.weight",
        "lm_head.bias",
    ],
)
def test_a_learned_tensor_of_the_decoder_that_is_not_used_is_named(
    checkpoint_copy: Path, name: str
) -> None:
    add_tensors(checkpoint_copy, {name: torch.ones(32)})
    loaded = load_model(identify(checkpoint_copy), CPU)
    assert loaded.unused == (name,)


TRIANGLE = torch.ones(8, 8).tril()[None, None]


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("model.layers.0.self_attn.rotary_emb.inv_freq", torch.rand(4)),
        ("model.layers.0.self_attn.rotary_emb.cos_cached", torch.rand(8, 4)),
        ("model.layers.0.self_attn.bias", TRIANGLE),
        ("model.layers.0.self_attn.causal", TRIANGLE.bool()),
        ("model.layers.0.self_attn.mask", (1 - TRIANGLE) * -1e9),
        ("model.layers.0.self_attn.masked_bias", torch.tensor(-1e4)),
        ("model.position_ids", torch.arange(8)[None]),
    ],
)
def test_tables_and_masks_hold_nothing_learned(
    checkpoint_copy: Path, name: str, tensor: torch.Tensor
) -> None:
    add_tensors(checkpoint_copy, {name: tensor})
    loaded = load_model(identify(checkpoint_copy), CPU)
    assert (loaded.unused, loaded.notes) == ((), [])


@pytest.mark.parametrize(
    "name", ["v_head.summary.weight", "visual.blocks.0.norm.weight", "model.visual.norm.weight"]
)
def test_other_towers_and_heads_are_a_named_note(checkpoint_copy: Path, name: str) -> None:
    add_tensors(checkpoint_copy, {name: torch.ones(32)})
    loaded = load_model(identify(checkpoint_copy), CPU)
    assert loaded.unused == ()
    (note,) = loaded.notes
    assert name in note


# ------------------------------------------------------------------ names of wrapped models


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", "_orig_mod."),
        ("", "module."),
        ("", "module._orig_mod."),
        ("", "_orig_mod.module."),
        ("model.", "model._orig_mod."),
        ("model.layers.", "model._orig_mod.layers._checkpoint_wrapped_module."),
    ],
)
def test_a_wrapped_model_is_loaded_as_the_model_itself(
    tiny_checkpoint: Path, checkpoint_copy: Path, old: str, new: str
) -> None:
    held = load_file(checkpoint_copy / "model.safetensors")
    wrapped = {name.replace(old, new, 1): tensor for name, tensor in held.items()}
    save_file(wrapped, checkpoint_copy / "model.safetensors", metadata={"format": "pt"})
    loaded = load_model(identify(checkpoint_copy), CPU)
    plain = load_model(identify(tiny_checkpoint), CPU)
    assert all(map(torch.equal, loaded.model.parameters(), plain.model.parameters()))
    assert "taken off" in " ".join(loaded.notes)
    assert not plain.notes


def test_one_tensor_under_two_names_is_an_error(checkpoint_copy: Path) -> None:
    add_tensors(checkpoint_copy, {"module.model.norm.weight": torch.ones(32)})
    with pytest.raises(CheckpointError, match="one tensor twice"):
        load_model(identify(checkpoint_copy), CPU)


# ------------------------------------------------------------------ heads

TIED = {
    "llama": ("LlamaConfig", {}),
    "gpt_neox": ("GPTNeoXConfig", {}),
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 2, "n_head": 2}),
    "mamba": ("MambaConfig", {"state_size": 4}),
    "opt": ("OPTConfig", {"ffn_dim": 32, "word_embed_proj_dim": 32, "max_position_embeddings": 64}),
    "bloom": ("BloomConfig", {"n_layer": 2, "n_head": 2}),
}


@pytest.mark.parametrize("kind", TIED)
def test_a_head_of_the_files_own_is_scored_and_named(
    kind: str, tiny_checkpoint: Path, checkpoint_copy: Path
) -> None:
    import transformers

    from pyr.engines.hflm import ReferenceLM

    name, settings = TIED[kind]
    common = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    common |= {"intermediate_size": 64, "vocab_size": 600, "tie_word_embeddings": False}
    config = getattr(transformers, name)(**{**common, **settings})
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(checkpoint_copy)
    file = checkpoint_copy / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "tie_word_embeddings": True}))
    loaded = load_model(identify(checkpoint_copy), CPU)
    lm = ReferenceLM(loaded, batch_size=1)
    ids = torch.arange(4, 40)[None]
    assert loaded.untied
    assert torch.allclose(lm.model(ids).logits, model(ids).logits, atol=1e-5)


# ------------------------------------------------------------------ the rest


def test_a_config_with_a_word_in_the_place_of_a_number_is_an_error(checkpoint_copy: Path) -> None:
    config = json.loads((checkpoint_copy / "config.json").read_text())
    config["num_hidden_layers"] = "two"
    (checkpoint_copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="num_hidden_layers"):
        load_model(identify(checkpoint_copy), CPU)


def test_a_tokenizer_without_a_first_and_a_last_token_is_an_error(checkpoint_copy: Path) -> None:
    (checkpoint_copy / "tokenizer_config.json").unlink()
    with pytest.raises(CheckpointError, match="begins or ends a text"):
        load_model(identify(checkpoint_copy), CPU)


def test_code_of_the_checkpoint_is_not_run_unless_asked_for(checkpoint_copy: Path) -> None:
    config = json.loads((checkpoint_copy / "config.json").read_text())
    config["model_type"] = "homemade"
    config["auto_map"] = {
        "AutoConfig": "homemade.Config",
        "AutoModelForCausalLM": "homemade.Model",
    }
    (checkpoint_copy / "config.json").write_text(json.dumps(config))
    ran = checkpoint_copy / "ran"
    (checkpoint_copy / "homemade.py").write_text(f"open({str(ran)!r}, 'w')")
    with pytest.raises(CheckpointError) as raised:
        load_model(identify(checkpoint_copy), CPU)
    assert "--set trust_remote_code=true" in raised.value.remedy
    assert not ran.exists()


# ------------------------------------------------------------------ tokenizers


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_template_in_chat_template_json_alone_is_used(checkpoint_copy: Path) -> None:
    template = (checkpoint_copy / "chat_template.jinja").read_text()
    (checkpoint_copy / "chat_template.jinja").unlink()
    (checkpoint_copy / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    loaded = load_model(identify(checkpoint_copy), CPU)
    assert loaded.tokenizer.chat_template == template
    assert loaded.notes == ["the chat template is that of chat_template.json"]


@pytest.mark.parametrize("taken", [("eos_token",), ("eos_token", "pad_token"), ("bos_token",)])
def test_one_end_of_a_text_is_enough(checkpoint_copy: Path, taken: tuple[str, ...]) -> None:
    config = checkpoint_copy / "tokenizer_config.json"
    edit(config, **dict.fromkeys(taken))
    loaded = load_model(identify(checkpoint_copy), CPU)
    assert loaded.tokenizer.pad_token_id < 600


def test_a_padding_token_beyond_the_rows_pads_nothing(checkpoint_copy: Path) -> None:
    tokenizer = byte_level_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(checkpoint_copy)
    loaded = load_model(identify(checkpoint_copy), CPU)
    assert loaded.tokenizer.pad_token_id < 600
    assert "[PAD]" in " ".join(loaded.notes)


def test_a_tokenizer_of_bytes_is_loaded_without_a_vocabulary(checkpoint_copy: Path) -> None:
    import transformers

    (checkpoint_copy / "tokenizer.json").unlink()
    transformers.ByT5Tokenizer().save_pretrained(checkpoint_copy)
    assert load_model(identify(checkpoint_copy), CPU).tokenizer is not None
