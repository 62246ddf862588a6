"""From two runs to a verdict: the way of every verb but bisect, which judges a rule alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from pyr.compare import (
    Reliability,
    ScoreHistory,
    average_of,
    chances,
    compare,
    reliabilities,
    score_history,
    with_noise,
)
from pyr.gate.health import with_health
from pyr.gate.spec import Gate, Verdict
from pyr.gate.verdict import judge
from pyr.schema import Comparison
from pyr.store import Results


@dataclass(frozen=True, slots=True)
class Assessment:
    """What changed, what the gate says of it, and what both rest on."""

    comparisons: Sequence[Comparison]
    verdict: Verdict | None = None
    """None without a gate."""
    history: ScoreHistory = ScoreHistory("tokens", {})
    chances: Mapping[str, float] = field(default_factory=dict)
    """What guessing would score, by measure."""
    reliable: Mapping[str, Reliability] = field(default_factory=dict)
    """What the history says of each measure."""


def assess(
    gate: Gate | None,
    candidate: Results,
    baseline: Results | None,
    *,
    history: Sequence[Results] = (),
    documents: pd.DataFrame | None = None,
) -> Assessment:
    """Compare, join checkpoint noise where history shows it, and judge.

    history: stored runs of the candidate's training; noise and signal rest on those of its phase.
    documents: the candidate's items as asked, for what guessing would score.
    """
    known = score_history(history, candidate)
    comparisons = with_noise(compare(candidate, baseline), candidate, baseline, known.phase)
    guessing = chances(documents, comparisons) if documents is not None else {}
    reliable = reliabilities(candidate, known.phase, guessing)
    assessed = Assessment(comparisons, None, known, guessing, reliable)
    if gate is None:
        return assessed
    own = {candidate.run.id, *average_of(candidate.run)}
    verdict = judge(
        with_health(gate, candidate.run),
        candidate,
        baseline,
        comparisons,
        history=[each for each in known.phase if each.run.id not in own],
        chances=guessing,
        reliable=reliable,
    )
    return replace(assessed, verdict=verdict)
