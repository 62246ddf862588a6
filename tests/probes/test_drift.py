"""Distances to reference texts, against scipy and against samples drawn anew."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pyr.probes import style as drift


@pytest.mark.parametrize("seed", range(20))
def test_the_mean_share_is_scipys_wasserstein_distance(seed: int) -> None:
    draw = np.random.default_rng(seed)
    ours = draw.normal(draw.normal(), 1 + draw.random(), draw.integers(1, 40)).round(seed % 3)
    theirs = draw.normal(size=draw.integers(2, 60)).round(seed % 3)
    found = drift.witness(ours, theirs)
    assert found.mean() == pytest.approx(stats.wasserstein_distance(ours, theirs), abs=1e-12)


def test_texts_that_are_all_alike_are_far_although_their_mean_is_not() -> None:
    reference = np.linspace(-2, 2, 41)
    assert drift.witness(np.zeros(30), reference).mean() == pytest.approx(np.abs(reference).mean())
    assert drift.witness(np.full(3, 7.0), np.full(5, 7.0)).tolist() == [0, 0, 0]


def test_the_shares_give_the_standard_error_of_the_distance() -> None:
    """Oracle: the spread of the distance over 2,000 samples drawn anew."""
    draw = np.random.default_rng(5)
    reference = draw.normal(size=400)
    found = [drift.witness(draw.normal(0.8, 1.3, 60), reference) for _ in range(2000)]
    real = np.std([shares.mean() for shares in found])
    said = np.mean([shares.std(ddof=1) / np.sqrt(60) for shares in found])
    assert said == pytest.approx(real, rel=0.08)


NAMES = ("sentence_words", "word_letters", "personal_words")


def ruler(draw: np.random.Generator, mean: tuple[float, ...], n: int = 60) -> drift.Yardstick:
    return drift.Yardstick(NAMES, draw.normal(mean, (3, 0.4, 0.05), (n, 3)))


def test_the_way_to_textbooks_is_0_at_home_and_1_there() -> None:
    draw = np.random.default_rng(0)
    home, books = ruler(draw, (12, 4.2, 0.1)), ruler(draw, (20, 5.2, 0.0))
    at_home = drift.toward(home, books, home.table_IF)
    there = drift.toward(home, books, books.table_IF)
    assert at_home is not None
    assert there is not None
    assert at_home.mean() == pytest.approx(0, abs=1e-9)
    assert there.mean() == pytest.approx(1, abs=1e-9)
    halfway = (home.mean_F + books.mean_F)[None] / 2
    assert drift.toward(home, books, halfway)[0] == pytest.approx(0.5, abs=0.1)


def test_references_that_hardly_differ_give_no_direction() -> None:
    draw = np.random.default_rng(0)
    one, other = ruler(draw, (12, 4.2, 0.1)), ruler(draw, (12, 4.2, 0.1))
    assert drift.toward(one, other, one.table_IF) is None


def test_stilted_is_long_sentences_long_words_and_nobody_speaking() -> None:
    draw = np.random.default_rng(0)
    home = ruler(draw, (12, 4.2, 0.1))
    stiff = home.mean_F + home.sd_F * np.array([1, 1, -1])
    assert drift.stiffness(home, stiff[None]).tolist() == pytest.approx([1.0])
    assert drift.stiffness(home, home.mean_F[None]).tolist() == pytest.approx([0.0])


def test_one_text_of_noise_counts_five_deviations_at_most() -> None:
    draw = np.random.default_rng(0)
    home = ruler(draw, (12, 4.2, 0.1))
    wild = np.vstack([home.table_IF, [[1e6, 1e6, 1e6]]])
    assert home.distances(wild).mean() < 0.2
    assert np.abs(home.scaled(wild)).max() == 5


def test_the_floor_is_what_two_halves_of_the_reference_differ_by() -> None:
    draw = np.random.default_rng(0)
    home = ruler(draw, (12, 4.2, 0.1))
    floor = home.floor().mean()
    assert 0 < floor < 0.5
    assert ruler(draw, (12, 4.2, 0.1), n=2000).floor().mean() < floor / 3
    far = home.distances(home.table_IF + 3 * home.sd_F).mean()
    assert far == pytest.approx(3, abs=0.5)


def test_a_feature_that_never_varies_does_not_divide_by_zero() -> None:
    flat = drift.Yardstick(("quoted",), np.zeros((10, 1)))
    assert np.isfinite(flat.distances(np.ones((3, 1)))).all()
