"""The store: run folders under one root, written once and read by every later room."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa

from pyr.errors import StoreError, did_you_mean
from pyr.schema import Aggregate, Run
from pyr.store import files, lock, manifest, open_run, table
from pyr.store.open_run import AGGREGATES, DOCUMENTS, LOCK, OpenRun
from pyr.store.table import Document, Results


class Store:
    """Run folders under `root`; a folder there that is no run is left alone."""

    def __init__(self, root: Path | str) -> None:
        """root: created when the first run begins."""
        self.root = Path(root)
        self._elsewhere: dict[str, Path] = {}

    def runs(self) -> list[Run]:
        """Every run, oldest first; unfinished ones have `finished` empty. Raises StoreError."""
        folders = [path for path in files.listing(self.root) if manifest.exists(path)]
        return sorted((manifest.read(folder).run for folder in folders), key=_age)

    def run(self, ref: str) -> Run:
        """The run with this id, with an id that begins so, or in the folder at this path.

        Raises StoreError if there is none, or more than one.
        """
        if _is_name(ref) and manifest.exists(self.root / ref):
            return manifest.read(self.root / ref).run
        if ref and manifest.exists(Path(ref)):
            return self._run_at(Path(ref))
        ids = [run.id for run in self.runs()]
        matches = [id_ for id_ in ids if id_.startswith(ref)]
        if len(matches) == 1:
            return manifest.read(self.root / matches[0]).run
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

    def find(self, checkpoint_digest: str, suite_digest: str, engine: str) -> Run | None:
        """The newest run that asked these weights the whole suite under this engine, if any."""
        wanted = (checkpoint_digest, suite_digest, engine)
        found = [
            run
            for run in self.runs()
            if run.finished
            and not run.asked
            and (run.checkpoint.digest, run.suite_digest, run.engine) == wanted
        ]
        return max(found, key=lambda run: (run.finished, run.id), default=None)

    def folder(self, run: Run) -> Path:
        """Where the run's files are; reports are written beside them."""
        return self._elsewhere.get(run.id, self.root / run.id)

    def results(self, run: Run) -> Results:
        """Everything measured; of an unfinished run, what is durable so far.

        Raises StoreError naming the file if one is missing or not what was written.
        """
        found, parts = self._read(run)
        probes = [name for name in parts if open_run.kind_of(name) not in (Aggregate, Document)]
        return Results(
            run=found,
            records=table.records_frame([(name, parts[name]) for name in probes]),
            aggregates=_frame(parts.get(AGGREGATES, table.columns(Aggregate).empty_table())),
        )

    def documents(self, run: Run) -> pd.DataFrame:
        """The items as they were asked: task, item, prompt, choices (JSON list), target."""
        _, parts = self._read(run, only=DOCUMENTS)
        return _frame(parts.get(DOCUMENTS, table.columns(Document).empty_table()))

    def begin(self, run: Run, *, on_wait: Callable[[str], None]) -> OpenRun:
        """Open the run's folder for writing: new, left unfinished, or already finished.

        Where another process is writing it, `on_wait` is told which and this one waits; the run
        may then be finished. An unfinished run keeps the time it was started at.
        Raises StoreError if the folder cannot be written, before anything is measured.
        """
        folder = self._place(run.id)
        if manifest.exists(folder) and (found := manifest.read(folder).run).finished:
            _refuse_another(run, found, folder)
            open_run.remove_scaffold(folder)
            return OpenRun(folder, found, lock=None)
        held = lock.take(folder / LOCK, on_wait)
        try:
            open_run.remove_leftovers(folder)
            found = _opened(folder, run)
        except BaseException:
            os.close(held)
            raise
        return OpenRun(folder, found, lock=held)

    def _place(self, run_id: str) -> Path:
        if not _is_name(run_id):
            raise StoreError(
                f"'{run_id}' cannot be the id of a run: it is the name of its folder.",
                remedy="use letters, digits and . _ - only",
            )
        return self.root / run_id

    def _run_at(self, path: Path) -> Run:
        """The run in a folder that need not be under the root."""
        folder = path.resolve()
        if folder.parent == self.root.resolve():
            return manifest.read(self.root / folder.name).run
        known = self._elsewhere.get(folder.name, folder)
        if known != folder or manifest.exists(self.root / folder.name):
            raise StoreError(
                f"two run folders have the name {folder.name}.",
                where=f"{folder} and {known if known != folder else self.root / folder.name}",
                remedy="rename one of them: a run's id is the name of its folder",
            )
        self._elsewhere[folder.name] = folder
        return manifest.read(folder).run

    def _read(self, run: Run, *, only: str = "") -> tuple[Run, Mapping[str, pa.Table]]:
        """The run as it stands now, and its tables by part (or that part alone)."""
        folder = self.folder(run)
        found = manifest.read(folder)
        if not found.run.finished:
            chunks = _chunks_while_unfinished(folder)
            return (found.run, chunks) if chunks is not None else self._read(run, only=only)
        wanted = {
            name.removesuffix(".parquet"): digest
            for name, digest in found.files.items()
            if name == f"{only}.parquet" or not only
        }
        return found.run, {
            part: files.read_parquet(folder / f"{part}.parquet", sha256=digest)
            for part, digest in wanted.items()
        }


def _opened(folder: Path, run: Run) -> Run:
    """The run as it stands in the locked folder, written there if it is not finished."""
    if manifest.exists(folder):
        found = manifest.read(folder).run
        _refuse_another(run, found, folder)
        if found.finished:
            return found
        run = dataclasses.replace(run, started=found.started)
    run = dataclasses.replace(run, finished="")
    manifest.write(folder, manifest.Manifest(run))
    return run


def _chunks_while_unfinished(folder: Path) -> dict[str, pa.Table] | None:
    """What is durable of the run; None if its writer finished it while we were reading."""
    try:
        chunks = open_run.unfinished(folder)
    except StoreError:
        if manifest.read(folder).run.finished:
            return None
        raise
    return None if manifest.read(folder).run.finished else chunks


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


def _frame(rows: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = rows.to_pandas()
    return frame
