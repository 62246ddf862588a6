"""Every source of a recipe into shards, and its preferences into JSON lines.

A source is prepared once: its folder's name ends in a digest of what it is made from, so that
another recipe with the same source, tokenizer and split finds it there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pyr.data import chat_formats, shards
from pyr.data.filters import NOTHING_BLOCKED, SourceStats, is_held_out, used_rows
from pyr.data.ngrams import Blocked
from pyr.data.shards import Encoded, Shards
from pyr.data.source import Places, Source, find_files, rows_file
from pyr.errors import ContentError, DataMissing
from pyr.files import sha256, text_sha256, write
from pyr.training.recipe import Curriculum, Phase

_BATCH = 256
_NOT_READ = {"weight", "use", "why", "name"}
"""Of a source: what does not change the documents read from it."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """One source of a phase, prepared, with its share."""

    name: str
    folder: Path
    weight: float

    def open(self) -> Shards:
        """The shards, for reading."""
        return shards.open_shards(self.folder)


@dataclass(frozen=True, slots=True)
class Kitchen:
    """What preparing needs besides the recipe."""

    data: Path
    """Where the shards go."""
    texts: Path | None
    """A folder of text files, looked in after the recipe's own."""
    blocked: Blocked = NOTHING_BLOCKED
    """What test items hold."""
    say: Say = lambda text: None

    def places(self, curriculum: Curriculum) -> Places:
        """Return where the files of the recipe's sources are looked for."""
        folders = [curriculum.folder, *filter(None, [self.texts])]
        return Places(tuple(folders), curriculum.recipe.seed, self.data / "contents")


@dataclass(frozen=True, slots=True)
class Job:
    """A source that is to be prepared."""

    phase: str
    source: Source
    folder: Path
    """Where its shards go."""
    places: Places
    tokenizer: Path
    chat: bool
    held_out: float

    @property
    def done(self) -> bool:
        """True if its shards are there."""
        return (self.folder / shards.MANIFEST).is_file()


def prepare(curriculum: Curriculum, kitchen: Kitchen) -> dict[str, list[Prepared]]:
    """Return the prepared sources of every base and sft phase, by phase; what is there is kept.

    Raises DataMissing or ContentError for a source that cannot be read.
    """
    prepared: dict[str, list[Prepared]] = {}
    for phase in curriculum.phases:
        if phase.stage == "dpo":
            continue
        parts: list[Prepared] = []
        for source in phase.data:
            if not source.use:
                kitchen.say(f"  {phase.name}: source {source.name} is switched off")
            elif source.replay:
                again = prepared[source.replay]
                whole = sum(part.weight for part in again)
                for part in again:
                    share = source.weight * part.weight / whole
                    parts.append(Prepared(f"{source.name}/{part.name}", part.folder, share))
            else:
                job = _plan_job(source, phase, curriculum, kitchen)
                _prepare_source(job, kitchen)
                parts.append(Prepared(source.name, job.folder, source.weight))
        prepared[phase.name] = parts
    return prepared


def open_jobs(curriculum: Curriculum, kitchen: Kitchen) -> list[Job]:
    """Return the sources of every base and sft phase that are not there yet, each once."""
    jobs: dict[Path, Job] = {}
    for phase in curriculum.phases:
        for source in phase.used:
            if phase.stage != "dpo" and not source.replay:
                job = _plan_job(source, phase, curriculum, kitchen)
                jobs.setdefault(job.folder, job)
    return [job for job in jobs.values() if not job.done]


def _plan_job(source: Source, phase: Phase, curriculum: Curriculum, kitchen: Kitchen) -> Job:
    """Return the source with the folder of its shards, named after all that they follow from."""
    places = kitchen.places(curriculum)
    tokenizer = tokenizer_folder(curriculum)
    files = [(file.name, file.stat().st_size) for file in find_files(source, places)]
    ingredients: dict[str, Any] = {
        "source": source.model_dump(mode="json", exclude=_NOT_READ, exclude_defaults=True),
        "files": files,
        "seed": None,
        "chat": phase.stage == "sft",
        "held_out": phase.held_out,
        "tokenizer": sha256(tokenizer / "tokenizer.json"),
        "blocked": hashlib.sha256(b"".join(sorted(kitchen.blocked.grams))).hexdigest(),
        "format": shards.FORMAT,
    }
    if source.rows:
        ingredients |= {"seed": places.seed, "rows": sha256(rows_file(source, places))}
    digest = text_sha256(json.dumps(ingredients, sort_keys=True))[:10]
    return Job(
        phase=phase.name,
        source=source,
        folder=kitchen.data / f"{source.name}-{digest}",
        places=places,
        tokenizer=tokenizer,
        chat=phase.stage == "sft",
        held_out=phase.held_out,
    )


def tokenizer_folder(curriculum: Curriculum) -> Path:
    """Return the recipe's tokenizer. Raises ContentError if it is not there."""
    folder = curriculum.beside(curriculum.recipe.tokenizer)
    if not (folder / "tokenizer.json").is_file():
        raise ContentError(
            f"the recipe {curriculum.recipe.name} has no tokenizer at {folder}.",
            where=str(curriculum.folder / "recipe.yaml"),
            remedy="train one: pyr tokenizer train TOKENIZER.yaml --texts DIR",
        )
    return folder


def _prepare_source(job: Job, kitchen: Kitchen) -> None:
    """Write the shards of a source, unless they are there."""
    if job.done:
        return
    stats = SourceStats()
    encoder = RowEncoder(job.tokenizer, chat=job.chat, column=job.source.column)
    slow = f" (by tokenizers: {encoder.slow})" if encoder.slow else ""
    kitchen.say(f"  {job.phase}: preparing {job.source.name}{slow}")
    rows = used_rows(job.source, job.places, stats, kitchen.blocked)
    write_source(job, encoder.encode(rows, job.held_out), stats)


