"""How much a score differs from one checkpoint to the next for no lasting reason.

Items are only one source of error. Two neighbouring checkpoints of one training differ also by
which batches came last; a gate that knows only its items takes that for progress or loss. What no
single training can tell is how another seed would have fared.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from pyr.compare.differences import compare
from pyr.compare.limits import interval, p_value
from pyr.compare.score_history import Point, axis_of, phase_history, score_history
from pyr.compare.scores import averaged, scores
from pyr.compare.statistics import Floats
from pyr.schema import Comparison, Direction, Estimate, Noise
from pyr.store import Results

FEWEST, MOST = 5, 9
"""Checkpoints to measure noise on: with fewer it is a guess, with more the trend is no line."""
FALL = 0.99
"""Noise alone takes the newest score that far down less often than one time in a hundred."""


def fallen(places: Sequence[float], scores: Sequence[float]) -> bool:
    """True if the newest score, more being better, lies far below where the others lead.

    They lead to their straight line, or to the last of them if that is lower: a climb that slows
    down is no fall. What is tested is the deleted residual (Cook & Weisberg 1982, 2.2) of the
    newest of `MOST` scores at most; fewer than `FEWEST` are never a fall.
    """
    if len(scores) < FEWEST:
        return False
    x, y = np.asarray(places[-MOST:-1]), np.asarray(scores[-MOST:-1])
    line = np.polynomial.Polynomial.fit(x, y, 1)
    depth = min(float(line(places[-1])), float(y[-1])) - scores[-1]
    across = float(np.sum((x - x.mean()) ** 2))
    freedom = len(y) - 2
    if across == 0 or depth <= 1e-9 * float(np.max(np.abs([*y, scores[-1]]))):
        return False
    far = 1 + 1 / len(y) + (places[-1] - float(x.mean())) ** 2 / across
    error = np.sqrt(float(np.sum((y - line(x)) ** 2)) / freedom * far)
    return bool(depth > error * stats.t.ppf(FALL, freedom))


def with_noise(
    comparisons: Sequence[Comparison],
    candidate: Results,
    baseline: Results | None,
    history: Sequence[Results],
) -> list[Comparison]:
    """The comparisons, their errors joined with checkpoint noise where history shows it.

    A measure's noise is the standard deviation of its score over the last checkpoints of the
    candidate's training, five to nine of them, about a straight line, less what the items explain
    of it: sqrt(max(0, RSS / (K - 2) - mean(se^2) / 2)), se of the differences of neighbours. It
    counts for both sides of a difference, and less for a mean of k checkpoints: 1/k. A newest
    checkpoint that has `fallen` is left out: a collapse would otherwise excuse itself.
    """
    known = _noises(phase_history(candidate, history)[-MOST:])
    ours = 1 / averaged(candidate.run)
    both = ours + (1 / averaged(baseline.run) if baseline else 0)
    return [
        _joined(row, known[row.measure], ours, both) if row.measure in known else row
        for row in comparisons
    ]


def _joined(row: Comparison, noise: Noise, ours: float, both: float) -> Comparison:
    delta = _noisy(row.delta, noise, both)
    limits = interval(delta, 0.95) if delta and np.isfinite(delta.se) else None
    return dataclasses.replace(
        row,
        candidate=_noisy(row.candidate, noise, ours),
        delta=delta,
        low=limits.low if limits else None,
        high=limits.high if limits else None,
        p=p_value(delta) if delta and noise.sd > 0 else row.p,
    )


def _noisy(estimate: Estimate | None, noise: Noise, share: float) -> Estimate | None:
    if estimate is None:
        return None
    mine = Noise(noise.sd * float(np.sqrt(share)), noise.checkpoints)
    return dataclasses.replace(estimate, noise=mine)


def _noises(runs: Sequence[Results]) -> dict[str, Noise]:
    """The noise of one checkpoint, by measure; of measures that five or more runs hold."""
    if len(runs) < FEWEST:
        return {}
    axis = axis_of(each.run for each in runs)
    places = [float(each.run.checkpoint.reached(axis) or 0) for each in runs]
    pairs = zip(runs[1:], runs[:-1], strict=True)
    steps: dict[str, list[Estimate]] = {}
    signs: dict[str, float] = {}
    for number, (later, earlier) in enumerate(pairs):
        for row in compare(later, earlier):
            # A gap ends the way: what is needed is an unbroken one up to the candidate.
            if row.exact or row.delta is None:
                continue
            step = row.delta
            if step.value == 0 and not np.isfinite(step.se):
                # No item moved: what that leaves open is no part of what was seen to.
                step = dataclasses.replace(step, se=0.0)
            if not np.isfinite(step.se):
                continue
            way = steps.setdefault(row.measure, [])
            if len(way) == number:
                way.append(step)
                signs[row.measure] = 1.0 if row.direction == "higher" else -1.0
    whole = len(runs) - 1
    found = {}
    for name, way in steps.items():
        noise = _before_a_fall(places, way, signs[name]) if len(way) == whole else None
        if noise is not None:
            found[name] = noise
    return found


def _before_a_fall(places: Sequence[float], steps: Sequence[Estimate], sign: float) -> Noise | None:
    """The noise without a newest checkpoint that fell; sign: 1 where more is better, else -1."""
    kept = len(steps) - fallen(places, [sign * score for score in _scores(steps)])
    return _noise(places[: kept + 1], steps[:kept]) if kept + 1 >= FEWEST else None


def _scores(steps: Sequence[Estimate]) -> list[float]:
    """The scores that these differences of neighbours lead through, from nought."""
    return [0.0, *np.cumsum([step.value for step in steps])]


def _noise(places: Sequence[float], steps: Sequence[Estimate]) -> Noise:
    scores = np.asarray(_scores(steps))
    line = np.polynomial.Polynomial.fit(places, scores, 1)
    rest = float(np.sum((scores - line(np.asarray(places))) ** 2)) / (len(scores) - 2)
    items = float(np.mean([step.se**2 for step in steps])) / 2
    return Noise(float(np.sqrt(max(0.0, rest - items))), len(scores))


# ------------------------------------------------------------------ numerical noise


@dataclass(frozen=True, slots=True)
class Jitter:
    """How one measure differs though the checkpoint is the same, and between neighbours."""

    measure: str
    arithmetic: Mapping[str, float]
    """|difference| of the same weights under another batch size or number format, by its name."""
    neighbours: float | None
    """Half the 95% interval of a difference of neighbouring checkpoints; None without any."""
    checkpoints: int
    """Whose noise the neighbours' interval holds besides that of the items; 0 with too few."""
    smallest: float
    """A difference below this is nothing: the arithmetic's worst and the neighbours' together."""


