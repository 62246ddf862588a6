"""The fast engine: lm-eval's scores, every distinct token prefix computed once.

plan.py       requests -> a stream of distinct tokens -> packs within a budget (numpy alone)
attention.py  attention of a pack, cell by cell, through transformers' own interface
score.py      packs through the stock model -> log-likelihoods and greedy flags; counted work
lm.py         FastLM: lm-eval's HFLM with these scores
selfcheck.py  is this kind of model scored as the reference engine scores it?
generate.py   answers to generate_until, decoded together in slots
decode.py     the decoding loop: rows refilled as they finish; shared beginnings, stops
slots.py      forward passes over rows that start, grow and end independently; their memory
sampling.py   how the next token is drawn, or held to a grammar
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pyr.engines import EngineSettings
from pyr.schema import Checkpoint

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_LOG = logging.getLogger(__name__)


def open_fast(checkpoint: Checkpoint, settings: EngineSettings) -> LM:
    """The fast engine over the checkpoint; the reference engine where the two would differ.

    The first time a kind of model is met it is checked against the reference engine. The LM's
    `notes` say in a sentence each what a report must say; the log says it at once.
    Raises CheckpointError as the reference engine does.
    """
    # Before the import: HFLM logs a warning for every model that is passed as an object.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from pyr.engines.fast.lm import FastLM
    from pyr.engines.fast.score import default_budget
    from pyr.engines.fast.selfcheck import check
    from pyr.engines.hflm import ReferenceLM
    from pyr.engines.loading import load_model

    loaded = load_model(checkpoint, settings)
    outcome = check(loaded)
    if outcome.agrees:
        budget = default_budget(loaded.model).times(
            settings.batch_size / EngineSettings().batch_size
        )
        return FastLM(loaded, budget=budget, batch_size=settings.batch_size)
    lm = ReferenceLM(loaded, batch_size=settings.batch_size)
    name = type(loaded.model).__name__
    note = f"the reference engine was used for {name}, not the fast one: {outcome.reason}"
    lm.notes.append(note)
    lm.engine = "reference"
    _LOG.warning(note)
    return lm
