import errno
import os
import random
import resource
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from factories_store import finish, make_record, make_run, never, stored

from pyr.errors import StoreError
from pyr.schema import Record
from pyr.store import Store, records_digest

COLUMNS = [*Record.__dataclass_fields__, "probe"]


# ------------------------------------------------------------------ finding runs


def test_a_store_that_is_not_there_has_no_runs(tmp_path):
    assert Store(tmp_path / "none").runs() == []


def test_runs_are_listed_oldest_first(tmp_path):
    store = Store(tmp_path)
    stored(store, make_run("b", started="2026-03-01"))
    stored(store, make_run("a", started="2026-04-01"), finished="")
    assert [(run.id, bool(run.finished)) for run in store.runs()] == [("b", True), ("a", False)]


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "readme.txt").write_text("mine")
    assert Store(tmp_path).runs() == []


def test_a_run_is_found_by_id_by_prefix_and_by_path(tmp_path):
    store = Store(tmp_path)
    run = stored(store, make_run("tiny--smoke--aa"))
    stored(store, make_run("tiny--base--bb"))
    for ref in ("tiny--smoke--aa", "tiny--s", str(tmp_path / "tiny--smoke--aa")):
        assert store.run(ref) == run


def test_an_id_goes_before_a_longer_one_that_begins_so(tmp_path):
    store = Store(tmp_path)
    stored(store, make_run("tiny-2"))
    assert store.run(stored(store, make_run("tiny")).id).id == "tiny"


def test_a_prefix_of_several_runs_is_refused_with_their_ids(tmp_path):
    store = Store(tmp_path)
    stored(store, make_run("tiny--a"))
    stored(store, make_run("tiny--b"))
    with pytest.raises(StoreError) as error:
        store.run("tiny")
    assert "names 2 runs" in error.value.text()
    assert "tiny--a, tiny--b" in error.value.remedy


def test_an_unknown_run_is_answered_with_a_near_one(tmp_path):
    store = Store(tmp_path)
    stored(store, make_run("smollm--base--0a1b2c3d4e"))
    with pytest.raises(StoreError) as error:
        store.run("smolm")
    assert error.value.remedy == "did you mean: smollm?"


def test_a_run_outside_the_store_is_read_by_its_path(tmp_path):
    stored(Store(tmp_path / "other"), make_run("far"), [make_record()])
    store = Store(tmp_path / "results")
    run = store.run(str(tmp_path / "other" / "far"))
    assert len(store.results(run).records) == 1
    assert store.folder(run) == (tmp_path / "other" / "far").resolve()


def test_two_runs_of_one_name_are_not_taken_for_each_other(tmp_path):
    for name in ("here", "there"):
        stored(Store(tmp_path / name), make_run("same"), [make_record()])
    with pytest.raises(StoreError, match="two run folders have the name same"):
        Store(tmp_path / "here").run(str(tmp_path / "there" / "same"))


def test_a_copied_folder_is_a_run_of_its_own_name(tmp_path):
    stored(Store(tmp_path), make_run("first"), [make_record()])
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    assert [run.id for run in Store(tmp_path).runs()] == ["first", "second"]


def test_the_newest_finished_run_of_a_checkpoint_and_suite_is_found(tmp_path):
    store = Store(tmp_path)
    stored(store, make_run("old"), finished="2026-01-01")
    stored(store, make_run("new"), finished="2026-01-02")
    stored(store, make_run("other", digest="d2"), finished="2026-01-03")
    stored(store, make_run("unfinished"), finished="")
    assert store.find(make_run("new").checkpoint, "s1", "reference").id == "new"
    assert store.find(make_run("new").checkpoint, "s1", "fast") is None


def test_one_id_for_another_checkpoint_is_refused(tmp_path):
    store = Store(tmp_path)
    for finished in ("", "2026-01-01"):
        stored(store, make_run("one"), finished=finished)
        with pytest.raises(StoreError, match="another checkpoint"):
            store.begin(make_run("one", digest="d2"), on_wait=never)


@pytest.mark.parametrize("run_id", ["", "..", "a/b", ".hidden"])
def test_an_id_that_is_no_folder_name_is_refused(tmp_path, run_id):
    with pytest.raises(StoreError, match="cannot be the id"):
        Store(tmp_path).begin(make_run(run_id), on_wait=never)


# ------------------------------------------------------------------ reading


def test_results_have_every_column_even_without_rows(tmp_path):
    store = Store(tmp_path)
    results = store.results(stored(store, make_run()))
    assert list(results.records.columns) == COLUMNS
    assert results.aggregates.empty
    assert store.documents(results.run).empty


def test_records_say_which_probe_they_are_of(tmp_path):
    store = Store(tmp_path)
    with store.begin(make_run(), on_wait=never) as opened:
        for probe in ("throughput", "harness"):
            opened.append(probe, [make_record()])
        finish(opened)
    assert list(store.results(opened.run).records["probe"]) == ["harness", "throughput"]


def test_an_unfinished_run_shows_what_is_durable_and_says_so(tmp_path):
    store = Store(tmp_path)
    results = store.results(stored(store, make_run(), [make_record()], finished=""))
    assert len(results.records) == 1
    assert results.run.finished == ""


