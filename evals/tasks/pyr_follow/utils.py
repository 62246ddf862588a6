"""Reads this task's items and grades answers with lm-eval's IFEval checkers."""

import contextlib
import functools
import importlib
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import datasets


def load(**_: object) -> dict[str, datasets.Dataset]:
    """The one split of this task, from the file beside this one."""
    lines = (Path(__file__).parent / "items.jsonl").read_text(encoding="utf-8").splitlines()
    return {"test": datasets.Dataset.from_list([json.loads(line) for line in lines])}


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """1 where all instructions of the prompt are followed: by the answer as it is, or trimmed.

    Strict and loose as in IFEval (Zhou et al. 2023, arXiv 2311.07911, section 2.3), by prompt.
    """
    ifeval = _ifeval()
    asked = ifeval.InputExample(
        doc["key"], doc["instruction_id_list"], doc["prompt"], doc["kwargs"]
    )
    strict = ifeval.test_instruction_following_strict(asked, results[0])
    loose = ifeval.test_instruction_following_loose(asked, results[0])
    return {
        "strict": float(strict.follow_all_instructions),
        "loose": float(loose.follow_all_instructions),
    }


@functools.cache
def _ifeval() -> ModuleType:
    """lm-eval's IFEval grading, made repeatable and without the download that its import starts."""
    import langdetect  # type: ignore[import-untyped]

    # The letter-case checkers guess the language, at random unless seeded.
    langdetect.DetectorFactory.seed = 0
    family = "lm_eval.tasks.ifeval"
    if f"{family}.instructions_util" in sys.modules:
        return importlib.import_module(f"{family}.utils")
    with mock.patch("nltk.download"), contextlib.redirect_stdout(io.StringIO()):
        grading = importlib.import_module(f"{family}.utils")
    # No checker used here reads the sentence data, but lm-eval's own `ifeval` task does: forgotten
    # here, its modules are imported anew there and fetch it.
    for name in [name for name in sys.modules if name.startswith(family)]:
        del sys.modules[name]
    return grading
