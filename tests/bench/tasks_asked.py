"""The requests of lm-eval tasks, built as the harness probe builds them, for parity and bench."""

from __future__ import annotations

import ctypes
import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyr.errors import DataMissing
from pyr.probes.tasks import HarnessOptions, expand, load, place, task_manager

FAMILIES = (
    "arc hellaswag piqa openbookqa sciq siqa winogrande commonsense_qa lambada blimp glue "
    "super_glue mmlu/default mmlu/continuation bbh/zeroshot gsm8k hendrycks_math ifeval"
).split()

# Where a mirror holds fewer splits than the task's YAML names.
OVERRIDES: dict[str, dict[str, Any]] = {
    "arc_challenge": {"training_split": None, "test_split": None},
    "openbookqa": {"training_split": None, "test_split": None},
    "piqa": {"training_split": None},
    "sciq": {"dataset_name": "validation_as_test"},
    "social_iqa": {"training_split": None},
    "winogrande": {"training_split": None},
}


@dataclass(frozen=True)
class Asked:
    """A task and the requests of some of its items."""

    name: str
    task: Any
    instances: Sequence[Any]

    @property
    def kind(self) -> str:
        return self.instances[0].request_type

    @property
    def num_items(self) -> int:
        return len({each.doc_id for each in self.instances})

    def score(self, lm: Any, instances: Sequence[Any] | None = None) -> list[Any]:
        asked = list(self.instances if instances is None else instances)
        return getattr(lm, self.kind)(asked, disable_tqdm=True)

    def metrics(self, answers: Sequence[Any]) -> list[dict[str, Any]]:
        """What lm-eval makes of the answers, item by item."""
        by_item: dict[Any, list[Any]] = {}
        for instance, answer in zip(self.instances, answers, strict=True):
            instance.resps = [answer]
            by_item.setdefault(instance.doc_id, []).append(instance)
        for ensemble in self.task._filters:
            ensemble.apply(list(self.instances))
        return [
            self.task.process_results(
                group[0].doc, [each.filtered_resps[each_filter] for each in group]
            )
            for group in by_item.values()
            for each_filter in group[0].filtered_resps
        ]


@dataclass(frozen=True)
class Entry:
    """What to ask: ``name[:items[:shots]]``, items counted for each task of a group."""

    name: str
    items: int
    shots: int | None

    @classmethod
    def read(cls, text: str, items: int, shots: int | None) -> Entry:
        name, *rest = text.split(":")
        counts = [int(each) for each in rest]
        return cls(name, counts[0] if counts else items, counts[1] if counts[1:] else shots)


def asked_tasks(
    entry: Entry, *, mirrors: Sequence[Path], lm: Any, chat: bool = False, max_gen_toks: int = 0
) -> Iterator[Asked]:
    """The task or the tasks of the group, items drawn at random with a fixed seed.

    Tasks of a group that no mirror has are left out.
    """
    options = HarnessOptions(
        families=FAMILIES, tasks=[{"task": entry.name, **OVERRIDES.get(entry.name, {})}]
    )
    manager = task_manager(options)
    for spec in expand(manager, options):
        try:
            task = _load(manager, spec, mirrors)
        except DataMissing:
            if spec.name == entry.name:
                raise
            continue
        shots = task.get_config("num_fewshot")
        if entry.shots is not None and shots != 0:
            shots = entry.shots
        task.set_config("num_fewshot", shots or 0)
        task.set_fewshot_seed(seed=1234)
        if task.OUTPUT_TYPE == "generate_until" and max_gen_toks:
            task.set_config("generation_kwargs", {"max_gen_toks": max_gen_toks}, update=True)
        total = len(task.eval_docs)
        chosen = random.Random(spec.name).sample(range(total), min(entry.items, total))
        task.build_all_requests(
            samples=set(chosen),
            apply_chat_template=chat,
            fewshot_as_multiturn=chat,
            chat_template=lm.apply_chat_template if chat else None,
            tokenizer_name=lm.tokenizer_name if chat else "",
        )
        yield Asked(spec.name, task, task.instances)


def _load(manager: Any, spec: Any, mirrors: Sequence[Path]) -> Any:
    """The task with its data, from the first mirror that has it."""
    for mirror in mirrors[:-1]:
        try:
            return load(manager, spec, place(spec, mirror))
        except DataMissing:
            continue
    return load(manager, spec, place(spec, mirrors[-1]))


_MODERN = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
RANDOM: dict[str, tuple[str, dict[str, Any]]] = {
    # Pyr-135M but for its depth.
    "arcee": (
        "ArceeConfig",
        {
            "hidden_size": 768,
            "intermediate_size": 3968,
            "num_hidden_layers": 3,
            "num_attention_heads": 12,
            "num_key_value_heads": 4,
            "tie_word_embeddings": True,
        },
    ),
    "llama": ("LlamaConfig", _MODERN),
    "qwen2": ("Qwen2Config", _MODERN),
    "qwen3": ("Qwen3Config", {**_MODERN, "head_dim": 64}),
    "gpt2": ("GPT2Config", {"n_embd": 128, "n_layer": 2, "n_head": 4}),
}
"""Small models with random weights, by kind: configuration class and keys."""


def random_model(kind: str, tokenizer: Any) -> Any:
    """Such a model for the tokenizer's words; its logits spread by a few nats."""
    import torch
    import transformers

    name, keys = RANDOM[kind]
    length = "n_positions" if kind == "gpt2" else "max_position_embeddings"
    config = getattr(transformers, name)(
        vocab_size=len(tokenizer),
        initializer_range=0.06,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **{length: 2048},
        **keys,
    )
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def open_both(
    path: Path, *, threads: int, batch_size: int = 8, kind: str = ""
) -> tuple[Any, Any, Any]:
    """(FastLM, HFLM, model) over one model in float32.

    kind: a key of RANDOM takes such a model with the checkpoint's tokenizer instead of its own.
    """
    import torch

    from pyr.checkpoint import identify
    from pyr.engines import EngineSettings
    from pyr.engines.fast.lm import FastLM
    from pyr.engines.loading import Loaded, load_model

    torch.set_num_threads(threads)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    loaded = load_model(identify(path), EngineSettings(device="cpu", dtype="float32"))
    model, tokenizer = loaded.model, loaded.tokenizer
    if kind:
        model = random_model(kind, tokenizer)
    return FastLM(Loaded(model, tokenizer)), stock(model, tokenizer, batch_size, False), model


def stock(model: Any, tokenizer: Any, batch_size: int, logits_cache: bool) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(
        pretrained=model, tokenizer=tokenizer, batch_size=batch_size, logits_cache=logits_cache
    )


def return_freed_memory() -> None:
    """The allocator as a process that runs stock lm-eval has it, once it has freed large blocks.

    glibc then maps no block below 32 MB by itself and gives back more than 64 MB of free memory
    (mallopt(3), the dynamic thresholds). Undoes `keep_freed_memory`.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(-3, 32 * 2**20)
    libc.mallopt(-1, 64 * 2**20)
