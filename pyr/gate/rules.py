"""One rule against one estimate: which values it allows, and whether the limits lie among them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pyr.compare import Interval, quantile
from pyr.schema import Comparison, Estimate, Rule, State


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
    if row.better == "higher":
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


def n_needed(asked: Demand, observed: Estimate, confidence: float) -> int | None:
    """Items that would decide the rule if the observed value were the true one.

    The standard error falls with sqrt(n) if clusters grow in step: n (q se / gap)^2 items, where
    gap is the way from the value to the bound. None on the bound itself, or without an n or se.
    Up to a few times too many where no answer changed, as that error falls with n.
    """
    gap = abs(observed.value - asked.bound)
    if gap == 0 or observed.n == 0 or not math.isfinite(observed.se):
        return None
    reach = quantile(observed, confidence, sides=1) * observed.se
    return math.ceil(observed.n * (reach / gap) ** 2)
