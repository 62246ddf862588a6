"""The self-check: what it accepts, what it refuses, and that its outcome is kept."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from pathlib import Path

import pytest
from factories_fast import FAMILIES, TOKENIZER, UNSUPPORTED, tiny_model

from pyr.checkpoint import identify
from pyr.engines import EngineSettings
from pyr.engines.loading import Loaded

CPU = EngineSettings(device="cpu", dtype="float32")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "pyr" / "selfcheck"


@pytest.mark.parametrize("family", ["arcee", "gpt2"])
def test_plain_causal_models_agree_with_the_reference(family: str) -> None:
    from pyr.engines.fast.selfcheck import run

    outcome = run(Loaded(tiny_model(family, max_position_embeddings=2048), TOKENIZER))
    assert outcome.agrees, outcome.reason
    assert outcome.requests > 150


@pytest.mark.parametrize("family", FAMILIES)
def test_a_short_dtype_is_held_to_the_rounding_of_the_reference(family: str) -> None:
    import torch

    from pyr.engines.fast.selfcheck import run

    model = tiny_model(family, max_position_embeddings=2048).to(torch.bfloat16)
    weights = {name: each.clone() for name, each in model.state_dict().items()}
    outcome = run(Loaded(model, TOKENIZER))
    assert outcome.agrees, outcome.reason
    assert outcome.largest_difference > 2e-5
    # What was scored in float32 to judge by is as it was.
    for name, each in model.state_dict().items():
        assert each.dtype == weights[name].dtype
        assert torch.equal(each, weights[name])


@pytest.mark.parametrize("family", UNSUPPORTED)
def test_other_attention_is_refused_before_it_is_run(family: str) -> None:
    from pyr.engines.fast.selfcheck import unsupported

    assert unsupported(tiny_model(family))


def test_positions_that_depend_on_the_batch_are_refused() -> None:
    from pyr.engines.fast.selfcheck import unsupported

    dynamic = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    assert "dynamic" in unsupported(tiny_model("llama", rope_parameters=dynamic))


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_either_name_of_the_keys_and_values_is_taken(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyr.engines import cache_keyword
    from pyr.engines.fast.selfcheck import run, unsupported

    model = tiny_model("llama", max_position_embeddings=2048)
    theirs, forward = cache_keyword(model), model.forward

    def renamed(*args, position_ids=None, logits_to_keep=0, **kwargs):
        if name in kwargs:
            kwargs[theirs] = kwargs.pop(name)
        return forward(*args, position_ids=position_ids, logits_to_keep=logits_to_keep, **kwargs)

    taken = ["position_ids", "logits_to_keep", name]
    kinds = [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY) for each in taken]
    renamed.__signature__ = inspect.Signature(kinds)
    monkeypatch.setattr(model, "forward", renamed)
    assert cache_keyword(model) == name and not unsupported(model)
    assert run(Loaded(model, TOKENIZER)).agrees


def test_a_model_without_keys_and_values_is_no_model_of_the_fast_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pyr.engines.fast.selfcheck import unsupported

    model = tiny_model("llama")
    monkeypatch.setattr(model, "forward", lambda position_ids, logits_to_keep: None)
    assert "takes no cache" in unsupported(model)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_that_is_scored_otherwise_is_caught(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from pyr.engines.fast.selfcheck import run

    model = tiny_model("llama", max_position_embeddings=2048).to(getattr(torch, dtype))
    forward = model.forward

    @functools.wraps(forward)
    def without_positions(*args, position_ids=None, **kwargs):
        return forward(*args, **kwargs)

    monkeypatch.setattr(model, "forward", without_positions)
    outcome = run(Loaded(model, TOKENIZER))
    assert not outcome.agrees
    assert "differ" in outcome.reason


def test_no_room_for_float32_is_said_and_the_weights_are_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    from pyr.engines.fast import selfcheck

    model = tiny_model("llama", max_position_embeddings=2048).to(torch.bfloat16)
    ask = selfcheck._ask

    def no_room(lm, asked):
        if lm.model.dtype == torch.float32:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return ask(lm, asked)

    monkeypatch.setattr(selfcheck, "_ask", no_room)
    outcome = selfcheck.run(Loaded(model, TOKENIZER))
    assert not outcome.agrees
    assert not outcome.kept
    assert "do not fit" in outcome.reason
    assert model.dtype == torch.bfloat16


def test_a_model_that_answers_otherwise_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyr.engines.fast import slots
    from pyr.engines.fast.selfcheck import run

    step = slots.Slots.step

    def off_by_one(self, rows, tokens):
        return step(self, rows, tokens).roll(1, dims=-1)

    monkeypatch.setattr(slots.Slots, "step", off_by_one)
    outcome = run(Loaded(tiny_model("llama", max_position_embeddings=2048), TOKENIZER))
    assert not outcome.agrees
    assert "answers differ" in outcome.reason


def test_a_model_that_fails_when_packed_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyr.engines.fast.selfcheck import run

    model = tiny_model("llama", max_position_embeddings=2048)
    forward = model.forward

    def no_extras(*args, **kwargs):
        if "packed_cells" in kwargs:
            raise TypeError("forward() got an unexpected keyword argument 'packed_cells'")
        return forward(*args, **kwargs)

    monkeypatch.setattr(model, "forward", no_extras)
    assert "cannot be run packed" in run(Loaded(model, TOKENIZER)).reason


def test_nan_weights_are_no_verdict_on_the_engine(own_cache: Path) -> None:
    import torch

    from pyr.engines.fast.selfcheck import check

    model = tiny_model("llama", max_position_embeddings=2048)
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    assert check(Loaded(model, TOKENIZER)).agrees
    assert not list(own_cache.glob("*"))


def test_the_outcome_is_kept_and_found_again(own_cache: Path, monkeypatch) -> None:
    from pyr.engines.fast import selfcheck

    model = tiny_model("llama", max_position_embeddings=2048)
    first = selfcheck.check(Loaded(model, TOKENIZER))
    assert len(list(own_cache.glob("*.json"))) == 1
    monkeypatch.setattr(selfcheck, "run", None)
    assert selfcheck.check(Loaded(model, TOKENIZER)) == first


def test_a_cache_that_cannot_be_written_only_costs_the_check_again(
    tmp_path: Path, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pyr.engines.fast import selfcheck

    in_the_way = tmp_path / "file"
    in_the_way.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(in_the_way))
    agreed = selfcheck.Outcome(True, "")
    monkeypatch.setattr(selfcheck, "run", lambda loaded: agreed)
    with caplog.at_level("INFO"):
        assert selfcheck.check(Loaded(tiny_model("llama"), TOKENIZER)) == agreed
    assert "cannot be kept" in caplog.text


def test_a_failure_that_may_pass_is_not_kept(own_cache: Path, monkeypatch) -> None:
    from pyr.engines.fast import selfcheck

    failed = selfcheck.Outcome(False, "out of memory", kept=False)
    monkeypatch.setattr(selfcheck, "run", lambda loaded: failed)
    assert selfcheck.check(Loaded(tiny_model("llama"), TOKENIZER)) == failed
    assert not list(own_cache.glob("*"))


def test_another_config_is_another_check() -> None:
    from pyr.engines.fast import selfcheck

    keys = {
        selfcheck._key(tiny_model("llama", num_hidden_layers=layers), TOKENIZER)
        for layers in (1, 2)
    }
    assert len(keys) == 2


def test_the_engine_opens_a_checkpoint(tiny_checkpoint: Path) -> None:
    from pyr.engines.fast import open_fast
    from pyr.engines.fast.lm import FastLM

    lm = open_fast(identify(tiny_checkpoint), CPU)
    assert isinstance(lm, FastLM)
    assert lm.notes == []
    half = open_fast(identify(tiny_checkpoint), dataclasses.replace(CPU, batch_size=4))
    assert (half.scorer.budget.tokens, lm.scorer.budget.tokens) == (512, 1024)


def test_an_unsupported_model_gets_the_reference_engine_and_a_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from pyr.engines.fast import open_fast
    from pyr.engines.fast.lm import FastLM

    folder = tmp_path / "mistral"
    tiny_model("mistral").save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    lm = open_fast(identify(folder), CPU)
    assert not isinstance(lm, FastLM)
    assert "sliding window" in lm.notes[0]
    assert lm.notes[0] in caplog.messages
