"""A package `vllm` that answers by transformers: what lm-eval's VLLM class asks of the real one."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = """
import sys
from types import SimpleNamespace

import torch
import transformers


class SamplingParams:
    def __init__(self, **settings):
        self.settings = settings


def TokensPrompt(prompt_token_ids):
    return {"prompt_token_ids": prompt_token_ids}


class LLM:
    made = []

    def __init__(self, **settings):
        LLM.made.append(settings)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            settings["model"], dtype=getattr(torch, settings["dtype"])
        ).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(settings["model"])
        config = SimpleNamespace(max_model_len=self.model.config.max_position_embeddings)
        self.llm_engine = SimpleNamespace(model_config=config)

    def generate(self, prompts, sampling_params, use_tqdm=True, lora_request=None):
        pairs = zip(prompts, sampling_params, strict=True)
        return [self._answer(prompt["prompt_token_ids"], how.settings) for prompt, how in pairs]

    @torch.inference_mode()
    def _answer(self, tokens, how):
        ids = torch.tensor([tokens])
        if "prompt_logprobs" not in how:
            said = self.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False,
                max_new_tokens=how["max_tokens"], pad_token_id=0,
            )[0, len(tokens):]
            text = self.tokenizer.decode(said, skip_special_tokens=how["skip_special_tokens"])
            for stop in how["stop"]:
                text = text.partition(stop)[0]
            return SimpleNamespace(outputs=[SimpleNamespace(text=text)])
        scores = self.model(ids).logits[0].log_softmax(-1)
        known = [None]
        for row, token in zip(scores, tokens[1:]):
            best = int(row.argmax())
            known.append({best: float(row[best]), token: float(row[token])})
        return SimpleNamespace(prompt_logprobs=known)
"""
_FILES = {
    "vllm/__init__.py": _PACKAGE,
    "vllm/lora/__init__.py": "",
    "vllm/lora/request.py": "class LoRARequest: ...\n",
    "vllm/renderers/__init__.py": "",
    "vllm/renderers/hf.py": "def resolve_chat_template(tokenizer, **_):\n"
    "    return tokenizer.chat_template\n",
    "vllm/tokenizers.py": "import transformers\n\n\n"
    "def get_tokenizer(name, tokenizer_mode, revision, **options):\n"
    "    return transformers.AutoTokenizer.from_pretrained(name, **options)\n",
    "vllm-0.11.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: vllm\nVersion: 0.11.0\n",
}


def lay_vllm(folder: Path) -> Path:
    """Write the package into `folder`, which is then to be put on the path."""
    for name, text in _FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder
