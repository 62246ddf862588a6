import dataclasses
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from factories_store import finish, make_record, make_run, never, stored
from hypothesis import given, settings
from hypothesis import strategies as st

from pyr.errors import MeasureError, StoreError
from pyr.schema import Aggregate, Record, Skipped
from pyr.store import Document, Store

RECORDS = st.lists(
    st.builds(
        Record,
        task=st.sampled_from(["arc", "piqa"]),
        metric=st.sampled_from(["acc", "exact_match,strict"]),
        item=st.one_of(st.integers(0, 200).map(str), st.text(max_size=5)),
        value=st.floats(),
        weight=st.floats(min_value=0),
        cluster=st.text(max_size=3),
        direction=st.sampled_from(["higher", "lower"]),
        responses=st.text(),
    ),
    unique_by=lambda record: (record.task, record.metric, record.item),
    max_size=30,
)


def sorted_frame(records, probe="harness"):
    """The oracle: pandas' own frame of the records in the documented order."""
    ordered = sorted(records, key=lambda r: (r.task, r.metric, len(r.item), r.item))
    columns = [field.name for field in dataclasses.fields(Record)]
    frame = pd.DataFrame([dataclasses.asdict(record) for record in ordered], columns=columns)
    return frame.assign(probe=probe)


@settings(max_examples=25, deadline=None)
@given(records=RECORDS, cuts=st.lists(st.integers(0, 30), max_size=4))
def test_whatever_is_appended_in_whatever_chunks_comes_back(records, cuts):
    edges = [0, *sorted(cuts), len(records)]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        with store.begin(make_run(), on_wait=never) as opened:
            for start, end in zip(edges, edges[1:], strict=False):
                opened.append("harness", records[start:end])
            before = opened.records("harness")
            finish(opened)
        found = store.results(opened.run).records
    pd.testing.assert_frame_equal(found, sorted_frame(records), check_dtype=False)
    assert sorted(before["item"]) == sorted(found["item"])


def test_a_revised_record_takes_the_place_of_the_earlier_one(tmp_path):
    store = Store(tmp_path)
    with store.begin(make_run(), on_wait=never) as opened:
        opened.append("harness", [make_record(i, value=float("nan")) for i in range(3)])
        opened.revise("harness", [make_record(i, value=i / 2) for i in (2, 1)])
        assert list(opened.records("harness")["item"]) == ["0", "1", "2"]
    with store.begin(make_run(), on_wait=never) as opened:  # after a kill
        opened.append("harness", [make_record(3)])
        opened.revise("harness", [make_record(1, value=7.0)])
        finish(opened)
    values = store.results(opened.run).records["value"].tolist()
    assert np.isnan(values[0])
    assert values[1:3] == [7.0, 1.0]


def test_items_are_sorted_as_numbers(tmp_path):
    run = stored(Store(tmp_path), make_run(), [make_record(i) for i in (10, 9, 100)])
    assert list(Store(tmp_path).results(run).records["item"]) == ["9", "10", "100"]


def test_the_order_of_appending_does_not_change_the_files(tmp_path):
    records = [make_record(i, value=i / 7) for i in range(20)]
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    for store, rows in ((one, records), (two, records[::-1])):
        stored(store, make_run(), rows)
    name = f"{make_run().id}/harness.parquet"
    assert (one.root / name).read_bytes() == (two.root / name).read_bytes()


def test_a_run_that_was_broken_off_goes_on_with_what_it_had(tmp_path):
    store = Store(tmp_path)
    stored(store, make_run(), [make_record(0)], finished="")
    later = make_run(started="2026-02-02T00:00:00Z")
    with store.begin(later, on_wait=never) as opened:
        assert list(opened.records("harness")["item"]) == ["0"]
        assert opened.run.started == make_run().started
        opened.append("harness", [make_record(1)])
        finish(opened)
    assert list(store.results(opened.run).records["item"]) == ["0", "1"]


def test_a_finished_run_is_handed_out_as_it_is(tmp_path):
    store = Store(tmp_path)
    first = stored(store, make_run(), [make_record()])
    with store.begin(make_run(), on_wait=never) as opened:
        assert opened.finished
        assert opened.run == first


def test_finishing_keeps_only_what_a_finished_run_needs(tmp_path):
    run = stored(Store(tmp_path), make_run(), [make_record()])
    files = {path.name for path in (tmp_path / run.id).iterdir()}
    assert files == {"run.json", "harness.parquet"}


def test_what_finish_is_told_is_in_the_run(tmp_path):
    store = Store(tmp_path)
    skipped = Skipped("squad", "no data", missing=False)
    with store.begin(make_run(), on_wait=never) as opened:
        opened.finish(
            finished="2026-01-01T02:00:00Z",
            skipped=[skipped],
            notes=["eager attention"],
            data={"ai2/arc": "f00"},
            environment={"dtype": "float32"},
        )
    found = store.run(opened.run.id)
    assert found == opened.run
    assert (found.skipped, found.notes, found.data) == (
        (skipped,),
        ("eager attention",),
        {"ai2/arc": "f00"},
    )


def test_a_record_that_was_there_before_is_refused(tmp_path):
    store = Store(tmp_path)
    stored(store, make_run(), [make_record(3)], finished="")
    with store.begin(make_run(), on_wait=never) as opened, pytest.raises(MeasureError) as error:
        opened.append("harness", [make_record(3, value=0.0)])
    assert "arc/acc: item '3'" in error.value.text()


