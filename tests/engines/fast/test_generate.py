from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance

from pyr.engines.fast import slots
from pyr.engines.fast.decode import Beginning, Stops, arrange_prompts
from pyr.engines.fast.generate import generate_until
from pyr.engines.fast.sampling import sampler
from pyr.errors import ContentError, MeasureError

MAX_LENGTH = 256
WORDS = "def return class import self None True for in if else while print value name".split()


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(tiny_checkpoint)


def make_model(kind: str, tokenizer: Any) -> Any:
    """A random two-layer model in float32, with an end of text that is likely but not certain."""
    common: dict[str, Any] = dict(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.4,
    )
    modern = dict(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=MAX_LENGTH,
    )
    torch.manual_seed(1)
    if kind == "gpt2":
        old = dict(n_positions=MAX_LENGTH, n_embd=32, n_layer=2, n_head=4)
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**common, **old))
    else:
        config = getattr(transformers, f"{kind}Config")(**common, **modern)
        model = getattr(transformers, f"{kind}ForCausalLM")(config)
    # Random weights hardly ever say one given token: every fifteenth word ends the text.
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, *range(15, 600, 15)]
    return model.eval()


@pytest.fixture(scope="module")
def llama(tokenizer: Any) -> Any:
    return make_model("Llama", tokenizer)


def prompts(number: int, *, shared: str = "", seed: int = 0) -> list[str]:
    dice = random.Random(seed)
    return [shared + " ".join(dice.choices(WORDS, k=dice.randint(1, 30))) for _ in range(number)]


def ask(contexts: list[str], **options: Any) -> list[Instance]:
    options = {"until": [], "max_gen_toks": 24, "do_sample": False, **options}
    return [
        Instance("generate_until", {}, (context, options), index, metadata=("task", index, 1))
        for index, context in enumerate(contexts)
    ]


def answer(model: Any, tokenizer: Any, requests: list[Instance], **how: Any) -> list[str]:
    return generate_until(model, tokenizer, requests, **{"max_length": MAX_LENGTH, **how})


def by_transformers(model: Any, tokenizer: Any, context: str, number: int = 24) -> list[int]:
    ids = torch.tensor([tokenizer(context)["input_ids"]])
    said = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=number
    )
    return said[0, ids.shape[1] :].tolist()


def by_hflm(model: Any, tokenizer: Any, requests: list[Instance]) -> list[str]:
    from lm_eval.models.huggingface import HFLM

    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1, max_length=MAX_LENGTH)
    return lm.generate_until(requests, disable_tqdm=True)


@pytest.mark.parametrize("num_slots", [1, 3, 8])
@pytest.mark.parametrize("kind", ["Llama", "Arcee", "Qwen2", "gpt2"])
def test_greedy_text_is_that_of_transformers_item_by_item(
    kind: str, num_slots: int, tokenizer: Any
) -> None:
    model = make_model(kind, tokenizer)
    contexts = prompts(8) + prompts(6, shared="class Value: return self.value if self else None ")
    expected = [by_transformers(model, tokenizer, context) for context in contexts]
    got = answer(model, tokenizer, ask(contexts), slots=num_slots)
    assert got == [tokenizer.decode(said, skip_special_tokens=True) for said in expected]
    assert len({len(said) for said in expected}) > 1, "no answer ended early: the test is too weak"


def test_stop_strings_cut_as_in_hflm(tokenizer: Any, llama: Any) -> None:
    requests = ask(prompts(10), until=["e", "\n", "ter", " s"], max_gen_toks=40)
    assert answer(llama, tokenizer, requests) == by_hflm(llama, tokenizer, requests)


def test_a_long_context_loses_its_beginning_as_in_hflm(tokenizer: Any, llama: Any) -> None:
    contexts = [" ".join(WORDS * 20), *prompts(3)]
    requests = ask(contexts, max_gen_toks=200)
    assert answer(llama, tokenizer, requests) == by_hflm(llama, tokenizer, requests)


