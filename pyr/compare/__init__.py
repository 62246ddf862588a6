"""What changed between two runs, and how sure that is.

One estimator serves every measure: the weighted mean sum(v w) / sum(w), with the linearised
standard error of a ratio, clustered. Two runs are paired item by item wherever both hold the same
items, asked the same way.

    statistics.py     numbers in, numbers out: means, standard errors, shares, corrections
    limits.py         estimates -> confidence limits and p-values
    scores.py         one run's records -> an estimate for every task and group, computed once;
                      the mean of several checkpoints
    differences.py    two runs' scores -> a Comparison for every measure
    score_history.py  earlier checkpoints of one training: which, in which order, their scores
    versions.py       whether results under other versions of the libraries can be compared
    noise.py          how much scores differ for no lasting reason; whether a task carries signal
"""

from pyr.compare.differences import compare
from pyr.compare.limits import (
    Interval,
    interval,
    largest_tail,
    noise_reach,
    one_sided_p,
    reach,
)
from pyr.compare.noise import (
    ABOVE_CHANCE,
    Mark,
    Reliability,
    above_chance,
    chances,
    reliabilities,
    reliability,
    with_noise,
)
from pyr.compare.score_history import (
    Point,
    ScoreHistory,
    axis_of,
    in_order,
    phase_history,
    phase_of,
    same_question,
    same_training,
    score_history,
    training_of,
)
from pyr.compare.scores import average, average_of, averaged, estimate
from pyr.compare.statistics import benjamini_hochberg, holm

__all__ = [
    "ABOVE_CHANCE",
    "above_chance",
    "Interval",
    "Mark",
    "Reliability",
    "average",
    "average_of",
    "averaged",
    "benjamini_hochberg",
    "chances",
    "compare",
    "estimate",
    "holm",
    "interval",
    "largest_tail",
    "Point",
    "ScoreHistory",
    "axis_of",
    "in_order",
    "phase_history",
    "phase_of",
    "same_question",
    "same_training",
    "score_history",
    "training_of",
    "noise_reach",
    "one_sided_p",
    "reach",
    "reliabilities",
    "reliability",
    "with_noise",
]
