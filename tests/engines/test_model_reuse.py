from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pyr.checkpoint import identify
from pyr.engines import EngineSettings, open_model
from pyr.engines.model_reuse import ModelReuse

CPU = EngineSettings(device="cpu").resolved()
IDS = torch.arange(4, 40)[None]


def logits(lm: object) -> torch.Tensor:
    with torch.inference_mode():
        return lm.model(IDS).logits.clone()


def other_weights(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    tensors = load_file(target / "model.safetensors")
    moved = {
        name: tensor + 0.01 * torch.arange(tensor.numel()).view(tensor.shape).sin()
        for name, tensor in tensors.items()
    }
    save_file(moved, target / "model.safetensors", metadata={"format": "pt"})
    return target


def test_swapped_weights_score_as_loaded_ones(tiny_checkpoint: Path, tmp_path: Path) -> None:
    other = other_weights(tiny_checkpoint, tmp_path / "other")
    models = ModelReuse()
    first = models.open(identify(tiny_checkpoint), CPU)
    before = logits(first)
    second = models.open(identify(other), CPU)
    assert second is first
    assert torch.equal(logits(second), logits(open_model(identify(other), CPU)))
    assert not torch.equal(logits(second), before)
    assert torch.equal(logits(models.open(identify(tiny_checkpoint), CPU)), before)


def test_other_weights_left_in_the_folder_are_not_swapped_in(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    other = other_weights(tiny_checkpoint, tmp_path / "other")
    shutil.copyfile(tiny_checkpoint / "model.safetensors", other / "model_ema.safetensors")
    models = ModelReuse()
    models.open(identify(tiny_checkpoint), CPU)
    swapped = models.open(identify(other), CPU)
    assert torch.equal(logits(swapped), logits(open_model(identify(other), CPU)))


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_another_kind_of_checkpoint_is_loaded_anew(
    tiny_checkpoint: Path, checkpoint_copy: Path, file: str
) -> None:
    config = json.loads((checkpoint_copy / file).read_text())
    (checkpoint_copy / file).write_text(json.dumps({**config, "note": 1}))
    models = ModelReuse()
    first = models.open(identify(tiny_checkpoint), CPU)
    assert models.open(identify(checkpoint_copy), CPU) is not first


def test_a_file_that_lacks_a_tensor_is_not_half_swapped(
    tiny_checkpoint: Path, checkpoint_copy: Path
) -> None:
    from pyr.errors import CheckpointError

    tensors = load_file(checkpoint_copy / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, checkpoint_copy / "model.safetensors", metadata={"format": "pt"})
    models = ModelReuse()
    models.open(identify(tiny_checkpoint), CPU)
    with pytest.raises(CheckpointError, match="missing"):
        models.open(identify(checkpoint_copy), CPU)


def test_tied_weights_are_swapped_by_either_name(tiny_checkpoint: Path, tmp_path: Path) -> None:
    import transformers

    folder = tmp_path / "tied"
    shutil.copytree(tiny_checkpoint, folder)
    config = transformers.LlamaConfig.from_pretrained(tiny_checkpoint, tie_word_embeddings=True)
    torch.manual_seed(1)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    other = other_weights(folder, tmp_path / "other")
    models = ModelReuse()
    first = models.open(identify(folder), CPU)
    assert models.open(identify(other), CPU) is first
    assert torch.equal(logits(first), logits(open_model(identify(other), CPU)))
