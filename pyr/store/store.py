"""The store: run folders under one root, written once and read by every later room."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pyarrow as pa

from pyr.errors import StoreError, did_you_mean
from pyr.files import locked
from pyr.schema import Aggregate, Checkpoint, Run
from pyr.store import tables, writer
from pyr.store.tables import Document, Results
from pyr.store.writer import AGGREGATES, DOCUMENTS, LOCK, Manifest, OpenRun, is_run, read_manifest

_LOG = logging.getLogger(__name__)


class Store:
    """Run folders under `root`; a folder there that is no run is left alone."""

    def __init__(self, root: Path | str) -> None:
        """root: created when the first run begins."""
        self.root = Path(root)
        self._elsewhere: dict[str, Path] = {}
        self._passed_over: set[Path] = set()

    def runs(self) -> list[Run]:
        """Every run, oldest first; unfinished ones have `finished` empty.

        One that cannot be read is passed over, with a warning. Raises StoreError if the folder
        cannot be read.
        """
        found = []
        for folder in filter(is_run, writer.listing(self.root)):
            if not _is_name(folder.name):
                continue  # what a removal that was killed has left
            try:
                found.append(read_manifest(folder).run)
            except StoreError as error:
                if folder not in self._passed_over:
                    self._passed_over.add(folder)
                    _LOG.warning("passed over: %s", " ".join(error.text().split()))
        return sorted(found, key=_age)

    def run(self, ref: str) -> Run:
        """The run with this id, in the folder at this path, of the checkpoint with this name alone,
        or with an id that begins so.

        Raises StoreError if there is none, or more than one.
        """
        if _is_name(ref) and is_run(self.root / ref):
            return read_manifest(self.root / ref).run
        if ref and is_run(Path(ref)):
            return self._run_at(Path(ref))
        ids = [run.id for run in self.runs()]
        named = [id_ for id_ in ids if id_.partition("--")[0] == ref]
        matches = named or [id_ for id_ in ids if id_.startswith(ref)]
        if len(matches) == 1:
            return read_manifest(self.root / matches[0]).run
        if matches:
            few = ", ".join(matches[:4]) + (", ..." if len(matches) > 4 else "")
            raise StoreError(
                f"'{ref}' names {len(matches)} runs.",
                where=str(self.root),
                remedy=f"write more of the id: {few}",
            )
        stems = [id_.partition("--")[0] for id_ in ids]
        raise StoreError(
            f"there is no run '{ref}'.",
            where=f"looked in: {self.root}",
            remedy=did_you_mean(ref, [*ids, *stems]) or "list the runs with: pyr ls",
        )

    def find(self, checkpoint: Checkpoint, suite_digest: str, engine: str) -> Run | None:
        """The newest run that asked this checkpoint the whole suite under this engine, if any."""
        newest = None
        for run in self.runs():
            same = (run.suite_digest, run.engine) == (suite_digest, engine)
            if (
                not same
                or not _is_same(run.checkpoint, checkpoint)
                or not run.finished
                or run.asked
            ):
                continue
            if newest is None or (run.finished, run.id) > (newest.finished, newest.id):
                newest = run
        return newest

    def remove(self, run: Run) -> Path:
        """Delete the run's folder with its reports, and return where it was.

        Raises StoreError if another process is writing it, or the folder cannot be removed.
        """
        folder = self.folder(run)

        def refuse(holder: str) -> None:
            raise StoreError(
                f"the run cannot be removed: {holder.partition(' is writing')[0]} is writing it.",
                where=str(folder),
                remedy="wait for its end, or stop it",
            )

        with tables.writing(folder), locked(folder / LOCK, refuse):
            # Renamed first: a kill half-way leaves no run with some of its files.
            doomed = folder.with_name(f".removed-{folder.name}")
            shutil.rmtree(doomed, ignore_errors=True)
            folder.rename(doomed)
        shutil.rmtree(doomed)
        return folder

    def folder(self, run: Run) -> Path:
        """Where the run's files are; reports are written beside them."""
        return self._elsewhere.get(run.id, self.root / run.id)

    def results(self, run: Run) -> Results:
        """Everything measured; of an unfinished run, what is durable so far.

        Raises StoreError naming the file if one is missing or not what was written.
        """
        found, parts = self._read(run)
        aggregates = parts.pop(AGGREGATES, tables.columns(Aggregate).empty_table())
        parts.pop(DOCUMENTS, None)
        records = tables.records_frame(list(parts.items()))
        return Results(run=found, records=records, aggregates=aggregates.to_pandas())

    def documents(self, run: Run) -> pd.DataFrame:
        """The items as they were asked: task, item, prompt, choices (JSON list), target."""
        _, parts = self._read(run, only=DOCUMENTS)
        documents = parts.get(DOCUMENTS, tables.columns(Document).empty_table())
        frame: pd.DataFrame = documents.to_pandas()
        return frame

    def begin(self, run: Run, *, on_wait: Callable[[str], None]) -> OpenRun:
        """Open the run's folder for writing: new, left unfinished, or already finished.

        Where another process is writing it, `on_wait` is told which and this one waits; the run
        may then be finished. An unfinished run keeps the time it was started at.
        Raises StoreError if the folder cannot be written, before anything is measured.
        """
        if not _is_name(run.id):
            raise StoreError(
                f"'{run.id}' cannot be the id of a run: it is the name of its folder.",
                remedy="use letters, digits and . _ - only",
            )
        folder = self.root / run.id
        if is_run(folder) and (found := read_manifest(folder).run).finished:
            _refuse_another(run, found, folder)
            writer.remove_scaffold(folder)
            return OpenRun(folder, found, ExitStack())
        with ExitStack() as held:
            with tables.writing(folder / LOCK):
                held.enter_context(locked(folder / LOCK, on_wait))
            writer.remove_leftovers(folder)
            found = _opened(folder, run)
            # From here on the lock is the OpenRun's to release.
            return OpenRun(folder, found, held.pop_all())

    def _run_at(self, path: Path) -> Run:
        """The run in a folder that need not be under the root."""
        folder = path.resolve()
        if folder.parent == self.root.resolve():
            return read_manifest(self.root / folder.name).run
        known = self._elsewhere.get(folder.name, folder)
        if known != folder or is_run(self.root / folder.name):
            raise StoreError(
                f"two run folders have the name {folder.name}.",
                where=f"{folder} and {known if known != folder else self.root / folder.name}",
                remedy="rename one of them: a run's id is the name of its folder",
            )
        self._elsewhere[folder.name] = folder
        return read_manifest(folder).run

    def _read(self, run: Run, *, only: str = "") -> tuple[Run, dict[str, pa.Table]]:
        """The run as it stands now, and its tables by part (or that part alone)."""
        folder = self.folder(run)
        found = read_manifest(folder)
        if not found.run.finished:
            chunks = _chunks_while_unfinished(folder)
            return (found.run, chunks) if chunks is not None else self._read(run, only=only)
        parts = {}
        for name, digest in found.files.items():
            part = name.removesuffix(".parquet")
            if not only or part == only:
                parts[part] = tables.read_parquet(folder / name, sha256=digest)
        return found.run, parts