def test_an_answer_as_long_as_the_model_leaves_half_the_room_to_the_prompt(tokenizer: Any) -> None:
    endless = make_model("Llama", tokenizer)
    endless.generation_config.eos_token_id = None
    with torch.no_grad():
        endless.lm_head.weight[tokenizer.eos_token_id] = 0.0
    context = " ".join(WORDS * 20)
    kept = tokenizer.decode(tokenizer(context)["input_ids"][-MAX_LENGTH // 2 :])
    long = answer(endless, tokenizer, ask([context], max_gen_toks=1280))
    expected = by_transformers(endless, tokenizer, kept, MAX_LENGTH // 2)
    assert long == [tokenizer.decode(expected, skip_special_tokens=True)]


def test_options_of_the_checkpoint_do_not_leak(tokenizer: Any, llama: Any) -> None:
    other = make_model("Llama", tokenizer)
    other.generation_config.update(repetition_penalty=5.0, do_sample=True, temperature=3.0)
    requests = ask(prompts(4))
    assert answer(other, tokenizer, requests) == answer(llama, tokenizer, requests)


def test_a_penalty_asked_for_is_that_of_transformers(tokenizer: Any, llama: Any) -> None:
    context = prompts(1)[0]
    ids = torch.tensor([tokenizer(context)["input_ids"]])
    said = llama.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, repetition_penalty=1.3
    )
    expected = tokenizer.decode(said[0, ids.shape[1] :], skip_special_tokens=True)
    assert answer(llama, tokenizer, ask([context], repetition_penalty=1.3)) == [expected]


# ------------------------------------------------------------------ sampling


SAMPLED = {"do_sample": True, "temperature": 0.9, "top_p": 0.9}


def test_a_sampled_answer_is_the_same_in_any_batch(tokenizer: Any, llama: Any) -> None:
    requests = ask(prompts(7), **SAMPLED)
    together = answer(llama, tokenizer, requests)
    backwards = answer(llama, tokenizer, requests[::-1], slots=3)[::-1]
    alone = [answer(llama, tokenizer, [request])[0] for request in requests]
    assert together == backwards == alone


def test_repeats_of_a_request_and_other_seeds_are_drawn_anew(tokenizer: Any, llama: Any) -> None:
    request = ask(prompts(1), **SAMPLED)
    first, second = answer(llama, tokenizer, request * 2)
    (other,) = answer(llama, tokenizer, request, seed=1)
    assert len({first, second, other}) == 3


def test_draws_follow_the_warped_distribution() -> None:
    chooser = sampler({"do_sample": True, "temperature": 0.5, "top_k": 3})
    logits_1V = torch.tensor([[1.0, 0.0, 0.8, 0.5, -3.0]])
    generator = torch.Generator().manual_seed(0)
    draws = [chooser.choose(logits_1V, [0], generator) for _ in range(4000)]
    seen = torch.bincount(torch.tensor(draws), minlength=5) / len(draws)
    expected = (logits_1V[0] / 0.5).softmax(0) * torch.tensor([1, 0, 1, 1, 0])
    assert torch.allclose(seen.double(), (expected / expected.sum()).double(), atol=0.03)


@pytest.mark.parametrize("options", [{"num_beams": 4}, {"do_sample": True, "temperature": 0.0}])
def test_an_option_without_meaning_is_refused(
    options: dict[str, Any], tokenizer: Any, llama: Any
) -> None:
    with pytest.raises(ContentError):
        answer(llama, tokenizer, ask(["def"], **options))


# ------------------------------------------------------------------ where an answer ends


def ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_a_stop_is_found_across_tokens_and_bytes(tokenizer: Any) -> None:
    stops = Stops(tokenizer, ["\u00e9\n\u4e2d!"], [])
    single = [tokenizer.convert_tokens_to_ids(c) for c in tokenizer.tokenize("x\u00e9\n\u4e2d!y")]
    assert len(single) > 5, "the tokenizer knows these characters: choose others"
    reached = [stops.reached(single[: n + 1]) for n in range(len(single))]
    assert reached.index(True) == len(single) - 2
    assert stops.text(single) == "x"


def test_a_stop_that_is_a_special_token_ends_and_cuts(tokenizer: Any) -> None:
    stops = Stops(tokenizer, ["<|im_start|>"], [])
    said = ids(tokenizer, "return value<|im_start|>")
    assert [stops.reached(said[: n + 1]) for n in range(len(said))].index(True) == len(said) - 1
    assert stops.text(said) == "return value"


def test_a_stop_that_holds_a_special_token_cuts_at_its_first_letter(tokenizer: Any) -> None:
    stops = Stops(tokenizer, ["e\n<|im_start|>user"], [])
    said = ids(tokenizer, "<|im_start|>return value\n<|im_start|>user")
    assert not stops.reached(said[:-1])
    assert stops.reached(said)
    assert stops.text(said) == "return valu"


def test_an_end_that_is_no_special_token_stays_in_the_text(tokenizer: Any) -> None:
    said = ids(tokenizer, "return value")
    stops = Stops(tokenizer, [], [said[-1]])
    assert stops.reached(said)
    assert stops.text(said) == "return value"


# ------------------------------------------------------------------ work and memory


def count_tokens(model: Any) -> list[int]:
    """Grows by the number of tokens of each forward pass from now on."""
    counts: list[int] = []

    def note(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        counts.append(kwargs["input_ids"].numel())

    model.register_forward_pre_hook(note, with_kwargs=True)
    return counts


def test_a_shared_beginning_is_computed_once(tokenizer: Any) -> None:
    model = make_model("Llama", tokenizer)
    shared = " ".join(WORDS * 6) + " "
    contexts = [f"{shared}{word}" for word in WORDS]
    separate = answer(model, tokenizer, ask(contexts[:1], max_gen_toks=1))
    counts = count_tokens(model)
    together = answer(model, tokenizer, ask(contexts, max_gen_toks=1))
    assert together[:1] == separate
    assert sum(counts) < len(ids(tokenizer, shared)) + 10 * len(contexts)


def test_equal_requests_are_computed_once(tokenizer: Any) -> None:
    model = make_model("Llama", tokenizer)
    counts = count_tokens(model)
    same = answer(model, tokenizer, ask(["def value"] * 5, max_gen_toks=3))
    assert len(set(same)) == 1
    assert sum(counts) <= len(ids(tokenizer, "def value")) + 3


def test_the_cache_keeps_to_its_budget_and_the_texts_stay_the_same(
    tokenizer: Any, llama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    place = slots.Blocks.place

    def noted(self: Any, owner: Any, length: int, *, spare: int = 0) -> Any:
        row = place(self, owner, length, spare=spare)
        sizes.append((sum(block.num_tokens for block in self.blocks), len(self.rows)))
        return row

    requests = ask(prompts(12, seed=3), max_gen_toks=120)
    expected = answer(llama, tokenizer, requests)
    monkeypatch.setattr(slots.Blocks, "place", noted)
    assert answer(llama, tokenizer, requests, batch_tokens=512) == expected
    assert max(size for size, _ in sizes) <= 512
    assert max(num_rows for _, num_rows in sizes) > 1


def test_out_of_memory_halves_the_rows_and_goes_on(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("Llama", tokenizer)
    requests = ask(prompts(9, seed=5))
    expected = answer(model, tokenizer, requests)

    def full(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if kwargs["input_ids"].shape[0] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")

    model.register_forward_pre_hook(full, with_kwargs=True)
    assert answer(model, tokenizer, requests) == expected


def test_out_of_memory_with_one_row_is_an_error(tokenizer: Any) -> None:
    model = make_model("Llama", tokenizer)

    def full(module: Any, args: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    model.register_forward_pre_hook(full)
    with pytest.raises(MeasureError, match="single row"):
        answer(model, tokenizer, ask(["def value"]))


def test_logits_that_are_no_numbers_name_the_request(tokenizer: Any) -> None:
    model = make_model("Llama", tokenizer)
    bad = ids(tokenizer, "<|im_start|>")
    with torch.no_grad():
        model.model.embed_tokens.weight[bad] = float("nan")
    requests = ask(["def value", "return<|im_start|>", "class"])
    with pytest.raises(MeasureError, match="task, document 1"):
        answer(model, tokenizer, requests)


def test_a_sliding_window_is_said_to_be_unsupported(tokenizer: Any, llama: Any) -> None:
    config = transformers.MistralConfig(
        vocab_size=600, hidden_size=32, intermediate_size=48, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, sliding_window=16,
    )  # fmt: skip
    assert "SlidingWindow" in slots.unsupported(transformers.MistralForCausalLM(config))
    assert slots.unsupported(llama) == ""


token_lists = st.lists(st.lists(st.integers(0, 1), max_size=90), max_size=20)


@given(token_lists)
def test_beginnings_are_of_their_prompts_and_needed_one_path_at_a_time(
    lists: list[list[int]],
) -> None:
    lists = [[0] * 40 + tokens for tokens in lists]
    placed = arrange_prompts(lists)
    assert sorted(each.index for each in placed) == list(range(len(lists)))
    held: list[Beginning] = []
    let_go: set[Beginning] = set()
    for each in placed:
        path = each.beginning.path() if each.beginning else []
        assert all(tuple(lists[each.index][: len(b.tokens)]) == b.tokens for b in path)
        let_go |= {b for b in held if b not in path}
        assert not let_go & set(path)
        held = path
