"""Where data lies, and whether the hub can be asked for it."""

from __future__ import annotations

import socket

import pytest

from pyr import datasets
from pyr.errors import DataMissing


def test_a_data_set_is_found_under_its_organisation(tmp_path):
    (tmp_path / "allenai" / "sciq").mkdir(parents=True)
    assert datasets.locate(tmp_path, "allenai/sciq") == tmp_path / "allenai" / "sciq"


def test_a_name_without_organisation_is_found_under_any(tmp_path):
    (tmp_path / "Rowan" / "hellaswag").mkdir(parents=True)
    assert datasets.locate(tmp_path, "hellaswag") == tmp_path / "Rowan" / "hellaswag"


def test_another_organisations_data_set_of_that_name_is_not_taken(tmp_path):
    (tmp_path / "somebody" / "sciq").mkdir(parents=True)
    assert datasets.locate(tmp_path, "allenai/sciq") is None


def test_a_name_that_two_organisations_have_is_refused(tmp_path):
    (tmp_path / "a" / "sciq").mkdir(parents=True)
    (tmp_path / "b" / "sciq").mkdir(parents=True)
    with pytest.raises(DataMissing, match="a/sciq, b/sciq"):
        datasets.locate(tmp_path, "sciq")


def test_the_fetch_command_lays_the_data_set_where_it_is_looked_for():
    command = datasets.fetch_command("allenai/sciq")
    assert command == "hf download --repo-type dataset allenai/sciq --local-dir DIR/allenai/sciq"


def test_a_hub_that_nothing_connects_to_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with socket.socket() as held:
        # Bound, but nobody listens there.
        held.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{held.getsockname()[1]}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        assert not datasets.hub_answers.__wrapped__()
        held.listen()
        assert datasets.hub_answers.__wrapped__()


def test_a_source_is_known_by_its_content_wherever_it_lies(tmp_path):
    (tmp_path / "allenai/sciq").mkdir(parents=True)
    (tmp_path / "allenai/sciq/a.jsonl").write_text("one")
    file = f"file:{tmp_path / 'allenai/sciq/a.jsonl'}"
    told = [
        datasets.source_fingerprint(name, tmp_path) for name in (file, "allenai/sciq", "task:x")
    ]
    assert told[0] != told[1]
    assert told[2] is None
    (tmp_path / "allenai/sciq/a.jsonl").write_text("two")
    assert datasets.source_fingerprint(file, None) not in (told[0], "")
    assert datasets.source_fingerprint("allenai/sciq", tmp_path) not in (told[1], "")
    assert datasets.source_fingerprint("allenai/sciq", None) is None
    assert datasets.source_fingerprint("allenai/none", tmp_path) == ""
    assert datasets.source_fingerprint("file:nowhere", None) == ""


def test_a_data_set_of_the_hub_is_known_by_its_commit(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert datasets.source_fingerprint("hub:org/set", None) is None
    refs = tmp_path / "datasets--org--set/refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("abc\n")
    assert datasets.source_fingerprint("hub:org/set", None) == "abc"
    assert datasets.source_fingerprint("hub:org/set", tmp_path) is None


def test_a_name_that_looks_like_a_pattern_is_a_name_where_such_a_file_is(tmp_path):
    (tmp_path / "x[1].json").write_text("a")
    (tmp_path / "x1.json").write_text("b")
    named = datasets.files_fingerprint(str(tmp_path / "x[1].json"))
    assert named == datasets.fingerprint(tmp_path / "x[1].json")
