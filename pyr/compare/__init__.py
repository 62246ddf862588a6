"""What changed between two runs, and how sure that is.

One estimator serves every measure: the weighted mean sum(v w) / sum(w), with the linearised
standard error of a ratio, clustered. Two runs are paired item by item wherever both hold the same
items, asked the same way.

    statistics.py    numbers in, numbers out: standard errors, limits, p-values, corrections
    measures.py      one run's records -> an estimate for every task and group
    differences.py   two runs' estimates -> a Comparison for every measure
"""

from pyr.compare.differences import OTHER_DOCUMENTS, OTHER_PROMPTS, compare
from pyr.compare.measures import estimate
from pyr.compare.statistics import Interval, benjamini_hochberg, holm, interval, quantile

__all__ = [
    "OTHER_DOCUMENTS",
    "OTHER_PROMPTS",
    "Interval",
    "benjamini_hochberg",
    "compare",
    "estimate",
    "holm",
    "interval",
    "quantile",
]
