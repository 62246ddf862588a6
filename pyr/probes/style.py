"""How a text is written: its sentences, words and script, or the lines of its code.

Every feature is a plain count over one text, without a model and without a dictionary.
"""

from __future__ import annotations

import ast
import keyword
import re
import statistics
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

FEWEST_WORDS = 10
"""A text of fewer says nothing of its style."""
VARIETY_UNITS = 60
"""Variety is counted over the first so many units, as it falls with length."""

ENGLISH = 0.2
"""The share of function words from which on a text counts as English."""

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_END = re.compile(r"(?<=[.!?])[\"'\u201d\u2019)\]]*\s+|\n+")
_QUOTED = re.compile(r"\"[^\"\n]*\"|\u201c[^\u201d\n]*\u201d")
_VOWELS = re.compile(r"[aeiouy]+")
_NAME = re.compile(r"[A-Za-z_]\w*")

FUNCTION_WORDS = frozenset(
    "a about after all also an and any are as at be because been before but by can could did do "
    "does for from had has have he her here him his how i if in into is it its just like made make "
    "many may me more most my no not now of on one only or other our out over she should so some "
    "such than that the their them then there these they this those through to too two up us very "
    "was we were what when where which while who will with would you your".split()
)
_PERSONAL = frozenset(
    "i me my mine myself you your yours yourself we us our ours ourselves let's".split()
)


def words(text: str) -> list[str]:
    """The words of a text in lower case; an apostrophe inside one belongs to it."""
    return [word.replace("\u2019", "'").lower() for word in _WORD.findall(text)]


def sentences(text: str, *, whole: bool = True) -> list[list[str]]:
    """The words of every sentence or line.

    whole: False drops the last one where the text breaks off in it, unless it is the only one.
    """
    parts = [part for part in _END.split(text.strip()) if part]
    broken = bool(parts) and not re.search(r"[.!?][\"'\u201d\u2019)\]]*$", parts[-1])
    if not whole and broken and len(parts) > 1:
        parts = parts[:-1]
    return [found for part in parts if (found := words(part))]


def syllables(word: str) -> int:
    """Syllables of an English word by rule: groups of vowels, a silent final e left out.

    The rule miscounts about one word in ten, alike for every text.
    """
    letters = re.sub(r"[^a-z]", "", word.lower())
    count = len(_VOWELS.findall(letters))
    silent = letters.endswith("e") and not letters.endswith(("le", "ee", "ye"))
    mute_ending = letters.endswith("ed") and not letters.endswith(("ted", "ded"))
    if (silent or mute_ending) and count > 1:
        count -= 1
    return max(1, count)


def flesch(said: Sequence[Sequence[str]]) -> float:
    """Reading ease of sentences: 206.835 - 1.015 words/sentence - 84.6 syllables/word.

    Flesch 1948, A new readability yardstick, Journal of Applied Psychology 32. Plain English is
    about 65, a textbook about 40; lower is harder.
    """
    all_words = [word for sentence in said for word in sentence]
    per_sentence = len(all_words) / len(said)
    per_word = sum(map(syllables, all_words)) / len(all_words)
    return 206.835 - 1.015 * per_sentence - 84.6 * per_word


def latin(text: str) -> float:
    """The share of a text's letters that are Latin; 1 for a text without letters."""
    letters = [sign for sign in text if sign.isalpha()]
    if not letters:
        return 1.0
    plain = sum(sign.isascii() or "LATIN" in unicodedata.name(sign, "") for sign in letters)
    return plain / len(letters)


def english(text: str) -> bool:
    """Whether a fifth of the words are English function words.

    In English prose they are about half of all words (0.37 at the least of 46 reference texts), in
    its neighbours and in strings of unconnected words under a tenth: the commonest short words
    tell languages apart (Grefenstette 1995, Comparing two language identification schemes).
    """
    listed = words(text)
    return sum(word in FUNCTION_WORDS for word in listed) >= ENGLISH * max(1, len(listed))


def ascii_share(text: str) -> float:
    """The share of a text's characters that are ASCII; 1 for an empty text."""
    return sum(sign.isascii() for sign in text) / len(text) if text else 1.0


def prose(text: str, *, whole: bool = True) -> dict[str, float] | None:
    """The features of prose; None for a text of fewer than ten words.

    whole: False for a text that was cut off, whose last sentence does not count.
    """
    said = sentences(text, whole=whole)
    listed = [word for sentence in said for word in sentence]
    if len(listed) < FEWEST_WORDS:
        return None
    quoted = sum(len(words(part)) for part in _QUOTED.findall(text))
    personal = sum(word in _PERSONAL or "'" in word for word in listed)
    return {
        "sentence_words": len(listed) / len(said),
        "word_letters": statistics.fmean(map(len, listed)),
        "flesch": flesch(said),
        "function_words": sum(word in FUNCTION_WORDS for word in listed) / len(listed),
        "personal_words": personal / len(listed),
        "quoted": min(1.0, quoted / len(listed)),
        "variety": distinct(units(text)[:VARIETY_UNITS], 2),
    }


