"""How numbers are written, and how text of unknown origin is made harmless."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyr.report import words


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.3174, "0.317"),
        (29.954, "29.95"),
        (1234.5, "1,234"),
        (-0.0001, "0.000"),
        (None, "-"),
        (float("nan"), "-"),
        (float("inf"), "inf"),
    ],
)
def test_a_number_has_the_decimals_its_size_wants(value, shown) -> None:
    assert words.number(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(0.019, "+0.019"), (-0.1, "-0.100"), (0.0, "0.000")])
def test_a_difference_has_its_sign_unless_it_is_none(value, shown) -> None:
    assert words.signed(value) == shown


def test_a_margin_never_reads_as_zero_when_it_is_not() -> None:
    assert words.margin(0.00042, 3) == "0.0004"
    assert words.margin(0.0094, 3) == "0.009"


@pytest.mark.parametrize(
    ("amount", "shown"), [(512, "512"), (2_097_152, "2.1M"), (278_921_216_000, "279B")]
)
def test_tokens_are_said_as_people_say_them(amount, shown) -> None:
    assert words.large(amount) == shown


@pytest.mark.parametrize(
    ("interval", "shown"),
    [
        ((0.1, -0.1, 0.3), "\u00b10.200"),
        ((0.1, -0.09, 0.3), "\u00b10.195"),
        ((0.325, 0.18, 0.5), "+0.180 to +0.500"),
        # A skewed one, as of bits per byte over eight documents.
        ((0.452, 0.418, 0.564), "+0.418 to +0.564"),
        ((0.0, 0.0, 0.182), "0.000 to +0.182"),
        ((0.1, None, None), ""),
        ((0.1, 0.1, 0.1), ""),
        ((0.1, float("-inf"), float("inf")), ""),
    ],
)
def test_an_interval_is_a_plus_minus_only_where_its_sides_are_alike(interval, shown) -> None:
    assert words.reach(*interval, sign=True) == shown


@pytest.mark.parametrize(
    ("unit", "value", "shown"),
    [
        ("bytes", 2_449_559_552, (1e9, "GB")),
        ("FLOP/s", 107_421_173_794, (1e9, "GFLOP/s")),
        ("bytes/s", 85.2, (1.0, "bytes/s")),
        ("tokens/s", 12_345.0, (1.0, "tokens/s")),
    ],
)
def test_bytes_and_operations_are_said_with_a_prefix(unit, value, shown) -> None:
    assert words.prefix(unit, value) == shown


@given(st.text())
def test_nothing_visible_text_holds_can_steer_a_terminal_or_a_browser(text) -> None:
    safe = words.visible(text)
    assert all(each in "\n\t" or unicodedata.category(each) not in ("Cc", "Cs") for each in safe)
    assert not any(unicodedata.bidirectional(each) in BIDI_CONTROLS for each in safe)
    safe.encode("utf-8")


BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_ordinary_text_is_left_as_it_is() -> None:
    text = "caf\u00e9 \u65e5\u672c \U0001f469\u200d\U0001f4bb\n\tx < y & [z]"
    assert words.visible(text) == text


def test_only_terms_that_occur_are_explained() -> None:
    said = words.glossary(["arc/acc_norm fell by 0.1 (n=5, unpaired)"])
    assert said.startswith("acc_norm: ") and ";" not in said
    assert words.glossary(["health/finite is 1."]) == ""


def test_what_was_left_out_of_a_long_text_is_said() -> None:
    assert words.shorten("abcdef", 2) == "ab [4 characters left out]"
    assert words.shorten("abcdef", 2, keep="tail") == "[4 characters left out] ef"
