from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pyr.errors import ContentError, DataMissing
from pyr.training import contents, sources
from pyr.training.contents import Contents
from pyr.training.recipe import Source
from pyr.training.sources import Counted, Places


class Store(ThreadingHTTPServer):
    """Blobs by their id; it does not answer properly `refuse` times, and counts what is asked."""

    refuse = 0
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.blobs = {f"{n:04x}": gzip.compress(f"print({n})".encode()) for n in range(600)}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/content/{{blob_id}}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.rsplit("/", 1)[1]
        self.server.asked.append(name)
        if self.server.refuse:
            self.server.refuse -= 1
            self.send_error(503)
        elif name not in self.server.blobs:
            self.send_error(404)
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.blobs[name])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("no_proxy", "*")
    server = Store()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def rows(*numbers: int) -> list[dict]:
    return [{"blob_id": f"{n:04x}", "stars": n} for n in numbers]


def test_rows_come_in_their_order_with_their_contents(store: Store, tmp_path: Path) -> None:
    filled = list(Contents(store.url, tmp_path).fill(rows(*range(600)), "text"))
    assert [row["text"] for row in filled] == [f"print({n})" for n in range(600)]
    assert filled[7]["stars"] == 7


def test_what_was_fetched_is_not_asked_for_again(store: Store, tmp_path: Path) -> None:
    list(Contents(store.url, tmp_path).fill(rows(1, 2, 3), "text"))
    store.asked.clear()
    again = list(Contents(store.url, tmp_path).fill(rows(1, 2, 3, 4), "text"))
    assert [row["text"] for row in again] == [f"print({n})" for n in (1, 2, 3, 4)]
    assert store.asked == ["0004"]


def test_rows_that_point_at_one_content_may_be_fetched_at_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(2, timeout=10)
    replace = Path.replace

    def both_at_once(self: Path, target: Path) -> Path:
        together.wait()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", both_at_once)
    filled = list(Contents(store.url, tmp_path).fill(rows(7, 7), "text"))
    assert [row["text"] for row in filled] == ["print(7)", "print(7)"]


def test_what_is_not_there_is_left_out_and_counted(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"blob_id": "0001"}\n{"blob_id": "ffff"}\n')
    source = Source(name="s", files=["a.jsonl"], contents=store.url)
    counted = Counted()
    found = list(sources.rows(source, Places((tmp_path,), seed=1), counted))
    assert [row["text"] for row in found] == ["print(1)"]
    assert (counted.read, counted.missing) == (2, 1)


def test_a_store_that_stumbles_is_asked_again(store: Store, tmp_path: Path) -> None:
    store.refuse = 2
    [row] = Contents(store.url, tmp_path, pause=0.0).fill(rows(5), "text")
    assert row["text"] == "print(5)"


def test_a_store_that_does_not_answer_ends_the_preparation(store: Store, tmp_path: Path) -> None:
    store.refuse = 99
    with pytest.raises(DataMissing, match="503") as error:
        list(Contents(store.url, tmp_path, pause=0.0).fill(rows(5), "text"))
    assert "what has been fetched is kept" in error.value.remedy
    assert len(store.asked) == contents._ATTEMPTS


def test_a_url_names_a_column_that_the_rows_have(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="blob_id"):
        list(Contents(store.url, tmp_path).fill([{"text": "x"}], "text"))
