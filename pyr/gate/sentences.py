"""Findings in words: what was seen, how surely, and what that means for the rule."""

from __future__ import annotations

import math

import pandas as pd

from pyr.compare import Interval
from pyr.gate.rules import is_relative
from pyr.gate.spec import Rule
from pyr.schema import Comparison, Estimate, State


def judged(
    rule: Rule,
    row: Comparison,
    limits: Interval,
    state: State,
    *,
    level: str,
    needed: str,
    of: int = 0,
) -> str:
    """``sciq/acc fell by 0.076 (95% bounds -0.108 to -0.044, n=1000, paired): worse by ...``.

    limits: one-sided, of the delta for a relative rule, else of the score; level: ``95%``; needed:
    what would decide an unclear finding, in words; of: the items there are, where a run in stages
    may have asked fewer.
    """
    observed = row.delta if is_relative(rule) else row.candidate
    assert observed is not None
    decimals = _decimals((limits.high - limits.low) / 2, rule.value or 0.0)
    seen = f"is {_number(observed.value, decimals)}"
    if is_relative(rule):
        seen = _movement(observed.value, decimals, row.unit)
    basis = _basis(rule, row, limits, level=level, of=of, decimals=decimals)
    gained = (observed.value > 0) == (row.direction == "higher") and observed.value != 0
    statement = f"{row.measure} {seen} ({basis}): {_judgement(rule, state, gained=gained)}"
    return f"{statement}; {needed}" if needed else statement


def items_needed(n: int) -> str:
    """``about 1,300 items would decide it``."""
    return f"about {_roughly(n):,} items would decide it"


def one_of_many(count: int, needed: str) -> str:
    """Remark on a finding that would fail alone, but may be chance as one of `count` tested."""
    return (
        f", if this were the only rule; as one of {count} that may fail, it is not "
        f"certain enough; {needed}"
    )


def watched(state: State) -> str:
    """Remark on a finding of a rule that only watches."""
    would = {"fail": "it would fail", "unclear": "it would be unclear", "pass": "it would pass"}
    return f"; only watched, and closes no gate ({would[state]})"


def broken(row: Comparison, failed: pd.DataFrame) -> str:
    """A failed health check, by the names of what is broken.

    failed: its records with the value 0; `responses` says what is wrong with each item.
    """
    pairs = zip(failed["item"], failed["responses"], strict=True)
    named = [f"{item}: {said}" if said else item for item, said in pairs]
    more = [f"and {len(named) - 3} more"] if len(named) > 3 else []
    total = row.candidate.n if row.candidate else len(named)
    return (
        f"{row.measure} is broken, {len(named)} of {total} checks failed: "
        f"{'; '.join(named[:3] + more)}"
    )


# ------------------------------------------------------------------ parts of a sentence


def _basis(
    rule: Rule, row: Comparison, limits: Interval, *, level: str, of: int, decimals: int | None
) -> str:
    observed = row.delta if is_relative(rule) else row.candidate
    assert observed is not None
    if row.kind == "check":
        return f"all {observed.n} checks" if observed.n > 1 else "1 check"
    if row.exact:
        return "counted"
    parts = []
    if math.isfinite(observed.se):
        sign = "+" if is_relative(rule) else ""
        low, high = (_number(limit, decimals, sign) for limit in (limits.low, limits.high))
        parts.append(f"{level} bounds {low} to {high}")
    parts.append(_counted(observed, of))
    if is_relative(rule):
        parts.append("paired" if row.paired else "unpaired")
    if math.isfinite(observed.se):
        parts.append(_noises(observed))
    return ", ".join(parts)


def _counted(observed: Estimate, of: int) -> str:
    if not observed.n:
        return "n unknown"
    asked = f"n={observed.n} of {of}" if of else f"n={observed.n}"
    together = 0 < observed.clusters < observed.n
    return f"{asked} in {observed.clusters} clusters" if together else asked


def _noises(observed: Estimate) -> str:
    """Which errors the bounds hold."""
    if observed.noise is None:
        return "item noise"
    return f"noise of items and of {observed.noise.checkpoints} checkpoints"


def _judgement(rule: Rule, state: State, *, gained: bool) -> str:
    """gained: whether what was seen is a change for the better."""
    if rule.not_worse_by is not None:
        inside, outside = "within the {:g} allowed", "worse by more than the {:g} allowed"
        if state == "pass" and gained:
            inside = "better, where worse by {:g} was allowed"
    elif rule.better_by is not None:
        inside = "a gain of more than the {:g} asked"
        outside = f"not {inside}"
    elif rule.at_least is not None:
        inside, outside = "at least the {:g} asked", "less than the {:g} asked"
    else:
        inside, outside = "at most the {:g} allowed", "more than the {:g} allowed"
    truth = "the true change is" if is_relative(rule) else "the true value is"
    unclear = f"cannot tell whether {truth} {inside}"
    return {"pass": inside, "fail": outside, "unclear": unclear}[state].format(rule.value)


def _movement(delta: float, decimals: int | None, unit: str) -> str:
    if delta == 0:
        return "did not change"
    amount = f"{_number(abs(delta), decimals)} {unit}".rstrip()
    return f"{'rose' if delta > 0 else 'fell'} by {amount}"


def _decimals(half_width: float, limit: float) -> int | None:
    """Two digits of the uncertainty, none finer than a hundredth of the rule's limit.

    None where there is no uncertainty to go by.
    """
    if not 0 < half_width < math.inf:
        return None
    digit = math.floor(math.log10(half_width)) - 1
    if limit:
        digit = max(digit, math.floor(math.log10(abs(limit))) - 2)
    return min(6, max(0, -digit))


def _number(value: float, decimals: int | None, sign: str = "") -> str:
    if decimals is None:
        return f"{value:{sign}.4g}"
    # Adding zero turns a rounded -0.0 into 0.0.
    return f"{round(value, decimals) + 0.0:{sign}.{decimals}f}"


def _roughly(n: int) -> int:
    """Two digits, rounded up: more would be false precision."""
    unit = int(10 ** max(0, len(str(n)) - 2))
    return math.ceil(n / unit) * unit
