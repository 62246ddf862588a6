"""Verdicts on disk: read again, overruled, recomputed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from factories_gate import KEEP, a_gate, mean, sure, verdict
from factories_stats import a_run

from pyr.errors import StoreError, UsageError
from pyr.gate import accept, as_json, assess, read_verdict, still_accepted, verify
from pyr.schema import Checkpoint, Record
from pyr.store import Document, Store

WHEN = "2026-01-02T03:04:05Z"


def written(found, folder):
    file = folder / "verdict.json"
    file.write_text(as_json(found), encoding="utf-8")
    return file


def test_a_verdict_is_read_as_it_was_written(tmp_path):
    found = verdict(KEEP, sure("new"), sure("old"))
    assert as_json(read_verdict(written(found, tmp_path))) == as_json(found)


def test_infinite_numbers_survive(tmp_path):
    found = verdict({"measure": "arc/acc", "at_least": 0.1}, mean(0.9, None))
    assert found.findings[0].observed.se == np.inf
    assert read_verdict(written(found, tmp_path)).findings[0].observed.se == np.inf


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"gate": 1}'])
def test_a_file_that_is_no_verdict_is_refused(tmp_path, text):
    file = tmp_path / "verdict.json"
    file.write_text(text)
    with pytest.raises(StoreError, match="holds no verdict"):
        read_verdict(file)


def test_a_missing_verdict_is_refused(tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        read_verdict(tmp_path / "verdict.json")


# ------------------------------------------------------------------ a person overrules


def failing():
    return verdict(KEEP, mean(0.3, 0.01), mean(0.5, 0.01))


def test_an_accepted_verdict_opens_and_stays_what_it_was(tmp_path):
    found = accept(failing(), "  the data  was changed on purpose ", WHEN)
    again = read_verdict(written(found, tmp_path))
    assert (again.state, again.opens) == ("fail", True)
    assert again.accepted.reason == "the data was changed on purpose"
    assert again.accepted.when == WHEN
    assert not failing().opens


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_verdict_is_not_overruled_without_a_reason(reason):
    with pytest.raises(UsageError, match="for a reason"):
        accept(failing(), reason, WHEN)


def test_there_is_nothing_to_accept_in_a_pass():
    with pytest.raises(UsageError, match="nothing to overrule"):
        accept(verdict(KEEP, sure("a"), sure("b")), "because", WHEN)


def test_an_acceptance_holds_for_the_same_evidence_only():
    accepted = accept(failing(), "because", WHEN)
    assert still_accepted(failing(), accepted).opens
    other = dataclasses.replace(failing(), digests={"gate": "another"})
    assert not still_accepted(other, accepted).opens


# ------------------------------------------------------------------ recomputed

GATE = a_gate({"measure": "arc/acc", "not_worse_by": 0.2})


def stored(store, name, values):
    # Imported runs have no health checks.
    checkpoint = Checkpoint(path="", name=name, digest=name, format="imported")
    run = a_run(name, checkpoint=checkpoint)
    records = [Record("arc", "acc", str(i), float(v)) for i, v in enumerate(values)]
    documents = [Document("arc", str(i), "?", ("a", "b"), "a") for i in range(len(values))]
    with store.begin(run, on_wait=print) as opened:
        opened.append("harness", records)
        opened.put_documents(documents)
        opened.finish(finished="later", skipped=(), notes=(), data={}, environment={})
    return store.run(name)


@pytest.fixture
def store(tmp_path):
    found = Store(tmp_path)
    stored(found, "old", [1.0] * 80 + [0.0] * 20)
    stored(found, "new", [1.0] * 79 + [0.0] * 21)
    return found


def judged(store, gate=GATE):
    new, old = (store.results(store.run(name)) for name in ("new", "old"))
    documents = store.documents(store.run("new"))
    return assess(gate, new, old, documents=documents).verdict


def test_a_verdict_is_what_the_records_say(store, tmp_path):
    assert judged(store).state == "pass"
    assert verify(read_verdict(written(judged(store), tmp_path)), GATE, store) == []


def test_another_gate_is_found_out(store):
    lax = a_gate({"measure": "arc/acc", "not_worse_by": 0.5})
    differences = verify(judged(store), lax, store)
    assert any(line.startswith("gate: sha256") for line in differences)
    assert any("not_worse_by 0.5: pass, it says nothing" in line for line in differences)


def test_a_verdict_that_was_edited_is_found_out(store):
    true = judged(store, a_gate({"measure": "arc/acc", "at_least": 0.9}))
    first = dataclasses.replace(true.findings[0], state="pass")
    forged = dataclasses.replace(true, state="pass", findings=[first])
    differences = verify(forged, a_gate({"measure": "arc/acc", "at_least": 0.9}), store)
    assert differences == [
        "the verdict is fail, it says pass",
        "arc/acc at_least 0.9: fail, it says pass",
    ]


def test_other_records_are_found_out(store, tmp_path_factory):
    other = Store(tmp_path_factory.mktemp("other"))
    stored(other, "old", [1.0] * 80 + [0.0] * 20)
    stored(other, "new", [1.0] * 78 + [0.0] * 22)
    differences = verify(judged(store), GATE, other)
    assert differences[0].startswith("candidate records: sha256")
    assert "the numbers differ: arc/acc fell by" in differences[1]


def test_a_run_that_is_gone_is_an_error(store, tmp_path_factory):
    with pytest.raises(StoreError, match="no run 'new'"):
        verify(judged(store), GATE, Store(tmp_path_factory.mktemp("empty")))
