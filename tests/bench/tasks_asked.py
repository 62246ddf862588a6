"""The requests of lm-eval tasks, built as the harness probe builds them, for parity and bench."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyr.probes.tasks import HarnessOptions, expand, load, place, task_manager

FAMILIES = (
    "arc hellaswag piqa openbookqa sciq commonsense_qa lambada blimp mmlu/default "
    "mmlu/continuation super_glue"
).split()

# Where a mirror holds fewer splits than the task's YAML names.
OVERRIDES: dict[str, dict[str, Any]] = {
    "arc_challenge": {"training_split": None, "test_split": None},
    "sciq": {"dataset_name": "validation_as_test"},
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


def asked_tasks(
    names: Sequence[str],
    *,
    mirror: Path,
    limit: int,
    num_fewshot: int | None,
    lm: Any,
    chat: bool = False,
) -> Iterator[Asked]:
    """`limit` items of each task, drawn at random with a fixed seed."""
    entries: list[Any] = [{"task": name, **OVERRIDES.get(name, {})} for name in names]
    options = HarnessOptions(families=FAMILIES, tasks=entries)
    manager = task_manager(options)
    for spec in expand(manager, options):
        task = load(manager, spec, place(spec, mirror))
        shots = task.get_config("num_fewshot")
        if num_fewshot is not None and shots != 0:
            shots = num_fewshot
        task.set_config("num_fewshot", shots or 0)
        task.set_fewshot_seed(seed=1234)
        total = len(task.eval_docs)
        chosen = random.Random(spec.name).sample(range(total), min(limit, total))
        task.build_all_requests(
            samples=set(chosen),
            apply_chat_template=chat,
            fewshot_as_multiturn=chat,
            chat_template=lm.apply_chat_template if chat else None,
            tokenizer_name=lm.tokenizer_name if chat else "",
        )
        yield Asked(spec.name, task, task.instances)


def open_both(path: Path, *, threads: int, batch_size: int = 8) -> tuple[Any, Any, Any]:
    """(FastLM, HFLM, model) over one model in float32."""
    import torch

    from pyr.checkpoint import identify
    from pyr.engines import EngineSettings
    from pyr.engines.fast.lm import FastLM
    from pyr.engines.reference import load_model

    torch.set_num_threads(threads)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    model, tokenizer = load_model(identify(path), EngineSettings(device="cpu", dtype="float32"))
    return FastLM(model, tokenizer), stock(model, tokenizer, batch_size, False), model


def stock(model: Any, tokenizer: Any, batch_size: int, logits_cache: bool) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(
        pretrained=model, tokenizer=tokenizer, batch_size=batch_size, logits_cache=logits_cache
    )
