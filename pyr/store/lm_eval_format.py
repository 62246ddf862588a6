"""lm-eval's metrics and files: how its scores become records and records its scores.

lm-eval writes for every item whatever its aggregation function wants: a number, a pair of
log-likelihood and bytes, a list of booleans. A `Form` turns each into value and weight, so that
sum(value * weight) / sum(weight) is the aggregate, on the log scale for perplexities
(lm_eval/api/metrics.py, 0.4.13). A metric that is no such mean (F1, MCC, corpus BLEU) has no form:
measured, it is compared by a jackknife (`pyr.probes.aggregates`); an imported file keeps its
published score.

To support another aggregation function of lm-eval, add its form to `FORMS`: measuring, import and
export follow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from pyr.errors import MeasureError
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
_LOWER_WORDS = frozenset(
    ["loss", "nll", "ppl", "perplexity", "bpb", "error", "errors", "err"]
    + ["wer", "cer", "ter", "mse", "mae", "rmse", "brier", "ece"]
)
_HIGHER_WORDS = frozenset(
    ["acc", "accuracy", "em", "exact", "match", "f1", "mcc", "bleu", "chrf", "chrf++", "pass"]
    + ["rouge", "rouge1", "rouge2", "rougel", "rougelsum", "precision", "recall", "correct"]
)
"""Words of a metric's name that say which way is better, for files that do not state it."""
LIKELIHOODS = frozenset(
    ["acc", "acc_norm", "acc_bytes", "acc_mutual_info", "likelihood_difference", "likelihood_diff"]
    + ["pct_stereotype", "ppl", "perplexity", "word_perplexity", "byte_perplexity"]
    + ["bits_per_byte", "brier_score", "f1", "mcc"]
)
"""Metrics of lm-eval's tasks that score choices or texts: nothing is generated for them."""
_NOT_METRICS = frozenset({"name", "alias", "sample_len", "sample_count"})


class Weighted(NamedTuple):
    """One item's share of a weighted mean; also a score with its standard error."""

    value: float
    weight: float


@dataclass(frozen=True, slots=True)
class Form:
    """What one of lm-eval's aggregation functions makes of items, as a weighted mean."""

    fits: Callable[[Any], bool]
    """Whether what a file of samples holds for an item can be of this form."""
    item: Callable[[Any], Weighted]
    """What process_results returned for one document -> value and weight."""
    log: bool = False
    """Our weighted mean is the logarithm of lm-eval's aggregate, and is named so."""
    direction: Direction | None = None
    """Set where the change of scale also turns the direction."""
    unit: str = ""

    def score(self, mean: float) -> float:
        """Return lm-eval's aggregate for our weighted mean."""
        return _exp(mean) if self.log else float(mean)

    def label(self, name: str) -> str:
        """Return our name of lm-eval's metric `name`."""
        return f"log_{name}" if self.log else name


# ------------------------------------------------------------------ the forms


def _is_number(raw: Any) -> TypeGuard[float]:
    return isinstance(raw, int | float) and not isinstance(raw, bool)


def _is_number_or_truth(raw: Any) -> bool:
    return isinstance(raw, int | float)


def _unless_nan(raw: Any) -> Weighted:
    return Weighted(0.0, 0.0) if math.isnan(raw) else Weighted(float(raw), 1.0)


def _is_truths(raw: Any) -> bool:
    return isinstance(raw, list) and bool(raw) and all(isinstance(one, bool) for one in raw)


def _is_likelihood_and_length(raw: Any) -> bool:
    return isinstance(raw, list) and len(raw) == 2 and all(map(_is_number, raw)) and raw[1] >= 0


def _is_value_and_weight(raw: Any) -> bool:
    return isinstance(raw, dict)


def _nats(raw: Any) -> Weighted:
    """Turn (log-likelihood, words or bytes) into nats a word or byte; an empty text weighs none."""
    return Weighted(-raw[0] / raw[1], raw[1]) if raw[1] else Weighted(0.0, 0.0)


def _bits(raw: Any) -> Weighted:
    nats, num_bytes = _nats(raw)
    return Weighted(nats / math.log(2), num_bytes)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


