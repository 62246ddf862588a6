"""Every type of causal language model that transformers builds scores as stock lm-eval does.

By default ten types; all of them, with a table: pytest -m slow tests/test_architectures.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories_architectures import save_tiny
from lm_eval.api.instance import Instance
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from pyr.checkpoint import identify
from pyr.engines import EngineSettings, open_model
from pyr.engines.model_reuse import ModelReuse
from pyr.errors import CheckpointError
from pyr.probes import Subject
from pyr.probes.health import Health

# The libraries warn of what tiny configs lack and of what they will change; none of it is ours.
pytestmark = pytest.mark.filterwarnings("ignore")

SETTINGS = EngineSettings(device="cpu").resolved()
BY_DEFAULT = "gpt2 opt gpt_neo bloom gemma3_text lfm2 mamba rwkv bert bart".split()
REFUSED = {"blt": "num_hidden_layers"}
"""Types that stock lm-eval cannot score either, with what the message names."""
SILENT = ("prophetnet",)
"""Types that transformers scores and cannot let write."""
NOT_BUILT = {
    "dots3_note": "its layers are those of the large model; dots3_note_text is its decoder",
    "gemma3n": "it needs timm; gemma3n_text is its decoder",
    "gemma4_assistant": "a draft model, which reads the caches of the model it drafts for",
    "gemma4_unified_assistant": "the same",
    "musicgen": "its config is not that of its decoder",
    "musicgen_melody": "the same",
}
"""Types of which no tiny model can be made here, and why."""

PAIRS = [
    ("The river rose in the night", " and by morning"),
    ("The river rose in the night", " the fields"),
    ("The river", " A"),
    ("The river", " B"),
    ("", "Nobody knew"),
    ("One two three four five six seven eight nine ten " * 3, "eleven twelve"),
    ("def area(r):\n", "    return 3"),
    ("Question: what?\nAnswer:", " Paris"),
    ("Question: what?\nAnswer:", " London is it"),
    ("x " * 40, " y"),
]
TEXTS = ["The water came quickly and quietly. If x = 7 then x + 1 = 8.", " short"]
PROMPTS = ["The river rose", "def area(r)", "x y z"]


def ask(
    lm: Any, *, rolling: bool = True, says: bool = True
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """[pairs, (log-likelihood, flag)], then the log-likelihoods of texts, then what it says."""
    options = {"until": ["\n\n"], "do_sample": False, "max_gen_toks": 8}
    pairs = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(PAIRS)]
    texts = [Instance("loglikelihood_rolling", {}, (text,), i) for i, text in enumerate(TEXTS)]
    prompts = [
        Instance("generate_until", {}, (prompt, dict(options)), i, ("said", i, 1))
        for i, prompt in enumerate(PROMPTS)
    ]
    return (
        np.array(lm.loglikelihood(pairs, disable_tqdm=True), float),
        np.array(lm.loglikelihood_rolling(texts, disable_tqdm=True) if rolling else [], float),
        lm.generate_until(prompts, disable_tqdm=True) if says else [],
    )


def stock(folder: Path, kind: str, backend: str = "causal") -> Any:
    """lm-eval's own engine as it comes, told only what it cannot know of this folder."""
    from lm_eval.models.huggingface import HFLM

    # XLNet's config says that texts may have -1 tokens.
    length = 2048 if kind == "xlnet" else None
    return HFLM(
        pretrained=str(folder),
        backend=backend,
        device="cpu",
        dtype="float32",
        batch_size=1,
        max_length=length,
        logits_cache=False,
    )


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    lines: list[str] = []
    yield lines
    plugins = request.config.pluginmanager
    if len(lines) > len(BY_DEFAULT):
        with plugins.getplugin("capturemanager").global_and_fixture_disabled():
            for line in ["", *sorted(lines)]:
                plugins.getplugin("terminalreporter").write_line(line)


def kinds() -> list[Any]:
    marked = []
    for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        if kind not in REFUSED and kind not in NOT_BUILT:
            marks = [] if kind in BY_DEFAULT else [pytest.mark.slow]
            marked.append(pytest.param(kind, marks=marks))
    return marked


@pytest.mark.parametrize("kind", kinds())
def test_a_type_scores_as_stock_lm_eval_does(kind: str, tmp_path: Path, table: list[str]) -> None:
    save_tiny(kind, tmp_path / kind)
    checkpoint, models = identify(tmp_path / kind), ModelReuse()
    lm = models.open(checkpoint, SETTINGS)
    says = kind not in SILENT
    ours, theirs = ask(lm, says=says), ask(stock(tmp_path / kind, kind), says=says)
    assert bool(lm.cannot_generate) != says
    largest = 0.0
    for our, their in ((ours[0][:, 0], theirs[0][:, 0]), (ours[1], theirs[1])):
        off = np.abs(our - their)
        largest = max(largest, float(off.max()))
        assert (off <= 2e-5 + 1e-6 * np.abs(their)).all(), off.max()
    assert (ours[0][:, 1] == theirs[0][:, 1]).all()
    assert ours[2] == theirs[2]
    assert unsound(checkpoint, models) == {}
    engine = "fast" if type(lm).__name__ == "FastLM" else "reference"
    table.append(f"{kind:28}{engine:12}{largest:.1e}")


def unsound(checkpoint: Any, models: ModelReuse) -> dict[str, str]:
    """What the health probe finds broken."""
    subject = Subject(
        checkpoint=checkpoint,
        settings=SETTINGS,
        seed=1,
        mirror=None,
        bundles=None,
        skip_missing=False,
        earlier=pd.DataFrame({"task": [], "item": []}),
        progress=lambda *_: None,
        models=models,
    )
    [chunk] = Health({}, name="health").run(subject)
    checks = [record for record in chunk.records if record.kind == "check"]
    return {record.item: record.responses for record in checks if record.value == 0}


@pytest.mark.parametrize("kind", ["t5", "bart", "mbart"])
def test_an_encoder_decoder_scores_as_stock_lm_eval_does(kind: str, tmp_path: Path) -> None:
    save_tiny(kind, tmp_path / kind, whole=True)
    checkpoint, models = identify(tmp_path / kind), ModelReuse()
    ours = ask(models.open(checkpoint, SETTINGS), rolling=False)
    theirs = ask(stock(tmp_path / kind, kind, backend="default"), rolling=False)
    assert np.allclose(ours[0][:, 0], theirs[0][:, 0], rtol=1e-6, atol=2e-5)
    assert ours[2] == theirs[2]
    assert unsound(checkpoint, models) == {}


def test_an_encoder_decoder_that_stock_cannot_score_is_refused(tmp_path: Path) -> None:
    # FSMT's answers must be as long as its texts.
    save_tiny("fsmt", tmp_path, whole=True)
    with pytest.raises(CheckpointError, match="cannot score"):
        open_model(identify(tmp_path), SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", REFUSED)
def test_a_type_that_stock_cannot_score_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    save_tiny(kind, tmp_path / kind)
    with pytest.raises(CheckpointError, match="cannot score|no logits"):
        open_model(identify(tmp_path / kind), SETTINGS)
    with pytest.raises(Exception, match=REFUSED[kind]):
        ask(stock(tmp_path / kind, kind))


def test_at_most_ten_types_are_refused() -> None:
    assert len(REFUSED) <= 10
