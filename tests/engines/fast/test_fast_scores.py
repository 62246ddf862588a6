"""The fast engine against lm-eval's own HFLM, request by request, on tiny random models."""

from __future__ import annotations

import numpy as np
import pytest
from factories_fast import FAMILIES, TOKENIZER, instances, reference, requests, texts, tiny_model

from pyr.engines.fast.plan import Budget
from pyr.errors import MeasureError

BUDGETS = {
    "a few tokens": Budget(tokens=23, scored=7, cell_rows=8),
    "the default": Budget(),
    "all at once": Budget(tokens=10**6, scored=10**6, cell_rows=10**6, cell_overhead=10**12),
}


def fast(model, budget: Budget | None = None, **options):
    from pyr.engines.fast.lm import FastLM
    from pyr.engines.loading import Loaded

    return FastLM(Loaded(model, TOKENIZER), budget=budget, **options)


@pytest.fixture(scope="module", params=FAMILIES)
def judged(request):
    """A model and what HFLM says about all requests."""
    model = tiny_model(request.param)
    lm = reference(model)
    scores = lm.loglikelihood(instances("loglikelihood", requests()), disable_tqdm=True)
    rolling = lm.loglikelihood_rolling(
        instances("loglikelihood_rolling", [(text,) for text in texts()]), disable_tqdm=True
    )
    return model, np.asarray(scores, float), np.asarray(rolling, float)


def assert_close(seen: np.ndarray, expected: np.ndarray) -> None:
    assert (np.abs(seen - expected) <= 2e-5 + 1e-6 * np.abs(expected)).all()


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
def test_scores_and_greedy_flags_are_those_of_hflm(judged, budget: Budget) -> None:
    model, expected, _ = judged
    lm = fast(model, budget)
    seen = np.asarray(lm.loglikelihood(instances("loglikelihood", requests())), float)
    assert_close(seen[:, 0], expected[:, 0])
    assert (seen[:, 1] == expected[:, 1]).all()
    assert lm.scorer.work.tokens == lm.scorer.work.unique_tokens
    assert lm.scorer.work.most_tokens <= budget.tokens


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
def test_rolling_scores_are_those_of_hflm(judged, budget: Budget) -> None:
    model, _, expected = judged
    asked = instances("loglikelihood_rolling", [(text,) for text in texts()])
    assert_close(np.asarray(fast(model, budget).loglikelihood_rolling(asked)), expected)


def test_a_budget_of_one_token_changes_nothing() -> None:
    model = tiny_model("llama")
    asked = instances("loglikelihood", requests()[:8])
    lm = fast(model, Budget(tokens=1, scored=1, cell_rows=1, cell_overhead=0))
    seen = np.asarray(lm.loglikelihood(asked), float)
    expected = np.asarray(reference(model).loglikelihood(asked, disable_tqdm=True), float)
    assert_close(seen[:, 0], expected[:, 0])
    assert lm.scorer.work.most_tokens == 1


def test_asking_in_several_calls_changes_nothing(judged) -> None:
    model, expected, _ = judged
    lm = fast(model)
    asked = instances("loglikelihood", requests())
    seen = []
    for start in range(0, len(asked), 7):
        seen += lm.loglikelihood(asked[start : start + 7])
    assert_close(np.asarray(seen, float)[:, 0], expected[:, 0])


def test_some_greedy_flags_are_true() -> None:
    # The parity of flags says nothing if no random model ever agrees with its text.
    model = tiny_model("llama")
    lm = fast(model)
    context = "import torch"
    ids = TOKENIZER(context, return_tensors="pt")["input_ids"]
    best = model(ids).logits[0, -1].argmax().item()
    (seen,) = lm._loglikelihood_tokens([(None, ids[0].tolist(), [best])])
    assert seen[1] is True


def test_of_equal_logits_the_first_is_the_greedy_one() -> None:
    import torch

    model = tiny_model("llama")
    context = TOKENIZER("import torch")["input_ids"]
    best = model(torch.tensor([context])).logits[0, -1].argmax().item()
    twins = sorted([best, best - 1 if best else 1])
    with torch.no_grad():
        model.lm_head.weight[twins] = model.lm_head.weight[best].clone()
    seen = fast(model)._loglikelihood_tokens([(None, context, [twin]) for twin in twins])
    assert [greedy for _, greedy in seen] == [True, False]
    assert seen[0][0] == seen[1][0]


def test_a_shared_beginning_is_computed_once_over_several_calls() -> None:
    model = tiny_model("llama")
    shots = "from pyr.errors import PyrError, UsageError, ContentError, StoreError\n" * 2
    first = instances("loglikelihood", [(shots + "one", " a"), (shots + "two", " b")])
    later = instances("loglikelihood", [(shots + "three", " a"), (shots + "four", " b")])
    lm = fast(model)
    lm.loglikelihood(first)
    before = lm.scorer.work.tokens
    seen = lm.loglikelihood(later)
    assert lm.scorer.work.tokens - before < 12
    expected = reference(model).loglikelihood(later, disable_tqdm=True)
    assert_close(np.asarray(seen, float)[:, 0], np.asarray(expected, float)[:, 0])


