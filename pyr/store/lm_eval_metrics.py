"""lm-eval's metrics as Pyr's weighted means, and back.

lm-eval writes for every item whatever its aggregation function wants: a number, a pair of
log-likelihood and bytes, a list of booleans. The forms below turn each into value and weight, so
that sum(value * weight) / sum(weight) is the aggregate, on the log scale for perplexities
(lm_eval/api/metrics.py, 0.4.13: mean, perplexity, weighted_perplexity, bits_per_byte).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

from pyr.schema import Direction

_PERPLEXITIES = {
    "ppl": "perplexity",
    "perplexity": "perplexity",
    "word_perplexity": "word_perplexity",
    "byte_perplexity": "byte_perplexity",
}
"""Compared as logarithms: an untrained model's perplexity is millions, a trained one's ten."""
_LOWER_IS_BETTER = frozenset(
    {
        *("ppl", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "bpb"),
        *("loss", "nll", "likelihood_difference", "likelihood_diff", "pct_stereotype"),
        *("brier_score", "ter", "wer", "cer", "mse", "mae", "rmse"),
    }
)
"""For files that do not state it, with the meaning these names have in lm-eval's own tasks."""
_NOT_METRICS = frozenset({"name", "alias", "sample_len", "sample_count"})


class Weighted(NamedTuple):
    """One item's share of a weighted mean."""

    value: float
    weight: float


@dataclass(frozen=True, slots=True)
class Published:
    """One score as a results file states it."""

    metric: str
    filter: str
    """``none`` where the file names no filter."""
    value: float
    se: float | None

    @property
    def label(self) -> str:
        """The metric's name in records, as the harness probe gives it."""
        return self.label_on(log=self.metric in _PERPLEXITIES)

    def label_on(self, *, log: bool) -> str:
        """The same, on the log scale or not."""
        name = _PERPLEXITIES.get(self.metric, self.metric)
        name = f"log_{name}" if log else name
        return name if self.filter == "none" else f"{name},{self.filter}"

    @property
    def unit(self) -> str:
        """The unit of the value in records."""
        if self.metric in _PERPLEXITIES:
            return "nats"
        return "bits/byte" if self.metric == "bits_per_byte" else ""

    def on_our_scale(self) -> tuple[float, float | None]:
        """Value and standard error as aggregates of ours state them.

        A perplexity becomes its logarithm, with the delta method's se / perplexity.
        """
        if self.metric not in _PERPLEXITIES:
            return self.value, self.se
        if not self.value > 0:
            return math.nan, None
        return math.log(self.value), None if self.se is None else self.se / self.value


def published(results: Mapping[str, Any]) -> Iterator[Published]:
    """The scores of one task, from the keys ``acc`` and ``acc_stderr`` or ``acc,none`` and so on.

    What is no number (aliases, ``N/A``) is passed over.
    """
    for key, value in results.items():
        metric, comma, filter_name = key.partition(",")
        if metric.endswith("_stderr") or metric in _NOT_METRICS or not _is_number(value):
            continue
        se = results.get(f"{metric}_stderr{comma}{filter_name}")
        known = float(se) if _is_number(se) and math.isfinite(se) else None
        yield Published(metric, filter_name or "none", float(value), known)


def direction(metric: str, higher_is_better: bool | None) -> Direction:
    """Which way is better: as the file states it, else by what the name means in lm-eval."""
    if higher_is_better is None:
        higher_is_better = metric not in _LOWER_IS_BETTER
    return "higher" if higher_is_better else "lower"


def num_items(value: float, se: float | None) -> int | None:
    """How many zeros and ones have this mean and standard error; None if no number of them has.

    lm-eval's error of a mean is the sample standard deviation over sqrt(n), which for zeros and
    ones is sqrt(p (1 - p) / (n - 1)). Both n and p n must come out whole.
    """
    if se is None or not (0 < value < 1 and se > 0):
        return None
    exact = value * (1 - value) / se**2 + 1
    n = round(exact)
    is_whole = abs(exact - n) < 1e-4 and abs(value * n - round(value * n)) < 1e-4
    return n if is_whole else None


