"""What a model is like inside, against definitions written out."""

from __future__ import annotations

import itertools

import pytest
import torch
import transformers

from pyr.probes import health


def test_the_mean_cosine_is_that_of_all_pairs() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(7, 5)
    pairs = itertools.combinations(hidden, 2)
    want = torch.stack([torch.cosine_similarity(a, b, dim=0) for a, b in pairs]).mean()
    assert health.mean_cosine(hidden) == pytest.approx(float(want), abs=1e-6)
    assert health.mean_cosine(torch.ones(4, 3)) == pytest.approx(1)


def test_the_effective_rank_is_that_of_the_singular_values() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(40, 6)
    share = torch.linalg.svdvals(matrix) / torch.linalg.svdvals(matrix).sum()
    want = float(torch.exp(-(share * share.log()).sum()))
    assert health.effective_rank(matrix) == pytest.approx(want, rel=1e-4)
    assert health.effective_rank(torch.eye(5)) == pytest.approx(5)
    flat = torch.outer(torch.arange(1.0, 9.0), torch.arange(1.0, 4.0))
    assert health.effective_rank(flat) == pytest.approx(1, abs=0.01)


def model_of(hidden_act: str):
    config = transformers.LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        hidden_act=hidden_act,
    )
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(config).eval()


def test_the_loss_is_the_models_own() -> None:
    model = model_of("silu")
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        out = model(ids, labels=ids)
    seen = health.look(model, ids)
    assert seen.loss == pytest.approx(out.loss.item(), rel=1e-5)
    assert seen.tokens == 19
    assert seen.logit_scale == pytest.approx(out.logits.std(dim=-1).mean().item(), rel=1e-5)


def test_neurons_that_never_fire_are_dead() -> None:
    model = model_of("relu2")
    with torch.no_grad():
        # A gate that is nothing, whatever comes: three of twelve neurons of one layer.
        model.model.layers[1].mlp.gate_proj.weight[:3] = 0
    texts = [torch.randint(0, 50, (1, 30)) for _ in range(4)]
    _, fired = health.firing(model, texts)
    shares = {name: float(1 - alive.double().mean()) for name, alive in fired.layers.items()}
    assert shares == {"model.layers.0.mlp.act_fn": 0, "model.layers.1.mlp.act_fn": 0.25}
    assert not model.model.layers[1].mlp.act_fn._forward_hooks


def test_a_smooth_activation_has_no_dead_neurons() -> None:
    _, fired = health.firing(model_of("silu"), [torch.arange(9)[None]])
    assert fired.layers == {}
