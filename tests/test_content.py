from __future__ import annotations

from pathlib import Path

import pytest

from pyr import content
from pyr.errors import ContentError
from pyr.gate.spec import Gate
from pyr.schema import Suite

SUITES = sorted(content.path("evals/suites").glob("*.yaml"))
GATES = sorted(content.path("evals/gates").glob("*.yaml"))


@pytest.mark.parametrize("file", SUITES, ids=lambda file: file.stem)
def test_every_shipped_suite_is_valid(file: Path) -> None:
    assert content.read(file, Suite).name == file.stem


@pytest.mark.parametrize("file", GATES, ids=lambda file: file.stem)
def test_every_shipped_gate_is_valid(file: Path) -> None:
    assert content.read(file, Gate).name == file.stem


def test_an_unknown_suite_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(ContentError) as caught:
        content.find("smok", kind="suite", folder="evals/suites")
    assert caught.value.text().splitlines()[0] == "suite 'smok' not found."
    assert "did you mean: smoke" in caught.value.text()


def test_an_unknown_key_is_answered_with_the_nearest_key(tmp_path: Path) -> None:
    file = tmp_path / "gate.yaml"
    file.write_text("floors: [{measure: a/b, at_leest: 1}]")
    with pytest.raises(ContentError) as caught:
        content.read(file, Gate)
    assert "unknown key 'floors.0.at_leest'" in caught.value.what
    assert caught.value.remedy == "did you mean: at_least, at_most?"


def test_a_rule_needs_exactly_one_word(tmp_path: Path) -> None:
    file = tmp_path / "gate.yaml"
    file.write_text("floors: [{measure: a/b, at_least: 1, at_most: 2}]")
    with pytest.raises(ContentError, match="exactly one of"):
        content.read(file, Gate)


def test_options_of_a_probe_are_written_flat(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text("probes: [{probe: harness, name: chat, tasks: [a], limit: 3}]")
    spec = content.read(file, Suite).probes[0]
    assert (spec.name, spec.options) == ("chat", {"tasks": ["a"], "limit": 3})


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: [", "probes: []", "probes: 3"])
def test_a_file_that_is_no_suite_is_a_content_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(text)
    with pytest.raises(ContentError):
        content.read(file, Suite)


def test_content_that_is_missing_names_the_places_looked_in() -> None:
    with pytest.raises(ContentError) as caught:
        content.path("evals/nothing")
    assert "looked in" in caught.value.where


def test_a_key_written_twice_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text("probes: [{probe: health}]\nprobes: [{probe: tokenizer}]\n")
    with pytest.raises(ContentError, match=r"'probes' stands there twice\s+at line 2"):
        content.read(file, Suite)


def test_a_file_in_another_encoding_is_answered_with_the_right_one(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text("description: caf\u00e9\nprobes: [{probe: health}]\n", encoding="latin-1")
    with pytest.raises(ContentError, match="is not UTF-8") as caught:
        content.read(file, Suite)
    assert caught.value.remedy == "save it as UTF-8"


def test_a_mark_of_byte_order_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_bytes(b"\xef\xbb\xbfprobes:\r\n  - probe: health\r\n")
    assert [spec.probe for spec in content.read(file, Suite).probes] == ["health"]


def test_a_file_without_the_ending_is_not_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "suite").write_text("probes: [{probe: health}]")
    with pytest.raises(ContentError, match=r"is no \.yaml file"):
        content.find(str(tmp_path / "suite"), kind="suite", folder="evals/suites")


def test_a_task_that_two_probes_ask_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    again = "{probe: harness, name: again, tasks: [{task: pyr_facts, limit: 2}]}"
    file.write_text(f"probes: [{{probe: harness, tasks: [pyr_facts]}}, {again}]")
    with pytest.raises(ContentError, match="'pyr_facts' is asked for by two probes"):
        content.read(file, Suite)


def test_two_probes_of_one_name_are_refused(tmp_path: Path) -> None:
    # Their records share a file, and --set NAME.OPTION would reach one of them only.
    file = tmp_path / "suite.yaml"
    file.write_text("probes: [{probe: tools}, {probe: tools, items: bfcl_style}]")
    with pytest.raises(ContentError, match="two probes are called 'tools': give each a `name`"):
        content.read(file, Suite)