# ------------------------------------------------------------------ items


class Itemised(NamedTuple):
    """A published score taken apart."""

    label: str
    unit: str
    items: list[Weighted]


def items(score: Published, raws: Sequence[Any]) -> Itemised | None:
    """Every item's value and weight, if the published score is a weighted mean of what they hold.

    None for F1, corpus BLEU and the like, or where the samples are not those of the score: the
    mean may differ from what was published by 1e-6, relatively above 1.
    """
    for form in _FORMS:
        found = [form.item(raw) for raw in raws]
        whole = [item for item in found if item is not None]
        if not whole or len(whole) < len(found):
            continue
        weights = sum(item.weight for item in whole)
        mean = sum(item.value * item.weight for item in whole) / weights
        if math.isclose(form.score(mean), score.value, rel_tol=1e-6, abs_tol=1e-6):
            return Itemised(score.label_on(log=form.score is _exp), form.unit, whole)
    return None


def sample_value(label: str, unit: str, item: Weighted) -> Any:
    """What lm-eval writes for this item: the inverse of `items`, or a `weighted_sample`."""
    metric = lm_eval_name(label).partition(",")[0]
    if metric == "perplexity":
        return -item.value
    if metric in _PERPLEXITIES:
        return [-item.value * item.weight, item.weight]
    if unit == "bits/byte":
        return [-item.value * item.weight * math.log(2), item.weight]
    if item.weight == 1:
        return item.value
    # No form of lm-eval's: say both.
    return {"value": item.value, "weight": item.weight}


def lm_eval_name(label: str) -> str:
    """lm-eval's ``metric,filter`` for the metric of a record."""
    metric, _, filter_name = label.partition(",")
    plain = metric.removeprefix("log_")
    return f"{plain if plain in _PERPLEXITIES else metric},{filter_name or 'none'}"


def published_scale(label: str, value: float, se: float) -> Weighted:
    """Value and standard error as lm-eval publishes them: perplexities are no logarithms there."""
    if lm_eval_name(label).partition(",")[0] not in _PERPLEXITIES:
        return Weighted(value, se)
    perplexity = _exp(value)
    return Weighted(perplexity, se * perplexity)


@dataclass(frozen=True, slots=True)
class _Form:
    item: Callable[[Any], Weighted | None]
    """One sample's value under a metric; None if it is not of this form."""
    score: Callable[[float], float] = float
    """Our weighted mean -> lm-eval's aggregate."""
    unit: str = ""


def _is_number(raw: Any) -> TypeGuard[float]:
    return isinstance(raw, int | float) and not isinstance(raw, bool)


def _number(raw: Any) -> Weighted | None:
    return Weighted(float(raw), 1.0) if isinstance(raw, int | float) else None


def _answers(raw: Any) -> Weighted | None:
    """IFEval, instruction level: followed or not, a list a prompt."""
    if not isinstance(raw, list) or not raw or not all(isinstance(one, bool) for one in raw):
        return None
    return Weighted(sum(raw) / len(raw), float(len(raw)))


def _likelihood(raw: Any) -> Weighted | None:
    return Weighted(-float(raw), 1.0) if _is_number(raw) else None


def _nats(raw: Any) -> Weighted | None:
    """[log-likelihood, words or bytes] -> nats a word or byte."""
    if not isinstance(raw, list) or len(raw) != 2 or not all(map(_is_number, raw)) or raw[1] <= 0:
        return None
    return Weighted(-raw[0] / raw[1], float(raw[1]))


def _bits(raw: Any) -> Weighted | None:
    item = _nats(raw)
    return item and Weighted(item.value / math.log(2), item.weight)


def _stated(raw: Any) -> Weighted | None:
    return Weighted(raw["value"], raw["weight"]) if isinstance(raw, dict) else None


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


_FORMS = (
    _Form(_number),
    _Form(_answers),
    _Form(_bits, unit="bits/byte"),
    _Form(_likelihood, _exp, "nats"),
    _Form(_nats, _exp, "nats"),
    _Form(_stated),
)
