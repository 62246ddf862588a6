"""Damage that is not noise: what is changed, and that nothing else is."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file

from pyr import faults
from pyr.errors import CheckpointError, UsageError


def weights(folder):
    return load_file(folder / "model.safetensors")


def config(folder):
    return json.loads((folder / "config.json").read_text())


def logits(folder, text="def f(x): return 1 + 23"):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model(**tokenizer(text, return_tensors="pt")).logits


def test_a_dropped_layer_is_gone_and_those_above_move_down(tiny_checkpoint, tmp_path):
    before = weights(tiny_checkpoint)
    copy = faults.drop_layer(tiny_checkpoint, tmp_path / "made", layer=0)
    after = weights(copy)
    assert config(copy)["num_hidden_layers"] == 1
    assert torch.equal(
        after["model.layers.0.mlp.up_proj.weight"], before["model.layers.1.mlp.up_proj.weight"]
    )
    assert not any(".layers.1." in name for name in after)
    assert not torch.equal(logits(copy), logits(tiny_checkpoint))


def test_a_layer_that_is_not_there_cannot_be_dropped(tiny_checkpoint, tmp_path):
    with pytest.raises(UsageError, match="no layer 2"):
        faults.drop_layer(tiny_checkpoint, tmp_path / "made", layer=2)


def test_a_zeroed_head_gives_what_the_model_gives_without_it(tiny_checkpoint, tmp_path):
    copy = faults.zero_heads(tiny_checkpoint, tmp_path / "made", layer=1, heads=[1])
    name = "model.layers.1.self_attn.o_proj.weight"
    after, before = weights(copy)[name], weights(tiny_checkpoint)[name]
    assert not after[:, 16:].any()
    assert torch.equal(after[:, :16], before[:, :16])


@pytest.mark.parametrize("heads", [[], [2], [-1]])
def test_heads_that_are_not_there_cannot_be_zeroed(tiny_checkpoint, tmp_path, heads):
    with pytest.raises(UsageError):
        faults.zero_heads(tiny_checkpoint, tmp_path / "made", layer=0, heads=heads)


def test_permuted_digits_are_read_as_the_next_digit(tiny_checkpoint, tmp_path):
    copy = faults.permute_digits(tiny_checkpoint, tmp_path / "made")
    plain = transformers.AutoModelForCausalLM.from_pretrained(tiny_checkpoint)
    damaged = transformers.AutoModelForCausalLM.from_pretrained(copy)
    vocabulary = transformers.AutoTokenizer.from_pretrained(tiny_checkpoint).get_vocab()
    here, there = (model.get_input_embeddings().weight for model in (damaged, plain))
    assert torch.equal(here[vocabulary["3"]], there[vocabulary["4"]])
    assert torch.equal(here[vocabulary["9"]], there[vocabulary["0"]])
    assert torch.equal(here[vocabulary["a"]], there[vocabulary["a"]])


def test_four_bits_are_fifteen_values_a_group(tiny_checkpoint, tmp_path):
    name = "model.layers.0.mlp.up_proj.weight"
    before = weights(tiny_checkpoint)[name]
    after = weights(faults.round_to_int4(tiny_checkpoint, tmp_path / "made"))[name]
    step = before.abs().amax(dim=1, keepdim=True) / 7
    assert torch.allclose(after / step, (after / step).round(), atol=1e-5)
    assert ((after - before).abs() <= step / 2 + 1e-6).all()


def test_a_wrong_rope_base_changes_only_the_config(tiny_checkpoint, tmp_path):
    copy = faults.wrong_rope_base(tiny_checkpoint, tmp_path / "made", factor=10)
    old, new = (config(each)["rope_parameters"]["rope_theta"] for each in (tiny_checkpoint, copy))
    assert new == 10 * old
    assert (copy / "model.safetensors").read_bytes() == (
        tiny_checkpoint / "model.safetensors"
    ).read_bytes()
    assert not torch.equal(logits(copy), logits(tiny_checkpoint))


def test_a_config_without_a_rope_base_is_refused(checkpoint_copy, tmp_path):
    bare = {key: value for key, value in config(checkpoint_copy).items() if "rope" not in key}
    (checkpoint_copy / "config.json").write_text(json.dumps(bare))
    with pytest.raises(CheckpointError, match="rope_theta"):
        faults.wrong_rope_base(checkpoint_copy, tmp_path / "made")
