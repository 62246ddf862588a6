"""The health probe: what is sound says so, and what is broken is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pyr.checkpoint import identify
from pyr.engines import EngineSettings
from pyr.engines.model_reuse import ModelReuse
from pyr.probes import Chunk, Subject
from pyr.probes.health import Health


def examine(subject: Subject, folder: Path) -> Chunk:
    """The probe's one chunk on the checkpoint in `folder`."""
    found = identify(folder)
    settings = EngineSettings(device="cpu").resolved()
    opened = replace(subject, checkpoint=found, settings=settings, models=ModelReuse())
    [chunk] = Health({}, name="health").run(opened)
    return chunk


def broken(chunk: Chunk) -> dict[str, str]:
    return {each.item: each.responses for each in chunk.records if each.value == 0 and each.unit}


def test_a_checkpoint_on_the_way_without_its_optimizer_passes_with_a_note(
    subject: Subject, checkpoint_copy: Path
) -> None:
    (checkpoint_copy / "trainer_state.json").write_text('{"global_step": 500}')
    chunk = examine(subject, checkpoint_copy)
    assert broken(chunk) == {}
    assert "its training cannot go on" in chunk.notes[0]


def test_a_sound_model_that_was_handed_on_passes_without_a_note(
    subject: Subject, tiny_checkpoint: Path
) -> None:
    chunk = examine(subject, tiny_checkpoint)
    assert broken(chunk) == {}
    assert not chunk.notes
    metrics = {f"{each.task}/{each.metric}" for each in chunk.records}
    assert {"health/finite", "health/tokenizer_round_trip", "health/chat_template"} <= metrics
    inside = {"condition/loss", "condition/cosine", "condition/logit_scale", "condition/head_rank"}
    assert inside <= metrics


def test_a_resumable_folder_that_lost_its_optimizer_is_broken(
    subject: Subject, checkpoint_copy: Path
) -> None:
    (checkpoint_copy / "scheduler.pt").write_bytes(b"cut short")
    chunk = examine(subject, checkpoint_copy)
    found = broken(chunk)
    assert found["optimizer"] == "missing: optimizer.pt"
    assert "cannot be loaded" in found["scheduler"]
    assert set(found) == {"optimizer", "scheduler", "random state", "place in the data"}
    assert not chunk.notes


@pytest.mark.parametrize(
    ("template", "item", "said"),
    [
        ("{{ messages[7].content }}{{ raise_exception('no') }}", "renders", "cannot be rendered"),
        ("{{ messages[0].content }}", "renders", "is not in it"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "stop token", "never end"),
        (
            "{% for m in messages %}{{ m.content }}<|endoftext|>{% endfor %}",
            "stop token",
            "'<|endoftext|>'",
        ),
    ],
)
def test_a_template_that_does_not_end_an_answer_is_named(
    subject: Subject, checkpoint_copy: Path, template: str, item: str, said: str
) -> None:
    (checkpoint_copy / "chat_template.jinja").write_text(template)
    assert said in broken(examine(subject, checkpoint_copy))[item]


def test_a_loss_out_of_reason_is_named(subject: Subject, checkpoint_copy: Path) -> None:
    log = {"global_step": 9, "log_history": [{"loss": 2.0}]}
    (checkpoint_copy / "trainer_state.json").write_text(json.dumps(log))
    found = broken(examine(subject, checkpoint_copy))
    assert "the training logged 2.00 last" in found["against the trainer's last"]


def test_tied_weights_that_differ_are_broken(subject: Subject, checkpoint_copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    config = json.loads((checkpoint_copy / "config.json").read_text())
    (checkpoint_copy / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    assert "differ" in broken(examine(subject, checkpoint_copy))["output head and embedding"]
    file = checkpoint_copy / "model.safetensors"
    tensors = load_file(file)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, file, metadata={"format": "pt"})
    assert broken(examine(subject, checkpoint_copy)) == {}


def test_shards_left_over_beside_the_weights_are_not_the_checkpoint(
    subject: Subject, checkpoint_copy: Path
) -> None:
    import torch
    from safetensors.torch import save_file

    stale = checkpoint_copy / "model-00001-of-00002.safetensors"
    save_file({"gone": torch.tensor([float("nan")])}, stale, metadata={"format": "pt"})
    assert broken(examine(subject, checkpoint_copy)) == {}


def test_untied_weights_have_their_check_too(subject: Subject, checkpoint_copy: Path) -> None:
    """A copy whose weights were untied compares with a baseline that ties them."""
    config = json.loads((checkpoint_copy / "config.json").read_text())
    assert not config.get("tie_word_embeddings")
    found = examine(subject, checkpoint_copy).records
    checks = [each for each in found if each.metric == "tied_weights"]
    assert [each.value for each in checks] == [1]


# ------------------------------------------------------------------ weights


def with_tensors(folder: Path, changes: dict[str, torch.Tensor]) -> None:
    file = folder / "model.safetensors"
    save_file({**load_file(file), **changes}, file, metadata={"format": "pt"})


UP = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize("value", [0.0, 0.02])
def test_a_matrix_of_one_value_is_broken(
    subject: Subject, checkpoint_copy: Path, value: float
) -> None:
    shape = load_file(checkpoint_copy / "model.safetensors")[UP].shape
    with_tensors(checkpoint_copy, {UP: torch.full(shape, value)})
    assert broken(examine(subject, checkpoint_copy)) == {UP: f"all its values are {value:g}"}


def test_a_model_that_says_the_same_of_every_token_is_broken(
    subject: Subject, checkpoint_copy: Path
) -> None:
    with_tensors(checkpoint_copy, {"model.norm.weight": torch.zeros(32)})
    found = broken(examine(subject, checkpoint_copy))
    assert found["fixed texts"] == "every token gets the same logit, whatever the text"


def test_a_norm_of_zeros_among_others_is_broken(subject: Subject, checkpoint_copy: Path) -> None:
    norm = "model.layers.1.input_layernorm.weight"
    with_tensors(checkpoint_copy, {norm: torch.zeros(32)})
    assert broken(examine(subject, checkpoint_copy)) == {norm: "all its values are 0"}


def test_tensors_that_the_model_does_not_use_are_broken_by_name(
    subject: Subject, checkpoint_copy: Path
) -> None:
    bias = "model.layers.0.self_attn.q_proj.bias"
    with_tensors(checkpoint_copy, {bias: torch.ones(32)})
    assert broken(examine(subject, checkpoint_copy)) == {
        bias: "the config's model has no place for it"
    }


def test_eight_bit_floats_are_looked_at(subject: Subject, checkpoint_copy: Path) -> None:
    held = load_file(checkpoint_copy / "model.safetensors")[UP]
    with_tensors(checkpoint_copy, {UP: held.to(torch.float8_e4m3fn)})
    assert broken(examine(subject, checkpoint_copy)) == {}
    held[0, 0] = float("nan")
    with_tensors(checkpoint_copy, {UP: held.to(torch.float8_e4m3fn)})
    assert "not finite" in broken(examine(subject, checkpoint_copy))[UP]
