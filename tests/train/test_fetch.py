from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pyr import content
from pyr.data.filters import SourceStats, used_rows
from pyr.data.source import Places, Source, load_function
from pyr.errors import ContentError, DataMissing

FILE = content.path("train/pyr-135m/fetch.py")
ATTEMPTS = 4


def filled(url: str, cache: Path, rows: list[dict], **more: object) -> list[dict]:
    return list(load_function(FILE, "fetch")(rows=rows, seed=1, cache=cache, url=url, **more))


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
    found = filled(store.url, tmp_path, rows(*range(600)))
    assert [row["text"] for row in found] == [f"print({n})" for n in range(600)]
    assert found[7]["stars"] == 7


def test_what_was_fetched_is_not_asked_for_again(store: Store, tmp_path: Path) -> None:
    filled(store.url, tmp_path, rows(1, 2, 3))
    store.asked.clear()
    again = filled(store.url, tmp_path, rows(1, 2, 3, 4))
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
    found = filled(store.url, tmp_path, rows(7, 7))
    assert [row["text"] for row in found] == ["print(7)", "print(7)"]


def test_what_is_not_there_is_left_out_and_counted(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"blob_id": "0001"}\n{"blob_id": "ffff"}\n')
    source = Source(name="s", files=["a.jsonl"], rows=f"{FILE}:fetch", arguments={"url": store.url})
    counted = SourceStats()
    found = list(used_rows(source, Places((tmp_path,), seed=1), counted))
    assert [row["text"] for row in found] == ["print(1)"]
    assert (counted.read, counted.missing) == (2, 1)


def test_a_store_that_stumbles_is_asked_again(store: Store, tmp_path: Path) -> None:
    store.refuse = 2
    [row] = filled(store.url, tmp_path, rows(5), pause=0.0)
    assert row["text"] == "print(5)"


def test_a_store_that_does_not_answer_ends_the_preparation(store: Store, tmp_path: Path) -> None:
    store.refuse = 99
    with pytest.raises(DataMissing, match="503") as error:
        filled(store.url, tmp_path, rows(5), pause=0.0)
    assert "what has been fetched is kept" in error.value.remedy
    assert len(store.asked) == ATTEMPTS


def test_a_url_names_a_column_that_the_rows_have(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="blob_id"):
        filled(store.url, tmp_path, [{"text": "x"}])