def test_the_digest_of_records_changes_with_any_value(tmp_path):
    digests = set()
    for i, value in enumerate((0.0, 0.5)):
        for response in ("", "said"):
            store = Store(tmp_path / f"{i}{response}")
            run = stored(store, make_run(), [make_record(value=value, responses=response)])
            digests.add(records_digest(store.results(run)))
            assert records_digest(store.results(run)) in digests
    assert len(digests) == 4


def test_a_flipped_bit_is_an_error_that_names_the_file(tmp_path):
    store = Store(tmp_path)
    run = stored(store, make_run(), [make_record(i, responses="x" * i) for i in range(50)])
    path = tmp_path / run.id / "harness.parquet"
    whole = path.read_bytes()
    undetected = []
    for position in random.Random(0).sample(range(len(whole)), min(40, len(whole))):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(bytes(flipped))
        try:
            store.results(run)
        except StoreError as error:
            assert error.where == str(path)
            assert error.remedy
        else:
            undetected.append(position)
    assert undetected == []


def test_a_missing_file_of_a_finished_run_is_an_error(tmp_path):
    store = Store(tmp_path)
    run = stored(store, make_run(), [make_record()])
    (tmp_path / run.id / "harness.parquet").unlink()
    with pytest.raises(StoreError, match="cannot be read") as error:
        store.results(run)
    assert error.value.where.endswith("harness.parquet")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"layout": 1}', '{"layout": 9}', "\xff"])
def test_a_run_json_that_is_none_is_passed_over_and_named(tmp_path, content, caplog):
    store = Store(tmp_path)
    whole = stored(store, make_run(), [make_record()])
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "run.json").write_text(content, encoding="latin-1")
    assert [run.id for run in store.runs()] == [whole.id]
    assert store.run(whole.id[:3]).id == whole.id
    [warning] = caplog.messages
    assert "passed over" in warning and str(tmp_path / "odd" / "run.json") in warning
    with pytest.raises(StoreError) as error:
        store.run("odd")
    assert str(tmp_path / "odd" / "run.json") in error.value.where


# ------------------------------------------------------------------ a disk that refuses


def test_a_file_in_place_of_the_results_folder_is_an_error_at_the_start(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written") as error:
        Store(tmp_path / "results").begin(make_run(), on_wait=never)
    assert "--store" in error.value.remedy


def test_a_file_in_place_of_the_results_folder_is_an_error_for_readers(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StoreError, match="cannot be read"):
        Store(tmp_path / "results").runs()


@contextmanager
def unprivileged():
    """Root may write anywhere: be nobody for a while."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_read_only_results_folder_is_an_error_at_the_start():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o555)
        with unprivileged(), pytest.raises(StoreError, match="Permission denied"):
            Store(root / "results").begin(make_run(), on_wait=never)
        root.chmod(0o755)


def test_a_finished_run_is_read_and_reused_from_a_read_only_folder():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run = stored(Store(root), make_run(), [make_record()])
        for path in (root / run.id, root):
            path.chmod(0o555)
        with unprivileged():
            with Store(root).begin(make_run(), on_wait=never) as opened:
                assert opened.finished
            assert len(Store(root).results(run).records) == 1
        for path in (root, root / run.id):
            path.chmod(0o755)


@contextmanager
def files_of_at_most(num_bytes):
    """The kernel refuses to write beyond, as it does on a full disk; only the number differs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_keeps_what_was_finished_before(tmp_path):
    store = Store(tmp_path)
    noise = random.Random(0).randbytes(40_000).hex()
    with store.begin(make_run(), on_wait=never) as opened:
        opened.append("harness", [make_record(0)])
        with files_of_at_most(20_000), pytest.raises(StoreError, match="File too large") as error:
            opened.append("harness", [make_record(1, responses=noise)])
    assert "what was finished before is kept" in error.value.remedy
    with store.begin(make_run(), on_wait=never) as opened:
        assert list(opened.records("harness")["item"]) == ["0"]
        opened.append("harness", [make_record(1, responses=noise)])
        finish(opened)
    assert len(store.results(opened.run).records) == 2
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_full_disk_at_the_end_leaves_the_run_unfinished(tmp_path, monkeypatch):
    store = Store(tmp_path)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with store.begin(make_run(), on_wait=never) as opened:
        opened.append("harness", [make_record()])
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space left on device"):
            finish(opened)
        monkeypatch.undo()
    found = store.run(make_run().id)
    assert found.finished == ""
    assert len(store.results(found).records) == 1


def test_a_file_is_synced_before_it_gets_its_name(tmp_path, monkeypatch):
    done = []
    replace = Path.replace

    def noted_replace(self, target):
        done.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", lambda _: done.append("sync"))
    monkeypatch.setattr(Path, "replace", noted_replace)
    with Store(tmp_path).begin(make_run(), on_wait=never) as opened:
        done.clear()
        opened.append("harness", [make_record()])
    assert done[-3:] == ["sync", "name", "sync"]


# ------------------------------------------------------------------ speed


def test_a_hundred_thousand_records_are_a_matter_of_seconds(tmp_path):
    records = [make_record(i, doc_hash=f"{i:064}", prompt_hash=f"{i:064}") for i in range(100_000)]
    store = Store(tmp_path)
    started = time.process_time()
    with store.begin(make_run(), on_wait=never) as opened:
        for start in range(0, len(records), 2_000):
            opened.append("harness", records[start : start + 2_000])
        finish(opened)
    assert len(store.results(opened.run).records) == 100_000
    assert time.process_time() - started < 6