@pytest.mark.parametrize("how", ["in place", "replaced"])
def test_a_kept_beginning_does_not_outlive_its_weights(how: str) -> None:
    import torch

    model = tiny_model("llama")
    shots = "from pyr.errors import PyrError, UsageError, ContentError, StoreError\n" * 2
    asked = instances("loglikelihood", [(shots + "one", " a"), (shots + "two", " b")])
    lm = fast(model)
    lm.loglikelihood(asked)
    torch.manual_seed(1)
    weight = model.model.layers[0].self_attn.k_proj.weight
    if how == "in place":
        with torch.no_grad():
            weight.copy_(torch.randn_like(weight) * 0.2)
    else:
        model.model.layers[0].self_attn.k_proj.weight = torch.nn.Parameter(
            torch.randn_like(weight) * 0.2
        )
    expected = reference(model).loglikelihood(asked, disable_tqdm=True)
    assert_close(
        np.asarray(lm.loglikelihood(asked), float)[:, 0], np.asarray(expected, float)[:, 0]
    )


def test_the_head_runs_only_where_something_is_scored() -> None:
    lm = fast(tiny_model("llama"))
    context = "import torch, transformers and numpy"
    lm.loglikelihood(instances("loglikelihood", [(context, " a"), (context, " b")]))
    assert lm.scorer.work.scored == lm.scorer.work.unique_scored == 1


def test_the_model_is_left_as_it_was_found() -> None:
    model = tiny_model("llama")
    before = model.config._attn_implementation
    fast(model).loglikelihood(instances("loglikelihood", [("a", " b")]))
    assert model.config._attn_implementation == before == "sdpa"


def test_running_out_of_memory_halves_the_budget_and_goes_on(monkeypatch) -> None:
    import torch

    model = tiny_model("llama")
    asked = instances("loglikelihood", requests())
    expected = np.asarray(reference(model).loglikelihood(asked, disable_tqdm=True), float)
    lm = fast(model, Budget(tokens=512))
    forward = model.forward

    def small_memory(*args, **kwargs):
        if kwargs["input_ids"].shape[1] > 100:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return forward(*args, **kwargs)

    monkeypatch.setattr(model, "forward", small_memory)
    seen = lm.loglikelihood(asked)
    assert lm.scorer.budget.tokens == 64
    assert_close(np.asarray(seen, float)[:, 0], expected[:, 0])


def test_memory_for_not_even_one_token_is_a_measure_error(monkeypatch) -> None:
    model = tiny_model("llama")

    def no_memory(*args, **kwargs):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] can't allocate memory")

    monkeypatch.setattr(model, "forward", no_memory)
    with pytest.raises(MeasureError, match="not even one token"):
        fast(model).loglikelihood(instances("loglikelihood", [("a", " b")]))


def test_another_failure_of_the_model_is_not_taken_for_memory(monkeypatch) -> None:
    model = tiny_model("llama")

    def broken(*args, **kwargs):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(model, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        fast(model).loglikelihood(instances("loglikelihood", [("a", " b")]))


def test_a_nan_logit_stops_with_the_request_named() -> None:
    import torch

    model = tiny_model("llama")
    (token,) = TOKENIZER(";")["input_ids"]
    with torch.no_grad():
        model.model.embed_tokens.weight[token] = float("nan")
    asked = instances("loglikelihood", [("sound text", " a"), ("x = 1;", " rest")])
    with pytest.raises(MeasureError, match="a logit is NaN") as caught:
        fast(model).loglikelihood(asked)
    assert "x = 1;" in caught.value.where
    with pytest.raises(MeasureError) as caught:
        fast(model).loglikelihood_rolling(instances("loglikelihood_rolling", [("a; b",)]))
    assert "a; b" in caught.value.where


def test_a_continuation_that_the_tokenizer_merges_away_is_named() -> None:
    # "import" is one token, "impor" is more: nothing is left to score.
    lm = fast(tiny_model("llama"))
    assert len(lm.tok_encode("import")) < len(lm.tok_encode("impor"))
    with pytest.raises(MeasureError, match="no token of its own") as caught:
        lm.loglikelihood(instances("loglikelihood", [("impor", "t")]))
    assert "'impor'" in caught.value.where


def test_a_context_of_nothing_but_space_is_named() -> None:
    with pytest.raises(MeasureError, match="no token"):
        fast(tiny_model("llama")).loglikelihood(instances("loglikelihood", [("  ", "word")]))


def test_no_requests_give_no_answers() -> None:
    lm = fast(tiny_model("llama"))
    assert lm.loglikelihood([]) == []
    assert lm.loglikelihood_rolling([]) == []


@pytest.mark.parametrize("add_bos_token", [None, True, False])
def test_texts_are_encoded_as_hflm_encodes_them(add_bos_token: bool | None) -> None:
    lm = fast(tiny_model("llama"))
    lm.add_bos_token = add_bos_token
    asked = ["", "word", "<|endoftext|>word", " two words", "<|im_start|>user\nHi<|im_end|>\n"]
    for special in (None, True, False):
        seen = lm.encode(asked, special)
        for text in asked:
            assert seen[text].tolist() == lm.tok_encode(text, add_special_tokens=special)
