"""Two runs' measures -> a Comparison for every one of them."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from pyr.compare.limits import interval, mcnemar, p_value
from pyr.compare.scores import (
    Items,
    Measured,
    Measures,
    Positions,
    estimated,
    scores,
    with_shares,
)
from pyr.compare.statistics import ENOUGH_ALIKE, ENOUGH_SAME, Codes, graded, ratio, shares, spread
from pyr.schema import Comparison, Estimate, Note, NoteCode
from pyr.store import Results

_FEW_CHANGED = 50
"""Below so many changed answers the p-value is McNemar's exact one."""


_SHARES = frozenset(
    ["acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "em", "pass@1"]
)
"""Metrics that are shares of items, from 0 to 1."""


class _Difference(NamedTuple):
    delta: Estimate | None = None
    paired: bool = False
    p: float | None = None
    note: Note | None = None


def compare(candidate: Results, baseline: Results | None) -> list[Comparison]:
    """Every measure of either run, beside the other's, sorted by name.

    Measures with records in both runs are paired on the items they share; published means and
    items that were asked differently are compared as independent, and the note says so. Each group
    also gets one pooled row per metric. A measure that is missing or not finite has no delta and a
    note.
    Raises MeasureError if a run holds the same item of a measure twice.
    """
    asked = candidate.run.asked or (baseline.run.asked if baseline else {})
    ours = scores(candidate, asked)
    theirs = scores(baseline, asked) if baseline else {}
    same = _same_model(ours, theirs)
    rows = []
    for task, metric in sorted({*ours, *theirs}):
        here, there = ours.get((task, metric)), theirs.get((task, metric))
        found = _difference(here, there, metric, alone=baseline is None, same=same)
        rows.append(_row(task, metric, here, there, found))
    return rows


def _row(
    task: str, metric: str, here: Measured | None, there: Measured | None, found: _Difference
) -> Comparison:
    known = here or there
    assert known is not None
    limits = None
    if found.delta is not None and np.isfinite(found.delta.se):
        limits = interval(found.delta, 0.95)
    return Comparison(
        task=task,
        metric=metric,
        direction=known.direction,
        unit=known.unit,
        group=known.group,
        candidate=here.estimate if here else None,
        baseline=there.estimate if there else None,
        delta=found.delta,
        paired=found.paired,
        low=limits.low if limits else None,
        high=limits.high if limits else None,
        p=found.p,
        note=found.note,
        kind=known.kind,
        exact=known.exact,
    )


def _difference(
    here: Measured | None, there: Measured | None, metric: str, *, alone: bool, same: bool
) -> _Difference:
    """Candidate - baseline, paired where the same items were asked the same way.

    alone: there is no baseline at all, so that its absence is nothing to note.
    same: the two runs are of one model.
    """
    gaps = [_gap("candidate", here), "" if alone else _gap("baseline", there)]
    if here is None or there is None or any(gaps):
        text = "; ".join(filter(None, gaps))
        return _Difference(note=Note(NoteCode.MISSING, text) if text else None)
    if here.items is None or there.items is None:
        if scales := _scales(metric, here.estimate, there.estimate):
            return _Difference(note=Note(NoteCode.MISSING, scales))
        note = Note(NoteCode.MEAN_ONLY, "unpaired: only a mean was published")
        return _unpaired(here, there, note)
    mine, theirs = _shared(here.items, there.items)
    ours, others = here.items.take(mine), there.items.take(theirs)
    differently = _asked_differently(ours, others)
    if differently is not None:
        return _unpaired(here, there, differently)
    aggregate = here.kind == "aggregate"
    found = _paired(ours, others, census=here.exact, aggregate=aggregate, same=same)
    if len(mine) == len(here.items.keys) == len(there.items.keys):
        return found
    text = (
        f"paired on the {len(mine)} items that both runs hold, of the candidate's "
        f"{len(here.items.keys)} and the baseline's {len(there.items.keys)}"
    )
    return found._replace(note=Note(NoteCode.SHARED_ITEMS, text))


def _scales(metric: str, here: Estimate | None, there: Estimate | None) -> str:
    """Why two published shares cannot be on one scale (25 against 0.30); empty if they can."""
    if here is None or there is None or metric.partition(",")[0] not in _SHARES:
        return ""
    if (here.value > 1) == (there.value > 1):
        return ""
    return f"the scales differ: {here.value:g}, the baseline's {there.value:g}; one is in percent"


def _shared(here: Items, there: Items) -> tuple[Positions, Positions]:
    """Where the items that both hold lie in each, in the order of the first."""
    _, mine, others = np.intersect1d(here.keys, there.keys, assume_unique=True, return_indices=True)
    order = np.argsort(mine)
    return mine[order], others[order]


def _gap(who: str, measured: Measured | None) -> str:
    if measured is None:
        return f"not measured for the {who}"
    return f"{who}: {measured.fault}" if measured.fault else ""


def _asked_differently(ours: Items, others: Items) -> Note | None:
    """Why items of the same number are not pairs; None if they are."""
    total = len(ours.keys)
    if total == 0:
        text = "the documents differ: no item is in both runs; unpaired"
        return Note(NoteCode.OTHER_DOCUMENTS, text)
    for code, what, here, there in (
        (NoteCode.OTHER_DOCUMENTS, "documents", ours.documents, others.documents),
        (NoteCode.OTHER_PROMPTS, "prompts", ours.prompts, others.prompts),
    ):
        differing = int(((here != there) & (here >= 0) & (there >= 0)).sum())
        if differing:
            return Note(code, f"the {what} differ for {differing} of {total} items; unpaired")
    return None


def _paired(
    ours: Items, others: Items, *, census: bool, aggregate: bool, same: bool
) -> _Difference:
    here, there = ratio(ours.values, ours.weights), ratio(others.values, others.weights)
    changes, value = ours.values - others.values, here.mean - there.mean
    error = spread(ours.clusters, here, there)
    delta = estimated(value, error, len(changes))
    if census or (same and error.se == 0):
        delta = Estimate(value, 0.0, len(changes), error.clusters)
    elif np.isfinite(error.se) and not aggregate and _grades(ours, others):
        both = np.flatnonzero((ours.weights > 0) & (others.weights > 0))
        alone = spread(ours.clusters[both], ratio(changes[both], ours.weights[both]))
        counted = shares(changes[both], ours.weights[both], ours.clusters[both], alone, paired=True)
        delta = with_shares(delta, counted)
    elif error.se == 0 and not changes.any() and error.effective < ENOUGH_ALIKE:
        delta = dataclasses.replace(delta, se=float(np.inf))
        together = error.clusters < len(changes)
        n = f"{len(changes)} in {error.clusters} clusters" if together else f"{len(changes)}"
        text = f"no item changed, but {n} are too few to exclude that some would"
        return _Difference(delta, True, 1.0, Note(NoteCode.TOO_FEW_UNCHANGED, text))
    else:
        delta = dataclasses.replace(delta, scale=float(np.std(others.values)))
    p = p_value(delta)
    single = error.clusters == len(changes) > 1 and not aggregate
    if single and _plain(ours) and _plain(others) and np.count_nonzero(changes) < _FEW_CHANGED:
        p = mcnemar(int((changes > 0).sum()), int((changes < 0).sum()))
    return _Difference(delta, True, p)


def _same_model(ours: Measures, theirs: Measures) -> bool:
    """True if all log-likelihoods of both runs are the same to the last digit: a model saved again.

    Choices that did not change leave open how rarely they would, and so do the log-likelihoods of
    one task: what is broken in one place changes nothing elsewhere. Over all that was asked they
    leave nothing open. Written answers may be the same by chance, and do not count.
    """
    alike: list[Codes] = []
    for name in ours.keys() & theirs.keys():
        here, there = ours[name].items, theirs[name].items
        if here is None or there is None:
            continue
        mine, others = _shared(here, there)
        answers, known = here.answers[mine], there.answers[others]
        scored = (answers >= 0) & (known >= 0)
        if (answers != known)[scored].any():
            return False
        alike.append(here.keys[mine][scored])
    return bool(alike) and len(np.unique(np.concatenate(alike))) >= ENOUGH_SAME


def _grades(ours: Items, others: Items) -> bool:
    """True if both are graded, and an item that weighs in both weighs the same."""
    both = (ours.weights > 0) & (others.weights > 0)
    equal = bool(both.any()) and np.array_equal(ours.weights[both], others.weights[both])
    return equal and graded(ours.values) and graded(others.values)


def _plain(items: Items) -> bool:
    """True if every item is right or wrong, and counts the same."""
    return bool(np.isin(items.values, (0, 1)).all() and np.ptp(items.weights) == 0)


def _unpaired(here: Measured, there: Measured, note: Note) -> _Difference:
    """Independent samples: variances add, degrees of freedom by Welch 1947, rounded down."""
    ours, theirs = here.estimate, there.estimate
    assert ours is not None and theirs is not None
    se = float(np.hypot(ours.se, theirs.se))
    if not np.isfinite(se):
        text = f"{note.text}; without a standard error there is no interval"
        note = Note(note.code, text)
    known = [one for one in (ours, theirs) if one.freedom and 0 < one.se < np.inf]
    freedom = sum((one.se / se) ** 4 / one.freedom for one in known)
    clusters = int(1 / freedom) + 1 if freedom and np.isfinite(se) else 0
    delta = Estimate(ours.value - theirs.value, se, min(ours.n, theirs.n), clusters)
    return _Difference(delta, False, p_value(delta), note)
