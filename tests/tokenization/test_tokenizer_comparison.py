"""A comparison as a whole, its page, its tables, its JSON."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import rich.console
import tokenizers
from factories_tokenization import TEXTS, build_small

from pyr.data.filters import Document
from pyr.report import html as writer
from pyr.report import terminal, tokenizer_view
from pyr.tokenization import anatomy, comparison, forms, measure

HOSTILE = "<script>alert(1)</script> \"quoted\" & \u202e <b title='x'> \x07 \n\tend"


@pytest.fixture(scope="module")
def report() -> comparison.Report:
    qwen2 = forms.Named("<b>own</b>", forms.HuggingFace(build_small()))
    smollm = forms.Named("other", forms.HuggingFace(build_small(pre_tokenizer="smollm")))
    lossy = forms.Named("lower", forms.HuggingFace(lowercase()))
    documents = [Document("texts", str(n), (text,)) for n, text in enumerate(TEXTS)]
    documents += [Document("<i>hostile</i>", str(n), (HOSTILE * n,)) for n in (1, 2)]
    return comparison.compare([qwen2, smollm, lossy], measure.passages(documents))


def lowercase() -> tokenizers.Tokenizer:
    tokenizer = build_small()
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    return tokenizer


def test_the_first_is_held_against_each_of_the_others(report: comparison.Report) -> None:
    assert not report.own.relations
    for row in report.rows[1:]:
        assert [each.domain for each in row.relations] == ["texts", "<i>hostile</i>", ""]


def test_a_text_that_does_not_come_back_is_shown(report: comparison.Report) -> None:
    assert [row.round_trip.lossless for row in report.rows] == [True, True, False]
    assert "came back as" in report.rows[2].round_trip.example
    assert report.rows[2].round_trip.changed >= 2


def test_letters_that_look_alike_are_told_apart_by_their_code_points() -> None:
    composing = build_small()
    composing.normalizer = tokenizers.normalizers.NFC()
    texts = measure.passages([Document("a", "0", ("a cafe\u0301 here",))])
    found = comparison.compare([forms.Named("nfc", forms.HuggingFace(composing))], texts)
    assert found.own.round_trip.example.endswith(", U+0065 U+0301 as U+00E9")


def test_a_text_that_is_cut_short_parts_at_the_end() -> None:
    stripping = build_small()
    stripping.normalizer = tokenizers.normalizers.Strip()
    texts = measure.passages([Document("a", "0", ("cut short\n",))])
    found = comparison.compare([forms.Named("strip", forms.HuggingFace(stripping))], texts)
    assert found.own.round_trip.example.endswith(", U+000A as the end")
    assert "nan" not in rendered(found)


def test_a_call_by_the_clock_says_how_many_cores_it_had(report: comparison.Report) -> None:
    for row in report.rows:
        for cores in (row.speed.encode_cores, row.speed.decode_cores):
            # The CPU clock ticks coarser than the wall's on some machines.
            assert 0 <= cores <= report.cores + 1
    assert comparison.as_json(report)["cores"] == report.cores >= 1


def test_tokens_that_never_occur_are_counted(report: comparison.Report) -> None:
    own = report.own
    assert 0 < own.never_used < own.vocab_size
    assert "<|endoftext|>" in own.never_used_examples


def test_what_is_not_measured_follows_from_the_options(report: comparison.Report) -> None:
    assert report.own.embedding_parameters == 400 * 768
    assert report.own.context_bytes == round(report.own.mean.value * 2048)


def test_the_json_holds_everything_but_the_passages(report: comparison.Report) -> None:
    written = json.loads(json.dumps(comparison.as_json(report), allow_nan=False))
    assert [each["name"] for each in written["tokenizers"]] == ["<b>own</b>", "other", "lower"]
    assert "cuts" not in written["tokenizers"][0]
    assert written["tokenizers"][1]["relations"][-1]["gain"]["value"] > -1


def test_a_domain_of_one_document_has_no_interval_in_the_json() -> None:
    one = forms.Named("own", forms.HuggingFace(build_small()))
    found = comparison.compare([one], measure.passages([Document("a", "0", ("a b c",))]))
    written = json.loads(json.dumps(comparison.as_json(found), allow_nan=False))
    assert written["tokenizers"][0]["mean"]["low"] is None


def rendered(report: comparison.Report) -> str:
    return writer.render(tokenizer_view.comparison(report))


class Tags(HTMLParser):
    """Which tags and attributes a page has."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}


def test_nothing_of_a_text_becomes_part_of_the_page(report: comparison.Report) -> None:
    html = rendered(report)
    found = Tags()
    found.feed(html)
    assert "script" not in found.tags
    assert not {name for name in found.attributes if name.startswith("on")}
    assert "\u202e" not in html
    assert "\x07" not in html
    assert "&lt;b&gt;own&lt;/b&gt;" in html


def test_the_page_needs_nothing_else(report: comparison.Report) -> None:
    html = rendered(report)
    # Parts of a chart refer to each other: `#name` is in the page itself.
    assert not re.search(r"(src|href)=(?!\"#)|url\((?!#)|https?://", html)
    assert "default-src 'none'" in html
    assert len(html) < 2_000_000


def test_the_same_report_gives_the_same_page(report: comparison.Report) -> None:
    assert rendered(report) == rendered(report)


