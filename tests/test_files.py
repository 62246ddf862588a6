"""Files and folders are whole or not there."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import gethostname
from threading import Event

import pytest

from pyr.files import aside, differences, folder_aside, locked, manifest, write


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_text_is_written_as_utf8_with_its_line_ends_and_bytes_as_they_are(tmp_path):
    write(tmp_path / "new/text", "\u00e9\r\n")
    write(tmp_path / "new/bytes", b"\xff\r\n")
    assert (tmp_path / "new/text").read_bytes() == b"\xc3\xa9\r\n"
    assert (tmp_path / "new/bytes").read_bytes() == b"\xff\r\n"
    assert names(tmp_path) == ["new/bytes", "new/text"]


def test_a_file_keeps_what_it_held_when_writing_it_fails(tmp_path):
    file = tmp_path / "file"
    write(file, "before")
    with pytest.raises(ValueError, match="half-way"), aside(file) as path:
        path.write_text("half", encoding="utf-8")
        assert file.read_text(encoding="utf-8") == "before"
        raise ValueError("half-way")
    assert names(tmp_path) == ["file"]
    assert file.read_text(encoding="utf-8") == "before"


def test_what_is_written_has_the_rights_of_any_new_file(tmp_path):
    write(tmp_path / "file", "")
    with folder_aside(tmp_path / "folder"):
        pass
    (tmp_path / "plain").touch()
    (tmp_path / "plain folder").mkdir()
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "folder").stat().st_mode == (tmp_path / "plain folder").stat().st_mode


def test_two_who_write_one_file_at_once_do_not_share_what_is_aside(tmp_path):
    file = tmp_path / "file"
    with aside(file) as first, aside(file) as second:
        first.write_text("first", encoding="utf-8")
        second.write_text("second", encoding="utf-8")
    assert file.read_text(encoding="utf-8") == "first"
    assert names(tmp_path) == ["file"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "above" / "folder"
    with pytest.raises(ValueError, match="half-way"), folder_aside(folder) as path:
        (path / "half").touch()
        raise ValueError("half-way")
    assert os.listdir(folder.parent) == []
    with folder_aside(folder) as path:
        (path / "whole").touch()
        assert not folder.exists()
    assert names(tmp_path) == ["above/folder/whole"]
    assert os.listdir(folder.parent) == ["folder"]


def test_a_folder_that_is_there_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder" / "kept", "")
    with pytest.raises(OSError, match="not empty"), folder_aside(tmp_path / "folder"):
        pass
    assert names(tmp_path) == ["folder/kept"]


def test_a_manifest_finds_what_is_missing_and_what_differs(tmp_path):
    for name in ("a", "b", "under/c"):
        write(tmp_path / name, name)
    digests = manifest(tmp_path)
    assert list(digests) == ["a", "b", "under/c"]
    assert differences(tmp_path, digests) == []
    (tmp_path / "a").unlink()
    write(tmp_path / "under/c", "other")
    assert differences(tmp_path, digests) == [
        "a is missing",
        "under/c is not what was written: its sha256 differs",
    ]


def test_a_lock_is_waited_for_and_says_who_holds_it(tmp_path):
    told = []
    with ThreadPoolExecutor(1) as pool, locked(tmp_path / "lock", told.append):
        waiting, ended = Event(), Event()

        def second():
            def on_wait(text):
                told.append(text)
                waiting.set()

            with locked(tmp_path / "lock", on_wait):
                return ended.is_set()

        after = pool.submit(second)
        assert waiting.wait(10)
        ended.set()
    assert told == [
        f"process {os.getpid()} on {gethostname()} is writing {tmp_path}: waiting for its end"
    ]
    assert after.result() is True


def test_a_killed_process_lets_its_lock_go(tmp_path):
    script = (
        "import sys, time, pathlib; from pyr.files import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), print):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with locked(tmp_path / "lock", lambda _: other.kill()):
            assert other.wait(10) != 0
