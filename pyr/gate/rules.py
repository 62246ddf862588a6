"""One rule against one estimate: which values it allows, and whether the limits lie among them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pyr.compare import Interval, noise_reach, reach
from pyr.gate.spec import Rule
from pyr.schema import Comparison, Estimate, State

MISSED = 0.2
"""The chance that so many items as are said to be needed decide nothing after all."""


@dataclass(frozen=True, slots=True)
class Demand:
    """The values a rule allows: all on one side of `bound`, which itself is in or not."""

    bound: float
    side: Literal["above", "below"]
    inclusive: bool


def is_relative(rule: Rule) -> bool:
    """True if the rule is about the difference from the baseline, not about the score."""
    return rule.not_worse_by is not None or rule.better_by is not None


def demand(rule: Rule, row: Comparison) -> Demand:
    """What the rule allows, in the measure's own units and direction."""
    if rule.at_least is not None:
        return Demand(rule.at_least, "above", inclusive=True)
    if rule.at_most is not None:
        return Demand(rule.at_most, "below", inclusive=True)
    gain = rule.better_by if rule.better_by is not None else -(rule.not_worse_by or 0)
    inclusive = rule.better_by is None
    if row.direction == "higher":
        return Demand(gain, "above", inclusive)
    return Demand(-gain, "below", inclusive)


def decide(asked: Demand, limits: Interval) -> State:
    """Pass if both limits are allowed, fail if neither is, else unclear."""
    near, far, bound = limits.low, limits.high, asked.bound
    if asked.side == "below":
        near, far, bound = -limits.high, -limits.low, -asked.bound
    if near > bound or (asked.inclusive and near == bound):
        return "pass"
    if far < bound or (not asked.inclusive and far == bound):
        return "fail"
    return "unclear"


def deciding_limit(asked: Demand, limits: Interval, state: State) -> float | None:
    """The limit held against the rule: the worse one, unless even the better one is not allowed."""
    low = (asked.side == "above") != (state == "fail")
    limit = limits.low if low else limits.high
    return limit if math.isfinite(limit) else None


def is_census(observed: Estimate) -> bool:
    """True if nothing was sampled, so that the value is known."""
    return observed.se == 0 and observed.shares is None and observed.noise is None


def n_needed(asked: Demand, observed: Estimate, tail: float) -> int | None:
    """Items that would decide the rule four times in five if the observed value were the true one.

    The items' part of the error falls with sqrt(n) if clusters grow in step, checkpoint noise does
    not: n reach^2 / (gap^2 - drift^2) items, where gap is the way from the value to the bound, and
    the reach that of the tail and of a fifth together (Chow, Shao & Wang 2008, 4.2). None
    on the bound itself, where the noise alone is wider than the gap, or without an n or se. Up to a
    few times too many where few answers changed, as that error falls faster.
    """
    spare = _gap(asked, observed) ** 2 - noise_reach(observed.noise, tail) ** 2
    if spare <= 0 or observed.n == 0 or not math.isfinite(observed.se):
        return None
    n = math.ceil(observed.n * _reach(asked, observed, tail) ** 2 / spare)
    return max(n, observed.n + 1)


def more_needed(asked: Demand, observed: Estimate, tail: float) -> str:
    """What would decide the rule, in words: items, checkpoints, or that nothing would."""
    gap, drift = _gap(asked, observed), noise_reach(observed.noise, tail)
    if not math.isfinite(observed.se):
        return "its standard error is unknown"
    if gap == 0:
        return "no number of items would decide it, as what was observed is the bound itself"
    if gap <= drift:
        k = math.ceil((drift / gap) ** 2) + 1
        return f"no number of items would decide it, but means of {k} checkpoints might"
    if observed.n == 0:
        times = _reach(asked, observed, tail) ** 2 / (gap**2 - drift**2)
        return f"{times:.2g} times its items would decide it"
    return ""


def _gap(asked: Demand, observed: Estimate) -> float:
    return abs(observed.value - asked.bound)


def _reach(asked: Demand, observed: Estimate, tail: float) -> float:
    """How far the items' error reaches towards the bound."""
    side: Literal["above", "below"] = "above" if asked.bound > observed.value else "below"
    other: Literal["above", "below"] = "below" if side == "above" else "above"
    return reach(observed, tail, side) + reach(observed, MISSED, other)
