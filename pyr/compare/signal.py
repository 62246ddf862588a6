"""Can this task say anything at all of this training? From its scores at the checkpoints so far.

A benchmark at chance, or one that moves no more over a training than from one checkpoint to the
next, decides nothing, however many items it has. The marks follow FineTasks (Hugging Face 2024:
monotonic if the mean Spearman correlation of step and score is 0.5 or more; clearly above random)
and the signal-to-noise ratio of arXiv 2508.13144, with one training's own range as the signal.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from pyr.compare.noise import FEWEST, MOST, fallen
from pyr.compare.score_history import Point, score_history
from pyr.compare.scores import scores
from pyr.compare.statistics import Floats
from pyr.schema import Comparison, Direction, Estimate
from pyr.store import Results

Mark = Literal["at chance", "no trend", "noise"]

ABOVE_CHANCE = 3.0
"""Standard errors that a score must lie above guessing."""
TREND = 0.5
"""Spearman correlation, up or down, from which scores follow the training."""
LEVEL = 0.95
"""A range is a signal where noise alone gives a smaller one so often."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """What a measure's history says of it; None where there is too little of it."""

    checkpoints: int
    above_chance: float | None
    """Standard errors that the newest score lies above guessing."""
    trend: float | None
    """Spearman correlation of place and score; above zero is getting better."""
    signal_to_noise: float | None
    """Range over the training / standard deviation about a line through the last checkpoints."""
    noise_gives: float | None
    """What that is for noise alone, in all but one case of twenty."""
    direction: Direction = "higher"
    fell: bool = False
    """The newest score lies far below where the checkpoints before it lead (`noise.fallen`)."""

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Why the measure decides nothing; empty where nothing speaks against it.

        A late fall breaks any trend and is noise about any line: neither is said of it.
        """
        found: list[Mark] = []
        if self.above_chance is not None and self.above_chance < ABOVE_CHANCE:
            found.append("at chance")
        if self.fell:
            return tuple(found)
        if self.trend is not None and abs(self.trend) < TREND:
            found.append("no trend")
        if self.signal_to_noise is not None and self.noise_gives is not None:
            found += ["noise"] if self.signal_to_noise < self.noise_gives else []
        return tuple(found)

    @property
    def fails(self) -> bool:
        """True if no decision may rest on it: at chance, or noise of which chance is not known.

        A flat line surely above chance is no fault: so ends what has been learnt, and is to be
        kept; how it shakes is in the interval. Nor is one of what is not guessed: bits per byte.
        """
        flat = {"no trend", "noise"} <= set(self.marks)
        guessed = self.above_chance is None and self.direction == "higher"
        return "at chance" in self.marks or (flat and guessed)


def reliability(
    newest: Estimate,
    points: Sequence[Point],
    *,
    direction: Direction,
    chance: float | None = None,
) -> Reliability:
    """The reliability of a measure whose newest score is `newest`.

    points: its scores over the phase; fewer than five checkpoints say nothing of trend or noise.
    """
    above = above_chance(newest, chance, direction=direction)
    known = len(points)
    if known < FEWEST:
        return Reliability(known, above, None, None, None, direction)
    places = np.array([float(point.x) for point in points])
    values = np.array([point.value for point in points])
    sign = 1.0 if direction == "higher" else -1.0
    trend, noise = 0.0, 0.0
    spread = float(np.ptp(values))
    if spread > 0:
        trend = sign * float(stats.spearmanr(places, values).statistic)
        noise = _noise(places[-MOST:], values[-MOST:])
    ratio = spread / noise if noise > 0 else math.inf if spread > 0 else 0.0
    fell = fallen(places.tolist(), (sign * values).tolist())
    return Reliability(known, above, trend, ratio, _noise_gives(known), direction, fell)


def above_chance(score: Estimate, chance: float | None, *, direction: Direction) -> float | None:
    """Standard errors that a score lies above guessing; None where that means nothing."""
    if chance is None or direction != "higher" or not math.isfinite(score.se):
        return None
    gap = score.value - chance
    return gap / score.se if score.se > 0 else math.copysign(math.inf, gap)


@functools.cache
def _noise_gives(checkpoints: int) -> float:
    """The studentized range of so many normal draws (Tukey 1949), at `LEVEL`."""
    freedom = min(checkpoints, MOST) - 2
    return float(stats.studentized_range.ppf(LEVEL, checkpoints, freedom))


def _noise(places: Floats, values: Floats) -> float:
    """Standard deviation about a straight line: items and checkpoints together."""
    line = np.polynomial.Polynomial.fit(places, values, 1)
    rest = values - line(places)
    return float(np.sqrt(np.sum(rest**2) / (len(rest) - 2)))


def reliabilities(
    candidate: Results, phase: Sequence[Results], chances: Mapping[str, float]
) -> dict[str, Reliability]:
    """By measure, for all sampled measures of the candidate.

    phase: the checkpoints of its phase up to itself (`ScoreHistory.phase`): what another phase
    changes is no noise. chances: what guessing would score, by measure.
    """
    points = score_history([*phase, candidate]).points
    found = {}
    for (task, metric), measured in scores(candidate).items():
        name = f"{task}/{metric}"
        if measured.estimate is not None and not measured.exact:
            found[name] = reliability(
                measured.estimate,
                points.get(name, ()),
                direction=measured.direction,
                chance=chances.get(name),
            )
    return found


# ------------------------------------------------------------------ chance level


def chances(documents: pd.DataFrame, comparisons: Sequence[Comparison]) -> dict[str, float]:
    """By measure, for accuracies: the mean of 1 / number of choices, 0 where none is offered.

    documents: as `Store.documents` gives them. A group's chance is that of all its items; where
    only some of them have choices it is not known.
    """
    if documents.empty:
        return {}
    counted = documents["choices"].map(lambda written: len(json.loads(written)) if written else 0)
    share = (1 / counted.where(counted > 1)).rename("share")
    groups = {row.task: row.group for row in comparisons if row.group}
    by_task = _means(documents["task"], share)
    named = documents["task"].map(lambda task: groups.get(task, ""))
    by_group = _means(named, share)
    known: Mapping[str, float] = {**by_group, **by_task}
    return {
        row.measure: known[row.task]
        for row in comparisons
        if row.metric.partition("_")[0] == "acc" and row.task in known
    }


def _means(names: pd.Series, shares: pd.Series) -> dict[str, float]:
    means = shares.groupby(names).agg(
        lambda values: 0.0 if values.isna().all() else values.mean(skipna=False)
    )
    return {str(name): float(mean) for name, mean in means.items() if mean == mean}
