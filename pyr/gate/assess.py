"""From two runs to a verdict: the way of every verb but bisect, which judges a rule alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pyr.compare import average_of, chances, compare, reliabilities, trail, with_noise
from pyr.gate.health import with_health
from pyr.gate.spec import Gate, Verdict
from pyr.gate.verdict import judge
from pyr.schema import Comparison
from pyr.store import Results


@dataclass(frozen=True, slots=True)
class Assessment:
    """What changed, and what the gate says of it."""

    comparisons: list[Comparison]
    verdict: Verdict | None
    """None without a gate."""


def assess(
    gate: Gate | None,
    candidate: Results,
    baseline: Results | None,
    *,
    history: Sequence[Results] = (),
    documents: pd.DataFrame | None = None,
) -> Assessment:
    """Compare, join checkpoint noise where history shows it, and judge.

    history: stored runs; those of the candidate's own training, up to itself, are used.
    documents: the candidate's items as asked, for what guessing would score.
    """
    used = trail(candidate, history)
    comparisons = with_noise(compare(candidate, baseline), candidate, baseline, history)
    if gate is None:
        return Assessment(comparisons, None)
    known = chances(documents, comparisons) if documents is not None else {}
    verdict = judge(
        with_health(gate, candidate.run),
        candidate,
        baseline,
        comparisons,
        history=[each for each in used if each.run.id not in _own(candidate)],
        chances=known,
        reliable=reliabilities(candidate, used, known),
    )
    return Assessment(comparisons, verdict)


def _own(candidate: Results) -> set[str]:
    return {candidate.run.id, *average_of(candidate.run)}