def test_a_value_of_the_wrong_type_is_refused_by_name(tmp_path):
    with Store(tmp_path).begin(make_run(), on_wait=never) as opened:
        with pytest.raises(MeasureError, match=r"record's value .* double"):
            opened.append("mine", [make_record(value="much")])


def test_numpy_numbers_are_numbers(tmp_path):
    run = stored(
        Store(tmp_path), make_run(), [make_record(value=np.float32(0.5), weight=np.int64(3))]
    )
    assert Store(tmp_path).results(run).records.loc[0, ["value", "weight"]].tolist() == [0.5, 3.0]


def test_a_lone_surrogate_is_kept_escaped(tmp_path):
    run = stored(Store(tmp_path), make_run(), [make_record(responses="a\ud83d")])
    assert Store(tmp_path).results(run).records["responses"][0] == "a\\ud83d"


@pytest.mark.parametrize("name", ["documents", "aggregates", "../up", "a/b", "", ".hidden"])
def test_a_probe_whose_name_is_no_file_of_its_own_is_refused(tmp_path, name):
    with Store(tmp_path).begin(make_run(), on_wait=never) as opened:
        with pytest.raises(MeasureError, match="cannot be named"):
            opened.append(name, [make_record()])


def test_documents_are_kept_once(tmp_path):
    store = Store(tmp_path)
    first = Document("arc", "0", "Ice is", (" cold", " hot"), "0")
    second = Document("arc", "1", "Rain is", (), "wet")
    for rows in ([first], [first, second]):
        with store.begin(make_run(), on_wait=never) as opened:
            opened.put_documents(rows)
    with store.begin(make_run(), on_wait=never) as opened:
        finish(opened)
    found = store.documents(opened.run)
    assert list(found.columns) == ["task", "item", "prompt", "choices", "target"]
    assert found.to_dict("list")["item"] == ["0", "1"]
    assert json.loads(found["choices"][0]) == [" cold", " hot"]


def test_aggregates_come_back_with_their_gaps(tmp_path):
    store = Store(tmp_path)
    with store.begin(make_run(), on_wait=never) as opened:
        opened.put_aggregates(
            [Aggregate("arc", "acc", 0.3, None), Aggregate("b", "f1", 0.5, 0.1, 9)]
        )
        finish(opened)
    found = store.results(opened.run).aggregates
    assert list(found.columns) == [field.name for field in dataclasses.fields(Aggregate)]
    assert found["se"].isna().tolist() == [True, False]
    assert found["n"].isna().tolist() == [True, False]


# ------------------------------------------------------------------ two at once


def test_a_second_writer_waits_and_finds_the_run_finished(tmp_path):
    store, waiting, seen = Store(tmp_path), threading.Event(), []

    def second():
        def told(message):
            seen.append(message)
            waiting.set()

        with Store(tmp_path).begin(make_run(), on_wait=told) as opened:
            seen.append(opened.finished)

    with store.begin(make_run(), on_wait=never) as opened:
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        opened.append("harness", [make_record()])
        finish(opened)
    thread.join(10)
    assert "process " in seen[0]
    assert seen[1] is True


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    stored(Store(tmp_path), make_run(), finished="")
    lock = tmp_path / make_run().id / "lock"
    script = (
        "import fcntl, os, sys, time\n"
        f"file = open({str(lock)!r}, 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "file.write(f'{os.getpid()} elsewhere'); file.flush()\n"
        "print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        messages = []

        def kill(message):
            messages.append(message)
            other.kill()

        with Store(tmp_path).begin(make_run(), on_wait=kill) as opened:
            assert not opened.finished
    assert f"process {other.pid} on elsewhere" in messages[0]


def test_a_folder_deleted_while_we_wait_for_it_is_made_anew(tmp_path):
    store = Store(tmp_path)
    folder = tmp_path / make_run().id
    first = store.begin(make_run(), on_wait=never)

    def remove_and_let_go(_):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        first.__exit__(None, None, None)

    with store.begin(make_run(), on_wait=remove_and_let_go) as second:
        second.append("harness", [make_record()])
        finish(second)
    assert len(store.results(second.run).records) == 1


# ------------------------------------------------------------------ killed


def test_a_killed_writer_leaves_a_run_to_go_on_with_or_a_finished_one():
    driver = Path(__file__).with_name("kill_writer.py")
    done = subprocess.run(
        [sys.executable, str(driver)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    points = int(done.stdout.split()[0])
    assert points > 40


def test_left_over_temporary_files_are_removed(tmp_path):
    store = Store(tmp_path)
    stored(store, make_run(), [make_record()], finished="")
    folder = tmp_path / make_run().id
    halves = [folder / ".run.json.tmp", folder / "chunks/harness/.000001-0.parquet.tmp"]
    for half in halves:
        half.write_bytes(b"half")
    with store.begin(make_run(), on_wait=never):
        assert not any(half.exists() for half in halves)


def test_a_damaged_chunk_is_named_and_only_its_items_are_lost(tmp_path):
    store = Store(tmp_path)
    with store.begin(make_run(), on_wait=never) as opened:
        opened.append("harness", [make_record(0)])
        opened.append("harness", [make_record(1)])
    chunk = sorted((tmp_path / make_run().id / "chunks/harness").iterdir())[1]
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(bytes(content))
    with store.begin(make_run(), on_wait=never) as opened:
        with pytest.raises(StoreError) as error:
            opened.records("harness")
        assert str(chunk) in error.value.text()
        chunk.unlink()
        assert list(opened.records("harness")["item"]) == ["0"]
