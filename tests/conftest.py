"""Fixtures that cost something: a tiny real checkpoint, made once a session."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories_model import byte_level_tokenizer

# No test may ask the hub, and lm-eval's bars are noise. Set before any library is imported.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"
# One thread for torch, in the processes that tests start too: tiny models gain nothing from more,
# and threads that wait for each other spin.
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_configure(config: pytest.Config) -> None:
    """Load what warns at import before warnings are errors: their warnings are not ours."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lm_eval.models.huggingface  # noqa: F401


@pytest.fixture(scope="session", autouse=True)
def own_selfchecks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The fast engine's self-check runs once a session and leaves the user's cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Llama with random weights, a 600-token byte-level BPE and a chat template."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = byte_level_tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoint_copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The tiny checkpoint, to be damaged by the test."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))
