"""The HTML page: self-contained, byte-stable, small, and safe against what a model says."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from factories_report import (
    HOSTILE,
    a_finding,
    a_report,
    a_run,
    a_verdict,
    as_markdown,
    documents,
    hostile_report,
    published,
    rendered,
    results,
    rows,
    two_runs,
)

from pyr.schema import Aggregate, Skipped

LIMIT_BYTES = 2_000_000


class Page(HTMLParser):
    """The elements, the text and the problems of a page."""

    VOID = {"meta", "col", "input", "br", "link", "img"}

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def a_full_report():
    """Every section at once: gate, flips, history, tokenizer, throughput, health, notes."""
    extra = [
        *rows([4.0, 4.2], task="tokenizer:prose", metric="bytes_per_token", unit="bytes/token"),
        *rows([4.4, 4.5], task="tokenizer:prose", metric="bytes_per_token@gpt2"),
        *rows([30.0, 31.0], task="throughput", metric="decode_tokens_per_second", unit="tokens/s"),
        *rows([1.0, 1.0], task="health", metric="finite", unit="check"),
    ]
    new, old = two_runs()
    arc = rows(list(new.records["value"]))
    run = a_run("new", step=300, notes=["a note"], skipped=[Skipped("chat", "none", False)])
    history = [old, *(results(a_run(f"c{n}", step=n), rows([1.0, 0.0] * 9)) for n in (50, 100))]
    asked = documents(*((str(n), f"question {n}", ["a", "b"], "0") for n in range(200)))
    verdict = a_verdict(a_finding("fail"), a_finding("unclear"), a_finding("pass"))
    candidate = results(run, [*arc, *extra])
    return a_report(candidate, old, verdict, history=history, documents=asked)


@pytest.fixture(scope="module")
def full() -> str:
    return rendered(a_full_report())


def test_a_page_is_well_formed_with_every_section(full) -> None:
    ids = {attrs.get("id") for _, attrs in Page(full).elements}
    sections = "gate measures samples training tokenizer throughput health skipped provenance"
    assert set(sections.split()) <= ids


def test_every_id_is_given_once_and_every_reference_leads_somewhere(full) -> None:
    elements = Page(full).elements
    ids = [attrs["id"] for _, attrs in elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    aims = {attrs["href"][1:] for tag, attrs in elements if tag == "a"}
    assert aims | set(re.findall(r"url\(#([^)]+)\)", full)) <= set(ids)


def test_the_verdict_and_its_reason_stand_before_everything_else(full) -> None:
    text = " ".join("".join(Page(full).text).split())
    verdict = text.index("FAIL new does not pass the gate keep against old.")
    assert verdict < text.index("arc/acc says fail.") < text.index("What changed")


def test_changes_are_told_in_words_and_not_by_colour_alone(full) -> None:
    assert re.search(r'<span class="word worse">[^<]*worse</span>', full)


def test_the_condition_of_the_model_has_no_word_of_change() -> None:
    runs = [
        results(a_run(name), rows([value, value + 0.1], task="condition", metric="loss"))
        for name, value in (("new", 3.0), ("old", 1.0))
    ]
    html = rendered(a_report(*runs))
    table = html[html.index('aria-label="Condition of the model"') :]
    assert "+2.000" in table and "Change" not in table[: table.index("</table>")]


def test_bytes_per_token_stand_with_their_number_of_texts(full) -> None:
    table = full[full.index('aria-label="Bytes per token by domain"') :]
    row = table[table.index("<tbody>") : table.index("</tbody>")]
    assert 'data-label="n">2</td>' in row


def test_other_tokenizers_are_spoken_of_only_where_there_are_some(full) -> None:
    said = "beside the reference tokenizers"
    own = rows([4.0, 4.2], task="tokenizer:prose", metric="bytes_per_token", unit="bytes/token")
    assert said in full
    assert said not in rendered(a_report(results(a_run(), own)))


def test_clusters_are_said_beside_the_items_and_the_flips() -> None:
    kinds = [str(n // 10) for n in range(60)]
    old = results(a_run("old"), rows([1.0] * 60, cluster=kinds))
    new = results(a_run("new"), rows([0.0] * 10 + [1.0] * 50, cluster=kinds))
    report = a_report(new, old)
    said = " ".join("".join(Page(rendered(report)).text).split())
    assert "60 in 6 clusters" in said and "60 items in 6 clusters" in said
    assert "count as one cluster" in said
    assert "| 60 in 6 clusters |" in as_markdown(report)


def test_sound_health_is_one_folded_line_of_the_gate() -> None:
    findings = [a_finding("pass", f"health/{name}", kind="check") for name in ("finite", "tied")]
    report = a_report(results(a_run(), rows([1.0, 0.0])), None, a_verdict(*findings, a_finding()))
    said = " ".join("".join(Page(rendered(report)).text).split())
    assert "Health: 2 of 2 rules pass" in said and "1 pass" in said


def test_facts_of_both_runs_stand_once_and_the_suite_is_folded() -> None:
    digest = "0123456789abcdef" * 4
    environment = {"suite": {"seed": 7}, "python": "3.11"}
    runs = [
        results(a_run(name, suite_digest=digest, environment=environment), rows([1.0, 0.0]))
        for name in ("new", "old")
    ]
    html = rendered(a_report(*runs))
    assert digest not in html and html.count("0123456789ab") == 1
    assert html.count("3.11") == 1
    assert html.index("The suite as it was asked") < html.index("suite.seed")


def test_small_members_of_a_group_come_last_and_not_on_paper() -> None:
    def run_of(name: str):
        small = [
            row for n in range(30) for row in rows([1.0, 0.0], task=f"calls_{n}", group="calls")
        ]
        return results(a_run(name), [*small, *rows([1.0, 0.0] * 50)])

    report = a_report(run_of("new"), run_of("old"))
    assert {each.task for each in report.measures[:2]} == {"arc", "calls"}
    assert "small later" in rendered(report) and "not printed" in rendered(report)


def test_items_that_stand_for_themselves_are_no_clusters(full) -> None:
    assert "cluster" not in full


def test_the_same_report_gives_the_same_bytes(full) -> None:
    assert rendered(a_full_report()) == full


def test_nothing_is_fetched_from_anywhere(full) -> None:
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", full)
    for tag, attrs in Page(full).elements:
        assert tag not in ("link", "img", "iframe", "object", "base")
        assert "src" not in attrs
        assert (attrs.get("href") or "#").startswith("#")


def test_the_policy_allows_only_the_page_s_own_script(full) -> None:
    import base64
    import hashlib

    (script,) = re.findall(r"<script>(.*?)</script>", full, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [
        attrs["content"]
        for attrs in Page(full).all("meta")
        if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy


def test_tables_have_captions_and_scoped_heads(full) -> None:
    elements = Page(full).elements
    assert all(attrs.get("scope") for tag, attrs in elements if tag == "th")


def test_hostile_text_reaches_the_page_as_text_only() -> None:
    html = rendered(hostile_report())
    parsed = Page(html)
    assert len(parsed.all("script")) == 1
    assert "<script>alert(1)" not in html
    assert "\x1b" not in html and "\x00" not in html and "\u202e" not in html
    shown = "".join(parsed.text)
    assert "<script>alert(1)</script>\u241b[31m\\u202e[bold]x[/bold]\u2400" in shown
    assert not any(name.startswith("on") for _, attrs in parsed.elements for name in attrs)


def test_a_formula_in_a_name_does_not_break_a_chart() -> None:
    history = [
        results(a_run(f"$\\frac{step}$", step=step), rows([1.0, 0.0], task="$\\frac{1$"))
        for step in (1, 2, 3)
    ]
    assert "$\\frac{1$" in rendered(a_report(history[2], None, history=history))


def test_long_hostile_samples_stay_under_two_megabytes() -> None:
    flood = "<" * 5_000
    tasks = [f"task{n}" for n in range(10)]
    old = [row for task in tasks for row in rows([1.0] * 9, task=task, responses=flood)]
    new = [row for task in tasks for row in rows([0.0] * 9, task=task, responses=flood)]
    import pandas as pd

    asked = pd.concat(
        documents(*((str(n), flood, [flood] * 20, flood) for n in range(9)), task=task)
        for task in tasks
    )
    report = a_report(results(a_run("new"), new), results(a_run("old"), old), documents=asked)
    assert len(rendered(report).encode()) < LIMIT_BYTES


def test_a_thousand_measures_stay_under_two_megabytes_and_say_what_is_left_out() -> None:
    def run_of(name, step):
        measures = [Aggregate(f"a_task_of_number_{n}", "acc", 0.5, 0.01) for n in range(1000)]
        return published(a_run(name, step=step), *measures)

    history = [run_of(f"c{step}", step) for step in range(1, 7)]
    html = rendered(a_report(history[-1], history[0], history=history))
    assert len(html.encode()) < LIMIT_BYTES
    assert "400 more measures stand" in html


def test_scores_without_a_baseline_or_a_gate_make_a_page() -> None:
    html = rendered(a_report(results(a_run(), rows([1.0, 0.0, 1.0]))))
    assert "MEASURED" in html and "no gate judged its scores" in html


def test_an_empty_broken_off_run_makes_a_page() -> None:
    html = rendered(a_report(results(a_run(finished=""))))
    assert "INCOMPLETE" in html


def test_a_skipped_task_is_shown_with_its_reason() -> None:
    run = a_run(skipped=[Skipped("boolq", "not on this machine")])
    text = "".join(Page(rendered(a_report(results(run, rows([1.0, 0.0]))))).text)
    assert "SKIPPED boolq: not on this machine" in " ".join(text.split())


def test_a_damaged_checkpoint_is_named_on_the_page() -> None:
    health = rows([0.0], task="health", metric="finite", unit="check", responses=HOSTILE)
    html = rendered(a_report(results(a_run(), health)))
    assert 'id="health"' in html and "BROKEN" in html


def test_an_own_template_is_given_the_same_document(tmp_path) -> None:
    own = tmp_path / "own.html.j2"
    own.write_text("{{ document.word }} {{ document.sections|length }} <b>{{ document.title }}</b>")
    report = a_report(results(a_run("<x>"), rows([1.0, 0.0])))
    assert rendered(report, own) == "MEASURED 2 <b>MEASURED: &lt;x&gt;</b>"


def test_an_own_template_may_include_the_shared_style_sheet_and_parts(tmp_path) -> None:
    own = tmp_path / "own.html.j2"
    own.write_text(
        '{% import "parts.html.j2" as parts with context %}'
        '<style>{% include "style.css" %}</style>{{ parts.verdict("pass", "PASS") }}'
    )
    html = rendered(a_report(results(a_run(), rows([1.0, 0.0]))), own)
    assert "--page:" in html and '<p class="verdict"><svg' in html
