from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyr.checkpoint import identify
from pyr.engines import EngineSettings, open_model
from pyr.engines.reference import load_model
from pyr.errors import CheckpointError, UsageError

CPU = EngineSettings(engine="reference", device="cpu").resolved()


def test_auto_on_a_cpu_is_float32_in_the_fast_engine() -> None:
    assert EngineSettings(device="cpu").resolved().label == "fast-cpu-float32"


def test_the_engine_is_an_lm_of_lm_eval(tiny_checkpoint: Path) -> None:
    from lm_eval.api.model import LM

    assert isinstance(open_model(identify(tiny_checkpoint), CPU), LM)


def test_an_engine_can_be_any_function(tiny_checkpoint: Path) -> None:
    settings = EngineSettings(engine="pyr.engines.reference:open_reference", device="cpu")
    assert open_model(identify(tiny_checkpoint), settings.resolved()) is not None


@pytest.mark.parametrize("engine", ["referense", "no.such:module", "pyr.engines:nothing"])
def test_an_unknown_engine_is_a_usage_error(tiny_checkpoint: Path, engine: str) -> None:
    settings = EngineSettings(engine=engine, device="cpu").resolved()
    with pytest.raises(UsageError):
        open_model(identify(tiny_checkpoint), settings)


def test_an_unknown_dtype_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="unknown dtype"):
        EngineSettings(dtype="float31").resolved()


def test_a_missing_tensor_is_an_error_and_never_filled_at_random(checkpoint_copy: Path) -> None:
    from safetensors.torch import load_file, save_file

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


def test_a_head_that_the_model_has_no_place_for_is_left_out(checkpoint_copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = checkpoint_copy / "model.safetensors"
    tensors = load_file(file)
    tensors["v_head.summary.weight"] = tensors["model.norm.weight"].clone()
    save_file(tensors, file, metadata={"format": "pt"})
    assert load_model(identify(checkpoint_copy), CPU)[0] is not None


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