def write_source(job: Job, documents: Iterator[Encoded], stats: SourceStats) -> None:
    """Write the shards of a source. stats: complete when the last document has been taken."""
    about = {
        "name": job.source.name,
        "source": job.source.model_dump(mode="json", exclude_defaults=True),
        "tokenizer": sha256(job.tokenizer / "tokenizer.json"),
    }
    shards.write(job.folder, documents, chat=job.chat, about=about, stats=stats)


# ------------------------------------------------------------------ tokens


class RowEncoder:
    """Rows into token ids, in batches: the tokenizer uses every core."""

    def __init__(self, folder: Path, *, chat: bool, column: str) -> None:
        """folder: the tokenizer's. Raises ContentError if it cannot be used."""
        import transformers

        from pyr.tokenization.encode import Encoder

        self.chat = chat
        self._column = column
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        vocabulary = 1 + max(self._tokenizer.get_vocab().values())
        if vocabulary > 1 << 16:
            raise ContentError(
                f"the tokenizer has {vocabulary} tokens; shards hold at most 65536.",
                where=str(folder),
                remedy="use a smaller vocabulary",
            )
        if self._tokenizer.bos_token_id is None:
            raise ContentError(
                "the tokenizer has no begin token (bos_token).",
                where=str(folder / "tokenizer.json"),
            )
        # Chats go through transformers' own template, which no other library renders.
        self._encoder = Encoder(self._tokenizer.backend_tokenizer, fast=not chat)
        self.slow = "" if chat else self._encoder.note
        """Why texts are not encoded by the fast library, if they are not."""

    def encode(self, rows: Iterable[dict[str, Any]], held_out: float) -> Iterator[Encoded]:
        """Yield the rows as documents for the shards; those that hold no text are left out.

        held_out: the share of documents that are held out, decided by their text, so that a copy
        elsewhere falls on the same side.
        """
        for row, text, ids, loss in self._chats(rows) if self.chat else self._texts(rows):
            raw = text.encode("utf-8", "replace")
            yield Encoded(
                id=str(row.get("id") or text_sha256(text)[:16]),
                ids=ids,
                bytes=len(raw),
                held_out=is_held_out(text, held_out),
                loss=loss,
                text=text,
            )

    def _texts(self, rows: Iterable[dict[str, Any]]) -> Iterator[tuple[Any, str, Any, Any]]:
        edge = [self._tokenizer.bos_token_id]
        remaining = iter(rows)
        while batch := list(islice(remaining, _BATCH)):
            # A question mark for half a surrogate pair, which UTF-8 cannot hold.
            raw = [str(row.get(self._column) or "").encode("utf-8", "replace") for row in batch]
            texts = list(map(bytes.decode, raw))
            for row, text, ids in zip(batch, texts, self._encoder.encode(texts), strict=True):
                if len(ids):
                    yield row, text, np.concatenate([edge, ids, edge]).astype(np.uint16), None

    def _chats(self, rows: Iterable[dict[str, Any]]) -> Iterator[tuple[Any, str, Any, Any]]:
        for row in rows:
            encoded = chat_formats.encode_chat(self._tokenizer, row, self._column)
            if encoded is not None:
                yield row, *encoded


# ------------------------------------------------------------------ preferences


def write_preferences(phase: Phase, curriculum: Curriculum, kitchen: Kitchen, folder: Path) -> Path:
    """Write the pairs of a dpo phase as JSON lines, and return the file.

    A line holds prompt, chosen and rejected, each a list of messages. Shuffled by the recipe's
    seed. Raises ContentError for a row without them.
    """
    lines = []
    for source in phase.used:
        stats = SourceStats()
        for row in used_rows(source, kitchen.places(curriculum), stats, kitchen.blocked):
            pair = chat_formats.read_preference(row)
            if pair is None:
                raise ContentError(
                    f"phase '{phase.name}': a row of {source.name} has no prompt, chosen and "
                    "rejected.",
                    remedy="give it preference pairs",
                )
            lines.append(json.dumps(pair, sort_keys=True) + "\n")
        if stats.contaminated:
            kitchen.say(
                f"  {phase.name}: {stats.contaminated} rows of {source.name} hold test items"
            )
    order = np.random.default_rng(curriculum.recipe.seed).permutation(len(lines))
    body = "".join(lines[number] for number in order)
    file = folder / f"{phase.name}-{text_sha256(body)[:10]}.jsonl"
    write(file, body)
    return file.resolve()


def totals(prepared: dict[str, list[Prepared]]) -> list[dict[str, Any]]:
    """Return a row for every prepared source: what `pyr data stats` prints."""
    rows: dict[Path, dict[str, Any]] = {}
    for phase, parts in prepared.items():
        for part in parts:
            if part.folder not in rows:
                manifest = shards.read_manifest(part.folder)
                row: dict[str, Any] = {"source": manifest["name"], "phases": []}
                for key in ("documents", "tokens", "bytes", "held_out"):
                    row[key] = manifest[key]
                for key in ("repeated", "filtered", "missing"):
                    row[key] = manifest["rows"].get(key, 0)
                row |= {"contaminated": manifest["contaminated"], "folder": str(part.folder)}
                rows[part.folder] = row
            rows[part.folder]["phases"].append(phase)
    return list(rows.values())


def verify(prepared: dict[str, list[Prepared]]) -> None:
    """Raise DataMissing unless every shard is what was written."""
    for folder in {part.folder for parts in prepared.values() for part in parts}:
        wrong = shards.verify(folder)
        if wrong:
            raise DataMissing(
                f"{folder.name} is damaged: {'; '.join(wrong)}.",
                where=str(folder),
                remedy="remove the folder and prepare it again",
            )
