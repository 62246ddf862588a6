"""Kill a process that writes a run, at every effect on the disk and at random times; re-open it.

Run as a script: it forks, which a process full of threads, as pytest's may be, should not.
Prints the number of effects a whole run has, each of which was the last of one process.
"""

import itertools
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from factories_store import finish, make_record, make_run, never

from pyr.store import Document, Store

RECORDS = [make_record(i, value=i / 3) for i in range(8)]
CHUNK = 4
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
EFFECTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}


def write(root: Path) -> None:
    """Do what is left of the run, to its end."""
    store = Store(root)
    with store.begin(make_run(), on_wait=never) as opened:
        if opened.finished:
            return
        opened.put_documents([Document("arc", r.item, "Ice is", (" cold",), "0") for r in RECORDS])
        done = set(opened.records("harness")["item"])
        assert len(done) % CHUNK == 0, "half a chunk"
        todo = [record for record in RECORDS if record.item not in done]
        for start in range(0, len(todo), CHUNK):
            opened.append("harness", todo[start : start + CHUNK])
        finish(opened)


def check(root: Path) -> None:
    """What a reader finds is a part that says so, or the whole."""
    store = Store(root)
    for run in store.runs():
        found = store.results(run)
        whole = len(found.records) == len(RECORDS) and len(store.documents(run)) == len(RECORDS)
        assert whole or not found.run.finished, "looks whole, but is not"
    write(root)
    results = store.results(store.run(make_run().id))
    assert results.run.finished
    assert results.records["value"].tolist() == [record.value for record in RECORDS]
    files = sorted(path.name for path in (root / make_run().id).iterdir())
    assert files == ["documents.parquet", "harness.parquet", "run.json"], files


def killed(do: Callable[[], None], *, after: float = 0) -> bool:
    """Do it in a process of its own, killed `after` so many seconds; True if it was killed."""
    child = os.fork()
    if child == 0:
        try:
            do()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if after:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    if status:
        sys.exit(f"failed: {do}")
    return False


def write_and_die(root: Path, last: int) -> None:
    """Be killed by the kernel just before effect number `last` on the disk."""
    count = 0

    def before_effect(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event not in EFFECTS:
            return
        path = str(arguments[0])
        # rmtree names files relative to a descriptor.
        if path.startswith(str(root)) or not os.path.isabs(path):
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(before_effect)
    # Between a file's content and its name: the moment when a temporary file is whole.
    os.fsync = lambda _: before_effect("open", (str(root),))
    write(root)


def kill_at_every_effect(folder: Path) -> int:
    """The number of effects that a whole run has."""
    for last in itertools.count(1):
        root = folder / str(last)
        if not killed(partial(write_and_die, root, last)):
            return last - 1
        check(root)
    raise AssertionError("a run has an end")


def kill_at_random_times(folder: Path, *, attempts: int) -> None:
    """Kill one process after the other on the same run, each given a little more time."""
    for attempt in range(attempts):
        root, dice, longest = folder / f"random-{attempt}", random.Random(attempt), 0.02
        while killed(partial(write, root), after=dice.uniform(0, longest)):
            longest *= 1.2
        check(root)


if __name__ == "__main__":
    os.fsync = lambda _: None
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        check(Path(name, "warm"))  # what is imported late is imported once, not in every child
        points = kill_at_every_effect(Path(name))
        kill_at_random_times(Path(name), attempts=3)
    print(points)
