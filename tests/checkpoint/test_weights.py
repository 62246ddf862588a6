from __future__ import annotations

from pathlib import Path

import pytest

from pyr.checkpoint import identify
from pyr.checkpoint.weights import bare_name, wrappers
from pyr.errors import CheckpointError


@pytest.mark.parametrize(
    "name",
    [
        "_orig_mod.model.norm.weight",
        "module.model.norm.weight",
        "module._orig_mod.model.norm.weight",
        "_orig_mod.module.model.norm.weight",
        "model._orig_mod.norm._checkpoint_wrapped_module.weight",
        "_fsdp_wrapped_module.model._fsdp_wrapped_module.norm.weight",
    ],
)
def test_a_name_is_known_without_what_wrapped_the_model(name: str) -> None:
    assert bare_name(name) == "model.norm.weight"
    assert wrappers([name])


def test_a_module_of_the_model_s_own_is_no_wrapper() -> None:
    assert bare_name("model.module.weight") == "model.module.weight"
    assert not wrappers(["model.module.weight", "lm_head.weight"])


def without_weights(folder: Path, *files: str) -> CheckpointError:
    (folder / "model.safetensors").unlink()
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"state")
    with pytest.raises(CheckpointError) as caught:
        identify(folder)
    return caught.value


def test_shards_of_fsdp_are_answered_with_the_command_that_joins_them(
    checkpoint_copy: Path,
) -> None:
    error = without_weights(
        checkpoint_copy, "pytorch_model_fsdp_0/.metadata", "optimizer_0/.metadata", "scheduler.pt"
    )
    assert "FSDP" in error.what
    command = f"accelerate merge-weights {checkpoint_copy}/pytorch_model_fsdp_0 {checkpoint_copy}"
    assert error.remedy == command


def test_that_command_joins_them(checkpoint_copy: Path) -> None:
    import torch.distributed.checkpoint as dcp
    from accelerate.utils import merge_fsdp_weights
    from safetensors.torch import load_file

    whole = load_file(checkpoint_copy / "model.safetensors")
    before = identify(checkpoint_copy)
    with pytest.warns(UserWarning):
        dcp.save({"model": whole}, checkpoint_id=checkpoint_copy / "pytorch_model_fsdp_0")
    remedy = without_weights(checkpoint_copy).remedy.split()
    merge_fsdp_weights(remedy[2], remedy[3])
    joined = load_file(checkpoint_copy / "model.safetensors")
    assert {name: tensor.tolist() for name, tensor in joined.items()} == {
        name: tensor.tolist() for name, tensor in whole.items()
    }
    assert identify(checkpoint_copy).digests["config"] == before.digests["config"]


def test_a_distributed_checkpoint_is_answered_with_its_command(checkpoint_copy: Path) -> None:
    error = without_weights(checkpoint_copy, ".metadata", "__0_0.distcp")
    assert "DCP" in error.what
    assert f"accelerate merge-weights {checkpoint_copy} {checkpoint_copy}" in error.remedy


@pytest.mark.parametrize("script", [True, False])
def test_shards_of_deepspeed_are_answered_with_its_script(
    checkpoint_copy: Path, script: bool
) -> None:
    files = ["global_step40/mp_rank_00_model_states.pt", "latest", "scheduler.pt"]
    files += ["zero_to_fp32.py"] if script else []
    error = without_weights(checkpoint_copy, *files)
    assert "DeepSpeed" in error.what
    start = f"{checkpoint_copy}/zero_to_fp32.py" if script else "-m deepspeed.utils.zero_to_fp32"
    expected = f"python {start} {checkpoint_copy} {checkpoint_copy} --safe_serialization"
    assert error.remedy == expected


def test_pieces_without_a_config_are_named_too(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model_fsdp_0").mkdir()
    (tmp_path / "pytorch_model_fsdp_0" / ".metadata").touch()
    with pytest.raises(CheckpointError, match="FSDP"):
        identify(tmp_path)


@pytest.mark.parametrize("file", ["scheduler.pt", "optimizer.bin", "consolidated.00.pth"])
def test_a_trainer_s_state_is_no_pickled_model(checkpoint_copy: Path, file: str) -> None:
    error = without_weights(checkpoint_copy, file)
    assert "pickled" not in error.what
    assert "holds no weights" in error.what
