"""lm-eval's IFEval checkers: repeatable, and without the download that their import starts.

Source: lm_eval/tasks/ifeval, after Zhou et al. 2023, arXiv 2311.07911.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from unittest import mock


@dataclass(frozen=True, slots=True)
class Followed:
    """Which instructions of a prompt an answer follows, in their order."""

    strict: Sequence[bool]
    """By the answer as it is; a blank answer follows nothing."""
    loose: Sequence[bool]
    """By the answer, or by it without asterisks, first line or last line (section 2.3)."""


def followed(doc: Mapping[str, Any], answer: str) -> Followed:
    """What `answer` follows of a document in google/IFEval's form.

    doc: ``prompt``, ``instruction_id_list`` (names of checkers) and ``kwargs`` (their arguments).
    """
    grading = ifeval()
    asked = grading.InputExample(
        doc.get("key", 0), doc["instruction_id_list"], doc["prompt"], doc["kwargs"]
    )
    strict = grading.test_instruction_following_strict(asked, answer)
    loose = grading.test_instruction_following_loose(asked, answer)
    return Followed(strict.follow_instruction_list, loose.follow_instruction_list)


@functools.cache
def ifeval() -> ModuleType:
    """lm_eval.tasks.ifeval.utils, with the language guesses of its checkers seeded.

    Its import fetches NLTK's sentence data if it is not there; here it never does. The checkers
    that read the data (sentences, capital words) then fail: see `pyr.probes.needs`.
    """
    import langdetect

    # The letter-case checkers guess the language, at random unless seeded.
    langdetect.DetectorFactory.seed = 0
    with mock.patch("nltk.download"), contextlib.redirect_stdout(io.StringIO()):
        return importlib.import_module("lm_eval.tasks.ifeval.utils")