# By the name of lm-eval's aggregation function.
FORMS: dict[str, Form] = {
    "mean": Form(
        fits=_is_number_or_truth,
        item=lambda raw: Weighted(float(raw), 1.0),
    ),
    "nanmean": Form(
        fits=_is_number_or_truth,
        item=_unless_nan,
    ),
    # IFEval, instruction level: a list of followed-or-not for every prompt.
    "agg_inst_level_acc": Form(
        fits=_is_truths,
        item=lambda raw: Weighted(sum(raw) / len(raw), float(len(raw))),
    ),
    "bits_per_byte": Form(
        fits=_is_likelihood_and_length,
        item=_bits,
        direction="lower",
        unit="bits/byte",
    ),
    # exp(-mean log-likelihood): paired on the log scale, in nats a target.
    "perplexity": Form(
        fits=_is_number,
        item=lambda raw: Weighted(-float(raw), 1.0),
        log=True,
        direction="lower",
        unit="nats",
    ),
    # exp(-sum ll / sum words or bytes): nats a word or byte.
    "weighted_perplexity": Form(
        fits=_is_likelihood_and_length,
        item=_nats,
        log=True,
        direction="lower",
        unit="nats",
    ),
}
_OF_TASKS = frozenset({"agg_inst_level_acc"})
"""Forms of functions that lm-eval's tasks bring along."""
# Of no function of lm-eval's: what an export writes for a weight that lm-eval has no form for.
_STATED = Form(
    fits=_is_value_and_weight,
    item=lambda raw: Weighted(raw["value"], raw["weight"]),
)


def form_of(task: Any, metric: str) -> Form | None:
    """Return the form of a metric that an lm-eval task's process_results gave.

    None for one whose aggregate is no mean of items. As lm-eval does, the mean is taken of a metric
    for which the task names no aggregate. A task's own function counts by its name only where no
    function of lm-eval's has that name.
    """
    function = task.aggregation().get(metric)
    if function is None:
        return FORMS["mean"]
    name = getattr(function, "__name__", "")
    own = getattr(function, "__module__", "") != "lm_eval.api.metrics"
    return None if own and name not in _OF_TASKS else FORMS.get(name)


def check_aggregate(task: str, metric: str, form: Form, function: Any, raws: Sequence[Any]) -> None:
    """Raise MeasureError if our weighted mean of the items is not lm-eval's aggregate of them."""
    weighted = list(map(form.item, raws))
    if not any(each.weight for each in weighted):
        return  # nothing but empty texts: lm-eval divides by zero
    ours, theirs = form.score(_mean(weighted)), float(function(list(raws)))
    if not _same(ours, theirs):
        raise MeasureError(
            f"{task}/{metric}: the records give {ours}, lm-eval's aggregate is {theirs}.",
            remedy="this is a fault of Pyr or a changed lm-eval: please report it",
        )


def _mean(items: Iterable[Weighted]) -> float:
    total = weights = 0.0
    for item in items:
        total += item.value * item.weight
        weights += item.weight
    return total / weights if weights else math.nan


def _same(ours: float, theirs: float) -> bool:
    """Equal to 1e-6: relatively for values over 1, as perplexities are."""
    return math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-6)


# ------------------------------------------------------------------ results files


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
    """Which way is better: as the file states it, else by what the words of its name mean.

    Where neither says it, ``none``: such a measure describes, and decides nothing.
    """
    if higher_is_better is not None:
        return "higher" if higher_is_better else "lower"
    if metric in _LOWER_IS_BETTER:
        return "lower"
    said = set(re.split(r"[^a-z0-9]+", metric.lower()))
    lower, higher = bool(said & _LOWER_WORDS), bool(said & _HIGHER_WORDS)
    if lower == higher:
        return "none"
    return "lower" if lower else "higher"


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


class Itemised(NamedTuple):
    """A published score taken apart."""

    label: str
    unit: str
    items: list[Weighted]


def items(score: Published, raws: Sequence[Any]) -> Itemised | None:
    """Every item's value and weight, if the published score is a weighted mean of what they hold.

    None for F1, corpus BLEU and the like, or where the samples are not those of the score.
    """
    for form in (*FORMS.values(), _STATED):
        if not raws or not all(map(form.fits, raws)):
            continue
        found = [form.item(raw) for raw in raws]
        if _same(form.score(_mean(found)), score.value):
            return Itemised(score.label_on(log=form.log), form.unit, found)
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


def samples_file(results: Path, task: str) -> Path:
    """Where lm-eval puts a task's samples: beside the results, with the same date."""
    date = results.stem.rpartition("_")[2]
    return results.with_name(f"samples_{file_part(task)}_{date}.jsonl")


def file_part(name: str) -> str:
    """A model's or task's name as a part of a file name, as lm_eval.utils.sanitize_model_name."""
    return re.sub(r"[\"<>:/|\\?*\[\]]+", "__", name)
