"""The vLLM engine by its interface: lm-eval's real VLLM class over a stand-in for vLLM."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories_vllm import lay_vllm

from pyr.checkpoint import identify
from pyr.engines import EngineSettings, open_model
from pyr.errors import CheckpointError, UsageError

SETTINGS = EngineSettings(engine="vllm", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(lay_vllm(tmp_path_factory.mktemp("site")))
        yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        del sys.modules[name]


def asked(kind: str, arguments: list[tuple]) -> list:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, each, index) for index, each in enumerate(arguments)]


def test_without_vllm_the_error_says_what_to_install(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed") as caught:
        open_model(identify(tiny_checkpoint), SETTINGS)
    assert 'pip install "pyr-lm[vllm]"' in caught.value.remedy


def test_scores_and_texts_come_through_lm_evals_class(vllm: None, tiny_checkpoint: Path) -> None:
    pairs = [("def value", " return"), ("class Value:", " pass"), ("", "import this")]
    how = {"until": ["\n"], "do_sample": False, "max_gen_toks": 8}
    seen, expected = (
        open_model(identify(tiny_checkpoint), replace(SETTINGS, engine=engine))
        for engine in ("vllm", "reference")
    )
    ours, theirs = (
        np.asarray(lm.loglikelihood(asked("loglikelihood", pairs), disable_tqdm=True), float)
        for lm in (seen, expected)
    )
    assert np.allclose(ours, theirs, atol=2e-5)
    texts = [
        lm.generate_until(asked("generate_until", [("def value", how)]), disable_tqdm=True)
        for lm in (seen, expected)
    ]
    assert texts[0] == texts[1]


def test_settings_reach_vllm(vllm: None, tiny_checkpoint: Path) -> None:
    open_model(identify(tiny_checkpoint), SETTINGS)
    made = sys.modules["vllm"].LLM.made[-1]
    assert made["model"] == identify(tiny_checkpoint).path
    assert (made["dtype"], made["trust_remote_code"]) == ("float32", False)


def test_a_model_that_vllm_cannot_load_is_a_checkpoint_error(
    vllm: None, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import vllm as stand_in

    def unknown(self: object, **settings: object) -> None:
        raise ValueError("Model architectures ['HomemadeForCausalLM'] are not supported")

    monkeypatch.setattr(stand_in.LLM, "__init__", unknown)
    with pytest.raises(CheckpointError, match="vLLM cannot load the model: Model architectures"):
        open_model(identify(tiny_checkpoint), SETTINGS)