def jitter(
    reference: Results, variants: Mapping[str, Results], neighbours: Sequence[Results] = ()
) -> list[Jitter]:
    """What the same checkpoint scores under other arithmetic, and its neighbours, by measure.

    variants: runs of the same weights and suite, by what was changed. neighbours: other
    checkpoints of the training, in order, the reference among them or not.
    """
    found: dict[str, dict[str, float]] = {}
    for name, variant in variants.items():
        for row in compare(variant, reference):
            if row.delta is not None and not row.exact:
                found.setdefault(row.measure, {})[name] = abs(row.delta.value)
    widths = _widths(neighbours)
    return [
        Jitter(
            measure=measure,
            arithmetic=found.get(measure, {}),
            neighbours=widths[measure].half if measure in widths else None,
            checkpoints=widths[measure].checkpoints if measure in widths else 0,
            smallest=max(found.get(measure, {"": 0.0}).values())
            + (widths[measure].half if measure in widths else 0.0),
        )
        for measure in sorted({*found, *widths})
    ]


class _Width(NamedTuple):
    half: float
    checkpoints: int


def _widths(runs: Sequence[Results]) -> dict[str, _Width]:
    """Of every measure, the median half width of the interval between neighbours.

    Where the last of them are checkpoints enough to tell their noise, that of the last two, joined.
    """
    if len(runs) < 2:
        return {}
    widths: dict[str, list[_Width]] = {}
    for later, earlier in zip(runs[1:], runs[:-1], strict=True):
        for row in compare(later, earlier):
            widths.setdefault(row.measure, []).extend(_width(row))
    found = {name: sorted(each)[len(each) // 2] for name, each in widths.items() if each}
    joined = with_noise(compare(runs[-1], runs[-2]), runs[-1], runs[-2], runs)
    known = {row.measure: width for row in joined for width in _width(row) if width.checkpoints}
    return found | known


def _width(row: Comparison) -> Iterator[_Width]:
    if row.low is not None and row.high is not None and not row.exact:
        if math.isfinite(row.high):
            noise = row.delta.noise if row.delta else None
            yield _Width((row.high - row.low) / 2, noise.checkpoints if noise else 0)


# ------------------------------------------------------------------ what can decide anything
# A benchmark at chance, or one that moves no more over a training than from one checkpoint to the
# next, decides nothing, however many items it has. The marks follow FineTasks (Hugging Face 2024:
# monotonic if the mean Spearman correlation of step and score is 0.5 or more; clearly above random)
# and the signal-to-noise ratio of arXiv 2508.13144, with one training's own range as the signal.


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
        noise = _deviation(places[-MOST:], values[-MOST:])
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


def _deviation(places: Floats, values: Floats) -> float:
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
