"""Adapters are merged as peft applies them."""

from __future__ import annotations

from pathlib import Path

import peft
import pytest
import torch
import transformers

from pyr.checkpoint import identify
from pyr.engines import EngineSettings
from pyr.engines.loading import load_model
from pyr.engines.model_reuse import ModelReuse
from pyr.errors import CheckpointError

# peft warns of tied heads and of what transformers deprecated; neither is ours.
pytestmark = pytest.mark.filterwarnings("ignore")
CPU = EngineSettings(engine="reference", device="cpu").resolved()
IDS = torch.arange(4, 40)[None]


def base(folder: Path) -> transformers.PreTrainedModel:
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def saved(model: Path, folder: Path, seed: int = 0, **settings: object) -> torch.Tensor:
    """Save a random adapter over `model`; what peft itself computes with it."""
    torch.manual_seed(seed)
    about = {"target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", **settings}
    config = peft.LoraConfig(r=4, lora_alpha=8, init_lora_weights=False, **about)
    wrapped = peft.get_peft_model(base(model), config).eval()
    wrapped.save_pretrained(folder)
    with torch.inference_mode():
        return wrapped(IDS).logits


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model(IDS).logits


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_dora": True},
        {"use_rslora": True},
        {"target_modules": ["embed_tokens", "lm_head"]},
        {"modules_to_save": ["lm_head"]},
    ],
    ids=str,
)
def test_a_merged_adapter_scores_as_peft_does(
    tiny_checkpoint: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    expected = saved(tiny_checkpoint, tmp_path / "lora", **settings)
    loaded = load_model(identify(tmp_path / "lora"), CPU)
    assert torch.allclose(logits(loaded.model), expected, atol=1e-4)
    assert not torch.allclose(logits(base(tiny_checkpoint)), expected, atol=0.1)
    assert "merged into its base model" in " ".join(loaded.notes)


def test_an_adapter_of_a_tied_head_alone_leaves_the_embedding(
    checkpoint_copy: Path, tmp_path: Path
) -> None:
    config = transformers.LlamaConfig.from_pretrained(checkpoint_copy, tie_word_embeddings=True)
    torch.manual_seed(1)
    transformers.LlamaForCausalLM(config).save_pretrained(checkpoint_copy)
    expected = saved(checkpoint_copy, tmp_path / "lora", target_modules=["lm_head"])
    loaded = load_model(identify(tmp_path / "lora"), CPU)
    loaded.model.tie_weights()
    assert torch.allclose(logits(loaded.model), expected, atol=1e-4)


def test_the_tokenizer_is_the_adapters_own_where_it_has_one(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    saved(tiny_checkpoint, tmp_path / "lora")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_checkpoint)
    tokenizer.chat_template = "{{ 1 }}"
    tokenizer.save_pretrained(tmp_path / "lora")
    loaded = load_model(identify(tmp_path / "lora"), CPU)
    assert loaded.tokenizer.chat_template == "{{ 1 }}"


def test_an_adapter_beside_a_full_model_is_merged_into_it(
    tiny_checkpoint: Path, checkpoint_copy: Path
) -> None:
    expected = saved(tiny_checkpoint, checkpoint_copy)
    loaded = load_model(identify(checkpoint_copy), CPU)
    assert torch.allclose(logits(loaded.model), expected, atol=1e-4)


def test_an_adapter_of_another_model_is_an_error(tiny_checkpoint: Path, tmp_path: Path) -> None:
    saved(tiny_checkpoint, tmp_path / "lora")
    file = tmp_path / "lora" / "adapter_config.json"
    file.write_text(file.read_text().replace("q_proj", "query"))
    with pytest.raises(CheckpointError, match="no place in the base model"):
        load_model(identify(tmp_path / "lora"), CPU)


def test_a_kind_that_cannot_be_merged_is_an_error(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    peft.get_peft_model(base(tiny_checkpoint), config).save_pretrained(tmp_path / "prompt")
    with pytest.raises(CheckpointError, match="PROMPT_TUNING cannot be merged"):
        load_model(identify(tmp_path / "prompt"), CPU)


def test_one_adapter_after_the_other_is_laid_over_its_base(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    models = ModelReuse()
    for seed in (0, 1):
        expected = saved(tiny_checkpoint, tmp_path / f"lora-{seed}", seed)
        lm = models.open(identify(tmp_path / f"lora-{seed}"), CPU)
        assert torch.allclose(logits(lm.model), expected, atol=1e-4)
    plain = models.open(identify(tiny_checkpoint), CPU)
    assert torch.equal(logits(plain.model), logits(base(tiny_checkpoint)))
