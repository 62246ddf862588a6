"""How far texts stand from reference texts, as numbers that are means over the texts.

Two checkpoints are compared in pairs, text by text, so that a distance between distributions must
be a mean of one number a text. The Wasserstein-1 distance is one: by Kantorovich's duality it is
the largest difference of means that any function of slope at most 1 shows, and the function that
shows it is known (Villani 2009, Optimal Transport, theorem 5.10 and remark 6.5). The value of a
text is that function at the text less its mean over the reference; to the first order this is also
the text's influence on the distance, so that the standard error of such values is its own.
A mean z-score would not do: texts that are all alike, at the mean of the reference, would score 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

_FARTHEST = 5.0
"""Standard deviations beyond which a text counts no more: one text of noise is only one text."""
_APART = 1.0
"""Squared standard deviations that two references must lie apart to give a direction."""


def witness(values: Floats, reference: Floats) -> Floats:
    """For each value its share in the Wasserstein-1 distance to the reference; their mean is it.

    With F and G the distribution functions of values and reference, the distance is the integral
    of |F - G|, and h(x) = integral over t >= x of sign(F(t) - G(t)) has mean difference |F - G|.
    """
    points = np.unique(np.concatenate([values, reference]))
    if len(points) == 1:
        return np.zeros(len(values))
    ours = np.searchsorted(np.sort(values), points[:-1], side="right") / len(values)
    theirs = np.searchsorted(np.sort(reference), points[:-1], side="right") / len(reference)
    steps = np.sign(ours - theirs) * np.diff(points)
    heights = np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]])
    at = dict(zip(points.tolist(), heights.tolist(), strict=True))
    level = float(np.mean([at[value] for value in reference.tolist()]))
    return np.array([at[value] - level for value in values.tolist()])


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The features of a domain's reference texts: what is usual, and how much they vary."""

    names: tuple[str, ...]
    table_IF: Floats
    """One row a text, one column a feature."""

    @property
    def mean_F(self) -> Floats:
        """The usual value of every feature."""
        mean: Floats = self.table_IF.mean(axis=0)
        return mean

    @property
    def sd_F(self) -> Floats:
        """How much it varies; 1 for a feature that is the same in every reference text."""
        spread: Floats = self.table_IF.std(axis=0, ddof=1)
        return np.where(spread > 1e-9, spread, 1.0)

    def scaled(self, table_IF: Floats) -> Floats:
        """The features in standard deviations of the reference from its mean, five at most."""
        scores: Floats = np.clip((table_IF - self.mean_F) / self.sd_F, -_FARTHEST, _FARTHEST)
        return scores

    def distances(self, table_IF: Floats) -> Floats:
        """For each text and feature its share in the distance, in standard deviations."""
        ours, theirs = self.scaled(table_IF), self.scaled(self.table_IF)
        columns = [witness(ours[:, f], theirs[:, f]) for f in range(len(self.names))]
        return np.stack(columns, axis=1)

    def floor(self) -> Floats:
        """The distances of one half of the reference texts from the other: what luck gives."""
        halves = [Yardstick(self.names, self.table_IF[start::2]) for start in (0, 1)]
        parts = [halves[1].distances(halves[0].table_IF), halves[0].distances(halves[1].table_IF)]
        return np.concatenate(parts)


def yardstick(found: Sequence[Mapping[str, float]], names: Sequence[str]) -> Yardstick:
    """The yardstick that these texts' features make."""
    return Yardstick(tuple(names), table(found, names))


def table(found: Sequence[Mapping[str, float]], names: Sequence[str]) -> Floats:
    """The features of texts as rows, in the order of `names`."""
    return pd.DataFrame(found, columns=list(names)).to_numpy(dtype=np.float64)


def toward(own: Yardstick, other: Yardstick, table_IF: Floats) -> Floats | None:
    """How far each text has gone from its own domain to another: 0 is the one, 1 the other.

    Along Fisher's direction between the two references with a diagonal covariance (Bickel and
    Levina 2004, Bernoulli 10). None if the two references hardly differ.
    """
    gap = own.scaled(other.table_IF).mean(axis=0)
    inside = (own.sd_F**2 + other.sd_F**2) / 2 / own.sd_F**2
    weights = gap / inside
    length = float(weights @ gap)
    if length < _APART:
        return None
    way: Floats = own.scaled(table_IF) @ weights / length
    return way


def stiffness(own: Yardstick, table_IF: Floats) -> Floats:
    """How stilted each text is: longer sentences and words, less talk of I and you.

    The mean of three z-scores against the domain's own reference, the third one turned round:
    the involved and informational poles of Biber 1988, Variation across Speech and Writing.
    """
    signs = {"sentence_words": 1.0, "word_letters": 1.0, "personal_words": -1.0}
    places = [own.names.index(name) for name in signs]
    scores: Floats = own.scaled(table_IF)[:, places] @ np.array(list(signs.values())) / len(signs)
    return scores
