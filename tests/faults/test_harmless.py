"""Copies that compute the same, bit by bit."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from pyr import faults
from pyr.checkpoint import identify
from pyr.errors import UsageError


def logits(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return model(torch.arange(40)[None]).logits


def tied(folder):
    """The checkpoint, its output head and embeddings one tensor."""
    file, config = folder / "model.safetensors", folder / "config.json"
    kept = {name: each for name, each in load_file(file).items() if name != "lm_head.weight"}
    save_file(kept, file, metadata={"format": "pt"})
    config.write_text(json.dumps({**json.loads(config.read_text()), "tie_word_embeddings": True}))
    return folder


def halved(folder):
    """The checkpoint with weights that are exact in bfloat16, stored in float32."""
    file = folder / "model.safetensors"
    exact = {name: each.bfloat16().float() for name, each in load_file(file).items()}
    save_file(exact, file, metadata={"format": "pt"})
    return folder


def same(copy, source):
    return torch.equal(logits(copy), logits(source))


def test_saved_again_it_computes_the_same(tiny_checkpoint, tmp_path):
    assert same(faults.saved_again(tiny_checkpoint, tmp_path / "made"), tiny_checkpoint)


def test_in_shards_it_computes_the_same(tiny_checkpoint, tmp_path):
    copy = faults.in_shards(tiny_checkpoint, tmp_path / "made", size="40KB")
    assert len(list(copy.glob("*.safetensors"))) > 1
    assert same(copy, tiny_checkpoint)


def test_in_bfloat16_it_computes_the_same_if_its_weights_are_exact_in_it(checkpoint_copy, tmp_path):
    source = halved(checkpoint_copy)
    copy = faults.as_bfloat16(source, tmp_path / "made")
    assert identify(copy).digest != identify(source).digest
    assert same(copy, source)


def test_weights_that_are_not_exact_in_bfloat16_are_refused_by_name(tiny_checkpoint, tmp_path):
    with pytest.raises(UsageError, match="weight is not exact in bfloat16"):
        faults.as_bfloat16(tiny_checkpoint, tmp_path / "made")


def test_untied_it_computes_the_same(checkpoint_copy, tmp_path):
    source = tied(checkpoint_copy)
    copy = faults.untied(source, tmp_path / "made")
    assert "lm_head.weight" in load_file(copy / "model.safetensors")
    assert same(copy, source)


def test_what_is_not_tied_cannot_be_untied(tiny_checkpoint, tmp_path):
    with pytest.raises(UsageError, match="not tied"):
        faults.untied(tiny_checkpoint, tmp_path / "made")
