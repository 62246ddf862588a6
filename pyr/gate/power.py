"""What a gate can resolve, before anything is measured.

A margin that a suite's items and the noise of its checkpoints cannot resolve keeps a gate closed
for no fault of the checkpoint. So a gate is held against its suite when it is read: of every
``not_worse_by``, would an unchanged skill pass four times in five?
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np

from pyr.compare import compare, noise_reach, reach, with_noise
from pyr.compare.statistics import expected_effect
from pyr.gate.rules import is_relative
from pyr.gate.spec import Gate, Rule
from pyr.schema import HEALTH, Estimate, Noise, Shares, Suite
from pyr.store import Results

POWER = 0.8
"""How often an unchanged skill must pass its rule."""
CHANGED = 0.1
"""The share of answers that two neighbouring checkpoints are taken to differ in, unmeasured."""

_ASSUMED = f"assumed: {100 * CHANGED:.0f}% of the answers change"

Said = Literal["resolves", "cannot resolve", "unknown"]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What is known of a measure before the candidate is evaluated."""

    error: Estimate
    """A difference of nothing, with the errors that it is expected to have."""
    source: str
    """Where they come from: measured, or assumed."""
    clusters: Sequence[str] = ()
    """Of all the items that there are, in the order asked, as `assumed` takes them."""


@dataclass(frozen=True, slots=True)
class Check:
    """One rule against what its measure can resolve."""

    measure: str
    rule: str
    said: Said
    finest: float | None
    """The smallest margin that an unchanged skill passes four times in five."""
    n: int
    n_needed: int | None
    """Items that would resolve the margin; None where no number would, or it is not known."""
    source: str
    part: str = ""
    no_number: str = ""
    """Why no number of items would resolve it."""


def from_history(runs: Sequence[Results]) -> dict[str, Resolution]:
    """What neighbouring stored runs of one suite say of every measure: the median of their errors.

    runs: of one training, oldest first. Checkpoint noise counts from five runs on.
    """
    if len(runs) < 2:
        return {}
    found: dict[str, list[Estimate]] = {}
    for earlier, later in zip(runs[:-1], runs[1:], strict=True):
        for row in compare(later, earlier):
            if row.delta is None or row.exact or not math.isfinite(row.delta.se):
                continue
            found.setdefault(row.measure, []).append(row.delta)
    last, before = runs[-1], runs[-2]
    rows = with_noise(compare(last, before), last, before, runs)
    noises = {row.measure: row.delta.noise for row in rows if row.delta is not None}
    return {
        measure: Resolution(
            _typical(errors, noises.get(measure)),
            f"measured on {len(errors)} pairs of stored runs",
        )
        for measure, errors in found.items()
    }


def assumed(n: int, clusters: Sequence[str] | None = None) -> Resolution:
    """What `n` right or wrong answers would resolve, a tenth of them changed, each for itself.

    clusters: of all the items that there are, "" for one that stands alone; None if the items are
    not known.
    """
    if clusters is None:
        said = "in items taken to be independent"
        return Resolution(_tenth_changed(n, n), f"{_ASSUMED}, {said}")
    error = _in_clusters(clusters[:n])
    said = f"in {error.clusters:,} clusters" if any(clusters) else "in independent items"
    return Resolution(error, f"{_ASSUMED}, {said}", clusters)


def _in_clusters(clusters: Sequence[str]) -> Estimate:
    alone = [name or str(place) for place, name in enumerate(clusters)]
    codes = np.unique(alone, return_inverse=True)[1].astype(np.int64)
    effect = expected_effect(codes, CHANGED)
    return replace(_tenth_changed(len(codes), len(codes) / effect), clusters=int(codes.max()) + 1)


def _tenth_changed(n: int, independent: float) -> Estimate:
    """A difference of nothing over `n` items that count for so many independent ones."""
    shares = Shares(CHANGED / 2, CHANGED / 2, independent)
    return Estimate(0.0, math.sqrt(CHANGED / independent), n, n, shares=shares)


def from_limits(
    suite: Suite, gate: Gate, clusters: Mapping[str, Sequence[str]]
) -> dict[str, Resolution]:
    """What the suite's items say of the gate's accuracies, before any run: as `assumed`.

    clusters: of every item, by task, where the items are known without a model. Of other tasks the
    suite's own limits are the number of items.
    """
    limits = _limits(suite)
    named = {(rule.measure, *rule.measure.rpartition("/")[::2]) for rule in gate.rules}
    found = {}
    for measure, task, metric in sorted(named):
        of_task = clusters.get(task)
        n = limits.get(task) or len(of_task or ())
        if task in limits and n and metric.partition("_")[0] == "acc":
            found[measure] = assumed(n, of_task)
    return found


