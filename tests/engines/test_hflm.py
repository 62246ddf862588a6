"""HFLM with what it lacks for models that other people made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from factories_architectures import save_tiny
from factories_model import byte_level_tokenizer
from lm_eval.api.instance import Instance

from pyr.checkpoint import identify
from pyr.engines import EngineSettings, open_model
from pyr.engines.hflm import ReferenceLM, padding_counts
from pyr.engines.loading import load_model
from pyr.errors import MeasureError
from pyr.probes.askable import faults

# The libraries warn of what tiny configs lack.
pytestmark = pytest.mark.filterwarnings("ignore")
CPU = EngineSettings(engine="reference", device="cpu").resolved()


def opened(folder: Path, batch_size: int = 8) -> ReferenceLM:
    return ReferenceLM(load_model(identify(folder), CPU), batch_size=batch_size)


def generation(prompt: str, number: int = 0) -> Any:
    options = {"until": ["\n\n"], "max_gen_toks": 12, "do_sample": False}
    return Instance("generate_until", {}, (prompt, options), number, ("said", number, 1))


# ------------------------------------------------------------------ tokens without rows


@pytest.fixture
def with_image(checkpoint_copy: Path) -> Path:
    tokenizer = byte_level_tokenizer()
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    tokenizer.save_pretrained(checkpoint_copy)
    return checkpoint_copy


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("loglikelihood", ("see <image> there", " yes")),
        ("loglikelihood", ("see", " <image>")),
        ("loglikelihood_rolling", ("see <image>",)),
        ("generate_until", ("see <image>", {"until": ["."]})),
    ],
)
@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_a_token_without_a_row_stops_what_uses_it_alone(
    with_image: Path, kind: str, arguments: tuple[Any, ...], engine: str
) -> None:
    settings = EngineSettings(engine=engine, device="cpu").resolved()
    lm: Any = open_model(identify(with_image), settings)
    assert "<image>" in " ".join(lm.notes)
    bad = Instance(kind, {}, arguments, 0, ("seen", 0, 1))
    good = Instance(kind, {}, ("see", *arguments[1:]), 1, ("seen", 1, 1))
    if arguments[1:] == (" <image>",):
        good = Instance(kind, {}, ("see", " it"), 1, ("seen", 1, 1))
    found = faults(lm, {"0": [bad], "1": [good]}, {})
    assert list(found) == ["0"]
    assert "'<image>' as token 600, and the embedding has 600 rows" in found["0"]
    with pytest.raises(MeasureError, match="600 rows"):
        getattr(lm, kind)([bad])
    assert len(getattr(lm, kind)([good])) == 1


# ------------------------------------------------------------------ padding


@pytest.mark.parametrize(("kind", "counts"), [("bert", True), ("gpt2", False), ("mamba", False)])
def test_a_model_that_looks_at_what_stands_behind_a_text_is_told(
    tmp_path: Path, kind: str, counts: bool
) -> None:
    assert padding_counts(save_tiny(kind, tmp_path)) is counts


def test_scores_of_such_a_model_are_those_of_single_requests(tmp_path: Path) -> None:
    save_tiny("bert", tmp_path)
    pairs = [("a river", " x"), ("a b c d e f g h", " it was"), ("def area(r):", " return 3")]
    asked = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    lm = opened(tmp_path)
    together = lm.loglikelihood(asked)
    assert together == [opened(tmp_path, 1).loglikelihood([each])[0] for each in asked]
    assert "one by one" in " ".join(lm.notes)


def test_padding_is_tried_in_texts_as_long_as_those_that_are_asked(tmp_path: Path) -> None:
    # Doge keeps the 16 keys that matter most: shorter texts know nothing of it.
    model = save_tiny("doge", tmp_path)
    assert not padding_counts(model, range(4), 8)
    pairs = [("a " * 30, " x"), ("one two three four five " * 4, " it was"), ("a river", " b")]
    asked = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    alone = [opened(tmp_path, 1).loglikelihood([each])[0][0] for each in asked]
    assert [each for each, _ in opened(tmp_path).loglikelihood(asked)] == alone


@pytest.mark.parametrize("kind", ["rwkv", "bart", "gpt2"])
def test_what_a_model_writes_is_what_it_writes_alone(tmp_path: Path, kind: str) -> None:
    save_tiny(kind, tmp_path)
    asked = [generation(text, i) for i, text in enumerate(["The river", "def area(r) x y z", "a"])]
    lm = opened(tmp_path)
    together = lm.generate_until(asked)
    assert together == [opened(tmp_path, 1).generate_until([each])[0] for each in asked]
    assert ("one by one" in " ".join(lm.notes)) is (kind != "gpt2")


# ------------------------------------------------------------------ the ends of texts


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_without_an_end_token_an_answer_ends_at_its_stops_and_its_length(
    checkpoint_copy: Path, engine: str
) -> None:
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        file = checkpoint_copy / name
        content = json.loads(file.read_text())
        for key in ("eos_token", "eos_token_id", "pad_token", "pad_token_id"):
            content.pop(key, None)
        file.write_text(json.dumps(content))
    settings = EngineSettings(engine=engine, device="cpu").resolved()
    lm: Any = open_model(identify(checkpoint_copy), settings)
    assert lm.tokenizer.eos_token_id is None
    said = lm.generate_until([generation("The river"), generation("x", 1)])
    assert all(said)


def test_a_model_that_transformers_cannot_let_write_says_so(tmp_path: Path) -> None:
    save_tiny("prophetnet", tmp_path)
    lm = opened(tmp_path)
    found = faults(lm, {"0": [generation("The river")]}, {})
    assert "ProphetNetForCausalLM cannot go on from a text" in found["0"]


def test_a_config_without_a_length_takes_lm_evals_own(checkpoint_copy: Path) -> None:
    loaded = load_model(identify(checkpoint_copy), CPU)
    loaded.model.config.max_position_embeddings = -1
    assert ReferenceLM(loaded, batch_size=1).max_length == 2048
