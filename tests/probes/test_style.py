"""Sentences, readability, script and code, counted by hand."""

from __future__ import annotations

import pytest

from pyr.probes import style


@pytest.mark.parametrize(
    ("word", "count"),
    [
        *(("cat", 1), ("water", 2), ("banana", 3), ("make", 1), ("table", 2), ("free", 1)),
        *(("jumped", 1), ("wanted", 2), ("decided", 3), ("the", 1), ("electricity", 5)),
        *(("reading", 2), ("queue", 1), ("beautiful", 3), ("hmm", 1), ("computer", 3)),
        *(("little", 2), ("strength", 1), ("university", 5), ("a", 1), ("happiness", 3)),
    ],
)
def test_syllables_of_plain_words(word: str, count: int) -> None:
    assert style.syllables(word) == count


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("One. Two! Three?", [["one"], ["two"], ["three"]]),
        ('"Stop!" she said. He did.', [["stop"], ["she", "said"], ["he", "did"]]),
        ("A line\nAnother line", [["a", "line"], ["another", "line"]]),
        ("It's 3.5 metres. Don't ask.", [["it's", "metres"], ["don't", "ask"]]),
        ("", []),
        ("... !!!", []),
        ("Wait (really?) for me.", [["wait", "really"], ["for", "me"]]),
    ],
)
def test_sentences_end_at_signs_and_lines(text: str, said: list[list[str]]) -> None:
    assert style.sentences(text) == said


def test_a_sentence_that_was_cut_off_does_not_count() -> None:
    assert style.sentences("It is late. We should", whole=False) == [["it", "is", "late"]]
    assert style.sentences("It is late. We go.", whole=False) == [
        ["it", "is", "late"],
        ["we", "go"],
    ]
    assert style.sentences("We should", whole=False) == [["we", "should"]]


def test_flesch_is_the_formula_of_1948() -> None:
    """By hand: 12 words, 2 sentences, 12 syllables; then 5 words of 15 syllables."""
    easy = style.sentences("The cat sat on the mat. The dog ran to the door.")
    assert style.flesch(easy) == pytest.approx(206.835 - 1.015 * 6 - 84.6 * 1)
    hard = style.sentences("University administrators investigate electricity.")
    assert style.flesch(hard) == pytest.approx(206.835 - 1.015 * 4 - 84.6 * (5 + 5 + 4 + 5) / 4)
    assert style.flesch(easy) > 100 > style.flesch(hard)


def test_features_of_prose_by_hand() -> None:
    text = 'I saw you. "You saw me," I said to the old man at the gate.'
    found = style.prose(text)
    assert found is not None
    assert found["sentence_words"] == 15 / 2
    assert found["personal_words"] == 5 / 15
    assert found["quoted"] == 3 / 15
    # I you you me I to the at the are function words; saw said old man gate are none.
    assert found["function_words"] == 9 / 15
    assert tuple(found) == style.FEATURES["prose"]


def test_features_of_python_by_hand() -> None:
    text = "import os\n\n# Where we are.\ndef here():\n    return os.getcwd()\n\nwhere = here()\n"
    found = style.python(text)
    assert found is not None
    assert found["comments"] == 1 / 5
    assert found["indent"] == 4 / 5
    assert found["blank_lines"] == 2 / 7
    assert found["keywords"] == 3 / 12
    assert tuple(found) == style.FEATURES["python"]


def test_too_short_a_text_has_no_style() -> None:
    assert style.prose("Nine words are not quite enough for any style") is None
    assert style.prose("") is None
    assert style.python("x = 1\n") is None


@pytest.mark.parametrize(
    ("text", "share"),
    [
        *(("plain", 1.0), ("na\u00efve caf\u00e9", 1.0), ("\u043c\u0438\u0440", 0.0), ("", 1.0)),
        *(("ab\u4e2d\u6587", 0.5), ("12, 34!", 1.0), ("a\u0391", 0.5)),
    ],
)
def test_latin_is_told_from_other_scripts(text: str, share: float) -> None:
    assert style.latin(text) == share


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("He was glad, and she went to the old house where nobody lived any more.", True),
        ("Photosynthesis is the process by which plants make sugar in their leaves.", True),
        (
            "Le march\u00e9 \u00e9tait ferm\u00e9 depuis onze ans, mais on voulait autre chose.",
            False,
        ),
        ("Die Halle war elf Jahre lang geschlossen, bevor die Stadt entschied.", False),
        ("El mercado estuvo cerrado once a\u00f1os, y la gente no queria tiendas.", False),
        ("De oude markthal was elf jaar gesloten voordat de stad iets besloot.", False),
        ("river museum bright lantern copper valley sailing orange window garden", False),
        ("", False),
    ],
)
def test_english_is_told_from_its_neighbours_and_from_strings_of_words(
    text: str, english: bool
) -> None:
    assert style.english(text) is english


def test_the_share_of_ascii() -> None:
    assert style.ascii_share("abc\u00e9") == 0.75
    assert style.ascii_share("") == 1


@pytest.mark.parametrize(
    ("before", "text", "share"),
    [
        ("def f(x):\n", "    return x\n", 1.0),
        ("def f(x):\n    y = ", "x + 1\n    return y\n", 1.0),
        ("", "x = 1\ny = (\n", 0.5),
        ("", "this is no code\n", 0.0),
        ("", "", 0.0),
        ("", "x = 1\n\n\n", 1.0),
        ("class A:\n", "    def f(self):\n        pass\n\n    def g(self", 2 / 3),
        ("", "x = '\\d'\n", 1.0),
        ("", "x = 1\0\n", 0.0),
        ("", "if x:\n", 0.0),
    ],
)
def test_how_much_of_a_text_python_can_read(before: str, text: str, share: float) -> None:
    assert style.parses(before, text) == pytest.approx(share)


def test_reading_code_runs_none_of_it(tmp_path) -> None:
    target = tmp_path / "made"
    assert style.parses("", f"open({str(target)!r}, 'w')\n") == 1
    assert not target.exists()