def _opened(folder: Path, run: Run) -> Run:
    """The run as it stands in the locked folder, written there if it is not finished."""
    if is_run(folder):
        found = read_manifest(folder).run
        _refuse_another(run, found, folder)
        if found.finished:
            return found
        run = dataclasses.replace(run, started=found.started, data=found.data)
    run = dataclasses.replace(run, finished="")
    writer.write_manifest(folder, Manifest(run))
    return run


def _chunks_while_unfinished(folder: Path) -> dict[str, pa.Table] | None:
    """What is durable of the run; None if its writer finished it while we were reading."""
    try:
        chunks = writer.unfinished(folder)
    except StoreError:
        if read_manifest(folder).run.finished:
            return None
        raise
    return None if read_manifest(folder).run.finished else chunks


def _is_same(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether two checkpoints hold the same and generate the same way."""
    generation = [each.digests.get("generation") for each in (one, other)]
    return one.digest == other.digest and generation[0] == generation[1]


def _refuse_another(run: Run, found: Run, folder: Path) -> None:
    """Raise StoreError if the folder of this id holds a run of something else."""
    same = (
        run.checkpoint.digest == found.checkpoint.digest
        and run.suite_digest == found.suite_digest
        and run.engine == found.engine
    )
    if not same:
        raise StoreError(
            "the run's folder holds a run of another checkpoint, suite or engine.",
            where=str(folder),
            remedy="move that folder away, or name another results folder with --store",
        )


def _age(run: Run) -> tuple[str, int, str]:
    return run.started, -1 if run.checkpoint.step is None else run.checkpoint.step, run.id


def _is_name(text: str) -> bool:
    return bool(text) and Path(text).name == text and not text.startswith(".")
