from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from pyr import content
from pyr.errors import ContentError
from pyr.training import model


def test_the_real_model_has_135_million_parameters() -> None:
    import torch

    asked = model.read(content.path("train/pyr-135m/model.yaml"))
    with torch.device("meta"):
        built = model.build(asked, seed=0)
    assert sum(weight.numel() for weight in built.parameters()) == 135_291_648
    assert type(built).__name__ == "ArceeForCausalLM"


@pytest.mark.parametrize("folder", ["train/pyr-135m", "train/tiny"])
def test_model_and_tokenizer_of_a_shipped_recipe_agree(folder: str) -> None:
    asked = model.read(content.path(f"{folder}/model.yaml"))
    model.check_tokenizer(asked, content.path(f"{folder}/tokenizer"))


def test_what_enters_the_residual_stream_starts_smaller() -> None:
    asked = model.read(content.path("train/tiny/model.yaml"))
    built = model.build(asked, seed=0)
    layer = built.model.layers[0]
    usual = asked.config["initializer_range"]
    scaled = usual / math.sqrt(2 * asked.config["num_hidden_layers"])
    assert layer.mlp.up_proj.weight.std().item() == pytest.approx(usual, rel=0.02)
    assert layer.mlp.down_proj.weight.std().item() == pytest.approx(scaled, rel=0.02)
    assert layer.self_attn.o_proj.weight.std().item() == pytest.approx(scaled, rel=0.02)


def test_the_seed_decides_the_weights() -> None:
    import torch

    asked = model.read(content.path("train/tiny/model.yaml"))
    one, same, other = (model.build(asked, seed=seed).lm_head.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_llama_with_relu2_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    config = {"hidden_act": "relu2"}
    file.write_text(yaml.safe_dump({"architecture": "LlamaForCausalLM", "config": config}))
    with pytest.raises(ContentError, match="SwiGLU"):
        model.read(file)


def test_a_wrong_key_of_the_configuration_names_the_right_one(tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(yaml.safe_dump({"config": {"hiden_size": 4}}))
    with pytest.raises(ContentError, match="hiden_size") as error:
        model.read(file)
    assert "hidden_size" in error.value.remedy


def test_special_tokens_that_differ_are_refused(tmp_path: Path, tiny_checkpoint: Path) -> None:
    file = tmp_path / "model.yaml"
    ids = {"bos_token_id": 0, "eos_token_id": 7, "pad_token_id": 3}
    file.write_text(yaml.safe_dump({"config": {"vocab_size": 600, **ids}}))
    with pytest.raises(ContentError, match="eos_token_id is 7"):
        model.check_tokenizer(model.read(file), tiny_checkpoint)