def python(text: str, *, whole: bool = True) -> dict[str, float] | None:
    """The features of Python code; None for a text of fewer than ten names.

    whole: False for a text that was cut off, whose last line does not count.
    """
    kept = text if whole or "\n" not in text.strip() else text[: text.rstrip().rfind("\n")]
    names = _NAME.findall(kept)
    lines = kept.splitlines()
    filled = [line for line in lines if line.strip()]
    if len(names) < FEWEST_WORDS:
        return None
    return {
        "line_letters": statistics.fmean(len(line.strip()) for line in filled),
        "indent": statistics.fmean(len(line) - len(line.lstrip()) for line in filled),
        "blank_lines": 1 - len(filled) / len(lines),
        "comments": sum(line.lstrip().startswith("#") for line in filled) / len(filled),
        "name_letters": statistics.fmean(map(len, names)),
        "keywords": sum(map(keyword.iskeyword, names)) / len(names),
        "variety": distinct(units(kept)[:VARIETY_UNITS], 2),
    }


FEATURES: Mapping[str, tuple[str, ...]] = {
    "prose": (
        "sentence_words",
        "word_letters",
        "flesch",
        "function_words",
        "personal_words",
        "quoted",
        "variety",
    ),
    "python": (
        "line_letters",
        "indent",
        "blank_lines",
        "comments",
        "name_letters",
        "keywords",
        "variety",
    ),
}
"""What `prose` and `python` give, in that order."""


def parses(before: str, text: str) -> float:
    """The share of the text's filled lines that Python can read, from the first on.

    before: the code that the text goes on with; it counts for reading, not for the share.
    """
    lines = text.splitlines()
    total = sum(bool(line.strip()) for line in lines)
    if not total:
        return 0.0
    for end in range(len(lines), 0, -1):
        kept = lines[:end]
        if kept[-1].strip() and _reads(before + "\n".join(kept)):
            return sum(bool(line.strip()) for line in kept) / total
    return 0.0


def _reads(code: str) -> bool:
    """Whether it is Python; nothing of it is run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


# ------------------------------------------------------------------
# How a text repeats itself: n-grams said again, variety of words, and loops.
#
# Texts are taken apart into words and signs; what is counted does not depend on a tokenizer, so
# that two checkpoints with different ones compare.


_UNIT = re.compile(r"\w+|[^\w\s]")
_COPIES = 3
"""A tail is a loop if its period stands there at least so often."""
_LOOP_UNITS = 8
"""And if it is at least so long: ``ha ha ha`` or a row of stops is none."""


def units(text: str) -> list[str]:
    """The words and signs of a text, in lower case."""
    return _UNIT.findall(text.lower())


def grams(said: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Every n neighbours, in order."""
    return [tuple(said[place : place + n]) for place in range(len(said) - n + 1)]


def distinct(said: Sequence[str], n: int) -> float:
    """Distinct n-grams over all n-grams: distinct-n of Li et al. 2016, arXiv 1510.03055.

    0 for a text of fewer than n units. It falls with length: compare texts of one length.
    """
    found = grams(said, n)
    return len(set(found)) / len(found) if found else 0.0


def repeated(said: Sequence[str], n: int) -> float:
    """The share of n-grams that were said before: seq-rep-n of Welleck et al. 2019.

    Source: arXiv 1908.04319, section 6. 0 for a text of fewer than n units.
    """
    return 1 - distinct(said, n) if len(said) >= n else 0.0


def shared(said: Sequence[str], others: Sequence[Sequence[str]], n: int) -> float:
    """The share of a text's distinct n-grams that any of the other texts says too."""
    mine = set(grams(said, n))
    theirs = {gram for other in others for gram in grams(other, n)}
    return len(mine & theirs) / len(mine) if mine else 0.0


@dataclass(frozen=True, slots=True)
class Loop:
    """The end of a text that says one thing over and over."""

    period: int
    """Units of what is repeated."""
    begins: int
    """The unit at which it is said for the second time."""


def loop(said: Sequence[str]) -> Loop | None:
    """The loop that a text ends in, the one that begins earliest; None if it ends in none.

    The tail from some unit on has a period p (each unit equals the one p before it), holds three
    copies or more, and eight units or more. A last copy may be cut off.
    """
    found: Loop | None = None
    total = len(said)
    for period in range(1, total // _COPIES + 1):
        start = total
        while start - period > 0 and said[start - 1] == said[start - 1 - period]:
            start -= 1
        tail = total - start + period
        long_enough = tail >= max(_COPIES * period, _LOOP_UNITS)
        if long_enough and (found is None or start < found.begins):
            found = Loop(period, start)
    return found


def before_loop(said: Sequence[str]) -> float:
    """The share of a text that stands before it begins to loop; 1 if it does not."""
    found = loop(said)
    return found.begins / len(said) if found else 1.0


# ------------------------------------------------------------------ distance from reference texts
# Two checkpoints are compared in pairs, text by text, so that a distance between distributions must
# be a mean of one number a text. The Wasserstein-1 distance is one: by Kantorovich's duality it is
# the largest difference of means that any function of slope at most 1 shows, and the function that
# shows it is known (Villani 2009, Optimal Transport, theorem 5.10 and remark 6.5). The value of a
# text is that function at the text less its mean over the reference; to the first order this is
# also the text's influence on the distance, so that the standard error of such values is its own.
# A mean z-score would not do: texts all alike, at the mean of the reference, would score 0.


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
    # In C order: sums over rows and over columns add in the order that results were made with.
    return np.ascontiguousarray(pd.DataFrame(found, columns=list(names)), dtype=np.float64)


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