def _limits(suite: Suite) -> dict[str, int | None]:
    """The most items of every task that the suite names; None without a limit."""
    found: dict[str, int | None] = {}
    for spec in suite.probes:
        for name, task in spec.tasks.items():
            limit = task.get("limit", spec.options.get("limit"))
            found[name] = int(limit) if limit is not None else None
    return found


def check(gate: Gate, known: Mapping[str, Resolution]) -> list[Check]:
    """Every rule on every measure it matches; a rule that matches nothing is unknown."""
    return [
        found
        for part, members in gate.parts.items()
        for rule in members
        for found in _checks(rule, known, 1 - gate.confidence, part)
    ]


def remedy(found: Check) -> str:
    """What would make the rule one that can be resolved."""
    wider = f"allow {_rounded_up(found.finest or 0):g}"
    if found.n_needed is None:
        return f"{wider}; more items would not do, as {found.no_number}"
    return f"{wider}, or measure {found.n_needed:,} items"


# ------------------------------------------------------------------ one rule


def _checks(rule: Rule, known: Mapping[str, Resolution], tail: float, part: str) -> Iterator[Check]:
    matched = [name for name in known if fnmatchcase(name, rule.measure)]
    words = str(rule)
    for name in sorted(matched):
        error = known[name].error
        finest = finest_margin(error, tail)
        margin = rule.not_worse_by
        bad = margin is not None and finest > margin
        needed = _needed(known[name], margin, tail) if bad and margin else None
        yield Check(
            measure=name,
            rule=words,
            said="cannot resolve" if bad else "resolves",
            finest=finest if is_relative(rule) else _half(error, tail),
            n=error.n,
            n_needed=needed,
            source=known[name].source,
            part=part,
            no_number=_no_number(known[name]) if bad and needed is None else "",
        )
    if not matched and rule.task != HEALTH:
        yield Check(rule.measure, words, "unknown", None, 0, None, "never measured", part)


def finest_margin(error: Estimate, tail: float) -> float:
    """The smallest margin that a difference of nothing passes with the power asked.

    Its bound must lie inside although the value itself falls short by its own error: the two
    reaches add (Chow, Shao & Wang 2008, Sample Size Calculations in Clinical Research, 4.2).
    """
    return _half(error, tail) + _half(error, 1 - POWER)


def _half(error: Estimate, tail: float) -> float:
    return math.hypot(reach(error, tail, "below"), noise_reach(error.noise, tail))


def _needed(known: Resolution, margin: float, tail: float) -> int | None:
    """The items at which the finest margin is `margin`, by bisection; None if none would do.

    Where all the items are known, those that are there, ten by ten.
    """
    error = known.error
    for n in range(error.n + 10 - error.n % 10, len(known.clusters) + 1, 10):
        if finest_margin(_in_clusters(known.clusters[:n]), tail) <= margin:
            return n
    if known.clusters or error.n == 0 or finest_margin(_times(error, 1e6), tail) > margin:
        return None
    low, high = 1.0, 1e6
    for _ in range(60):
        middle = math.sqrt(low * high)
        coarse = finest_margin(_times(error, middle), tail) > margin
        low, high = (middle, high) if coarse else (low, middle)
    return _rounded(float(error.n * high))


def _no_number(known: Resolution) -> str:
    if known.clusters:
        return f"all {len(known.clusters):,} that there are do not"
    return "the checkpoints themselves differ by more"


def _times(error: Estimate, factor: float) -> Estimate:
    """The same with so many times the items."""
    shares = error.shares
    if shares is not None:
        shares = Shares(shares.gained, shares.lost, shares.n * factor)
    return Estimate(
        value=error.value,
        se=error.se / math.sqrt(factor),
        n=error.n,
        clusters=max(error.clusters, int(error.clusters * factor)),
        skew=error.skew / math.sqrt(factor),
        shares=shares,
        noise=error.noise,
    )


def _typical(errors: Sequence[Estimate], noise: Noise | None) -> Estimate:
    """A difference of nothing with the median error; graded ones keep the median share changed."""
    middle = sorted(errors, key=lambda error: error.se)[len(errors) // 2]
    shares = middle.shares
    if shares is not None and shares.lost is not None:
        moved = (shares.gained + shares.lost) / 2
        shares = Shares(moved, moved, shares.n)
    n = int(np.median([error.n for error in errors]))
    return Estimate(0.0, middle.se, n, middle.clusters, shares=shares, noise=noise)


def _rounded(n: float) -> int:
    """Two digits, rounded up."""
    unit: int = 10 ** max(0, int(math.log10(n)) - 1)
    return math.ceil(n / unit) * unit


def _rounded_up(margin: float) -> float:
    """Two digits, rounded up."""
    if margin <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(margin)) - 1)
    return round(math.ceil(margin / unit - 1e-9) * unit, 12)