def test_a_passage_is_shown_whole_by_every_tokenizer(report: comparison.Report) -> None:
    for row in report.rows[:2]:
        for passage, cut in zip(report.passages, row.cuts, strict=True):
            assert b"".join(cut.pieces).decode() == passage.text
            assert len(cut.ids) == len(cut.pieces)


def test_hovering_gives_id_and_bytes(report: comparison.Report) -> None:
    cut = report.own.cuts[0]
    value = " ".join(f"{byte:02x}" for byte in cut.pieces[0])
    assert f'title="id {cut.ids[0]}, bytes {value}"' in rendered(report)


def test_the_terminal_says_who_loses_text(report: comparison.Report) -> None:
    out = io.StringIO()
    terminal.show_document(
        tokenizer_view.comparison(report), rich.console.Console(file=out, width=200)
    )
    assert "lower does not give back" in out.getvalue()
    assert "NO" in out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_tables_stay_within_the_screen_and_lose_no_name(
    report: comparison.Report, width: int
) -> None:
    out = io.StringIO()
    terminal.show_document(
        tokenizer_view.comparison(report), rich.console.Console(file=out, width=width)
    )
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    for row in report.rows:
        assert sum(line.split()[:1] == [row.name] for line in lines) >= 4
    for each in report.own.domains:
        assert any(each.domain in line.split() for line in lines)


def ahead(report: comparison.Report, gain: measure.Score, **changes: Any) -> comparison.Report:
    """The first two tokenizers, the first ahead of the second by so much."""
    own, other = report.rows[:2]
    other = dataclasses.replace(other, relations=[measure.Relation("", gain, 1.0)], **changes)
    return dataclasses.replace(report, rows=[own, other])


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        (measure.Score(0.053, 0.048, 0.058), "holds 5.3% more text in a token than other, the"),
        (measure.Score(-0.126, -0.13, -0.12), "holds 12.6% less text in a token than other, the"),
        (measure.Score(0.01, -0.01, 0.03), "holds neither measurably more nor less text in a"),
    ],
)
def test_the_lead_says_what_it_comes_to(
    report: comparison.Report, gain: measure.Score, words: str
) -> None:
    assert words in tokenizer_view.lead(ahead(report, gain))[0]


def test_the_lead_names_the_best_with_its_size_and_the_nearest(
    report: comparison.Report,
) -> None:
    gain = measure.Score(0.05, 0.04, 0.06)
    small = ahead(report, gain, vocab_size=500).rows
    large = ahead(report, gain, name="large", vocab_size=4000).rows[1]
    best = dataclasses.replace(large, mean=measure.Score(9.0, 8.0, 10.0))
    first = tokenizer_view.lead(dataclasses.replace(report, rows=[*small, best]))[0]
    assert first.endswith(
        "than large, the best of the others with 10.0 times the vocabulary; 5.0% more text in a "
        "token than other, the nearest in size."
    )


def test_the_lead_says_who_gives_every_text_back(report: comparison.Report) -> None:
    trip = report.own.round_trip
    assert tokenizer_view.lead(report)[1] == (
        f"It gives back all {trip.texts} texts as they were; 1 of the 2 others changes some."
    )


def test_one_tokenizer_alone_has_no_lead(report: comparison.Report) -> None:
    assert not tokenizer_view.lead(dataclasses.replace(report, rows=report.rows[:1]))


def test_a_change_of_nought_has_no_sign(report: comparison.Report) -> None:
    html = rendered(ahead(report, measure.Score(-0.0002, -0.004, 0.0003)))
    assert re.search(r">0\.0%<", html)
    assert "-0.4% to 0.0%" in html
    assert not re.search(r"[-+]0\.0%", html)


def test_ids_stand_in_the_page_and_not_only_on_hover(report: comparison.Report) -> None:
    ids = " ".join(str(number) for number in report.own.cuts[0].ids)
    assert f"<code>{ids}</code>" in rendered(report)


def test_anatomy_of_digits_and_blanks(shipped: Path) -> None:
    found = anatomy.anatomy(forms.load(shipped).tokenizer)
    assert found.digits_at_most == 1
    assert found.cuts["a number"] == list("31415926535")
    assert "return" in found.keywords
    assert "==" in found.operators


def test_a_part_of_a_letter_is_shown_as_its_bytes() -> None:
    assert anatomy.shown("\u65e5".encode()[:2]) == "\\xe6\\x97"
    assert anatomy.shown(b" a\n") == " a\\n"


def test_it_is_the_same_bytes_per_token_as_the_records_give(report: comparison.Report) -> None:
    own = report.own.domains[0]
    assert own.bytes_per_token.value == pytest.approx(own.bytes / own.tokens)


def test_a_file_of_texts_is_a_domain(tmp_path: Path) -> None:
    from pyr.tokenization import listed

    (tmp_path / "prose.txt").write_text("Some prose.")
    (tmp_path / "code.jsonl").write_text('{"text": "x = 1"}\n{"text": "y = 2"}\n')
    (tmp_path / "notes.md").write_text("not read")
    found = listed.read_texts([tmp_path], tmp_path)
    assert [(each.domain, each.text) for each in found] == [
        ("code", "x = 1"),
        ("code", "y = 2"),
        ("prose", "Some prose."),
    ]
