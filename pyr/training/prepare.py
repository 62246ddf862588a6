"""Every source of a recipe into shards; its held-out documents into tasks of lm-eval.

A source is prepared once: its folder's name ends in a digest of what it is made from, so that
another recipe with the same source, tokenizer and split finds it there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pyr.errors import ContentError, DataMissing
from pyr.files import sha256, write
from pyr.training import shards, sources
from pyr.training.decontaminate import Blocked, holds_an_item
from pyr.training.encode import Document, RowEncoder
from pyr.training.recipe import Curriculum, Phase, Source
from pyr.training.shards import Encoded, Shards

_BATCH = 256
_ITEM_CHARACTERS = 4000
_KEPT_TEXTS = 400
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
    blocked: Blocked = Blocked()
    """What test items hold."""
    say: Say = lambda text: None


def prepare(curriculum: Curriculum, kitchen: Kitchen) -> dict[str, list[Prepared]]:
    """The prepared sources of every base and sft phase, by phase; what is there is kept.

    Raises DataMissing or ContentError for a source that cannot be read.
    """
    found: dict[str, list[Prepared]] = {}
    for phase in curriculum.phases:
        if phase.stage != "dpo":
            found[phase.name] = list(_phase_sources(phase, curriculum, kitchen, found))
    return found


def _phase_sources(
    phase: Phase, curriculum: Curriculum, kitchen: Kitchen, earlier: dict[str, list[Prepared]]
) -> Iterator[Prepared]:
    for source in phase.data:
        if not source.use:
            kitchen.say(f"  {phase.name}: source {source.name} is switched off")
        elif source.replay:
            again = earlier[source.replay]
            whole = sum(part.weight for part in again)
            for part in again:
                share = source.weight * part.weight / whole
                yield Prepared(f"{source.name}/{part.name}", part.folder, share)
        else:
            folder = _prepare_source(source, phase, curriculum, kitchen)
            yield Prepared(source.name, folder, source.weight)


@dataclass(frozen=True, slots=True)
class Job:
    """A source that is to be prepared."""

    phase: str
    source: Source
    folder: Path
    places: sources.Places
    tokenizer: Path
    chat: bool
    held_out: float

    @property
    def done(self) -> bool:
        """True if its shards are there."""
        return (self.folder / shards.MANIFEST).is_file()

    def encoder(self) -> RowEncoder:
        """What tokenises its rows."""
        return RowEncoder(self.tokenizer, chat=self.chat, column=self.source.column)


def jobs(curriculum: Curriculum, kitchen: Kitchen) -> list[Job]:
    """The sources of every base and sft phase that are not there yet, each once."""
    found: dict[Path, Job] = {}
    for phase in curriculum.phases:
        for source in phase.used:
            if phase.stage != "dpo" and not source.replay:
                job = _job(source, phase, curriculum, kitchen)
                found.setdefault(job.folder, job)
    return [job for job in found.values() if not job.done]


def _job(source: Source, phase: Phase, curriculum: Curriculum, kitchen: Kitchen) -> Job:
    places = _places(curriculum, kitchen)
    tokenizer = tokenizer_folder(curriculum)
    key = _key(source, phase, places, tokenizer, kitchen)
    return Job(
        phase=phase.name,
        source=source,
        folder=kitchen.data / f"{source.name}-{key}",
        places=places,
        tokenizer=tokenizer,
        chat=phase.stage == "sft",
        held_out=phase.held_out,
    )


def _prepare_source(source: Source, phase: Phase, curriculum: Curriculum, kitchen: Kitchen) -> Path:
    job = _job(source, phase, curriculum, kitchen)
    if not job.done:
        encoder = job.encoder()
        slow = f" (by tokenizers: {encoder.slow})" if encoder.slow else ""
        kitchen.say(f"  {phase.name}: preparing {source.name}{slow}")
        counted, about = sources.Counted(), {"contaminated": 0}
        rows = _clean(sources.rows(source, job.places, counted), kitchen, about)
        write_source(job, _in_batches(rows, encoder, job.held_out), counted, about)
    return job.folder


def _in_batches(
    rows: Iterator[dict[str, Any]], encoder: RowEncoder, held_out: float
) -> Iterator[Document]:
    while batch := list(islice(rows, _BATCH)):
        yield from encoder.documents(batch, held_out)


def write_source(
    job: Job, documents: Iterator[Document], counted: sources.Counted, about: dict[str, int]
) -> None:
    """Write the shards of a source.

    counted, about: what was counted, complete when the last document has been taken.
    """
    held: list[dict[str, str]] = []
    shards.write(
        job.folder,
        _held_kept(documents, held),
        chat=job.chat,
        about=lambda: {
            **about,
            "name": job.source.name,
            "source": job.source.model_dump(mode="json", exclude_defaults=True),
            "tokenizer": sha256(job.tokenizer / "tokenizer.json"),
            "rows": asdict(counted),
            "held_out_texts": held,
        },
    )


def _places(curriculum: Curriculum, kitchen: Kitchen) -> sources.Places:
    folders = (curriculum.folder, *([kitchen.texts] if kitchen.texts else []))
    kept = kitchen.data / "contents"
    return sources.Places(folders=folders, seed=curriculum.recipe.seed, contents=kept)


def tokenizer_folder(curriculum: Curriculum) -> Path:
    """The recipe's tokenizer. Raises ContentError if it is not there."""
    folder = curriculum.beside(curriculum.recipe.tokenizer)
    if not (folder / "tokenizer.json").is_file():
        raise ContentError(
            f"the recipe {curriculum.recipe.name} has no tokenizer at {folder}.",
            where=str(curriculum.folder / "recipe.yaml"),
            remedy="train one: pyr tokenizer train TOKENIZER.yaml --texts DIR",
        )
    return folder


def _key(
    source: Source, phase: Phase, places: sources.Places, tokenizer: Path, kitchen: Kitchen
) -> str:
    files = [] if not source.files else sources.files_of(source, places)
    ingredients = {
        "source": source.model_dump(mode="json", exclude=_NOT_READ, exclude_defaults=True),
        "files": [[file.name, file.stat().st_size] for file in files],
        "seed": places.seed if source.invent else None,
        "chat": phase.stage == "sft",
        "held_out": phase.held_out,
        "tokenizer": sha256(tokenizer / "tokenizer.json"),
        "blocked": hashlib.sha256(b"".join(sorted(kitchen.blocked.grams))).hexdigest(),
        "format": shards.FORMAT,
    }
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:10]


def _held_kept(documents: Iterator[Document], held: list[dict[str, str]]) -> Iterator[Encoded]:
    """The documents; the first texts that are held out are kept in `held`."""
    for document, text in documents:
        if document.held_out and len(held) < _KEPT_TEXTS:
            held.append({"id": document.id, "text": text[:_ITEM_CHARACTERS]})
        yield document


def _clean(
    rows: Iterator[dict[str, Any]], kitchen: Kitchen, about: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """Rows that share no 13-gram with a test item; the others are counted."""
    for row in rows:
        if holds_an_item(row, kitchen.blocked):
            about["contaminated"] += 1
        else:
            yield row


# ------------------------------------------------------------------ held-out documents as tasks

_TASK = """\
task: {name}
custom_dataset: !function utils.load
output_type: loglikelihood_rolling
test_split: test
num_fewshot: 0
doc_to_text: ""
doc_to_target: text
metric_list:
  - metric: bits_per_byte
    aggregation: bits_per_byte
    higher_is_better: false
metadata:
  version: 1.0
"""
_LOAD = """\
import json
from pathlib import Path

import datasets


def load(**_):
    lines = (Path(__file__).parent / "items.jsonl").read_text(encoding="utf-8").split("\\n")
    return {"test": datasets.Dataset.from_list([json.loads(line) for line in lines if line])}
"""


def write_tasks(
    curriculum: Curriculum, prepared: dict[str, list[Prepared]], folder: Path
) -> list[str]:
    """A task ``held_out_<phase>`` for every phase with held-out documents; gives their names.

    The forgetting matrix is these tasks, asked of the model after every phase.
    """
    names = []
    for phase in curriculum.phases:
        own = [each for each in prepared.get(phase.name, []) if "/" not in each.name]
        items = _items(own, phase.held_out_items)
        if not items:
            continue
        name = f"held_out_{phase.name}"
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        body = "".join(json.dumps(item) + "\n" for item in items)
        for file, text in {
            f"{name}.yaml": _TASK.format(name=name),
            "utils.py": _LOAD,
            "items.jsonl": body,
        }.items():
            (place / file).write_text(text, encoding="utf-8")
        names.append(name)
    return names


def _items(own: Sequence[Prepared], count: int) -> list[dict[str, str]]:
    """Held-out texts of a phase's own sources, each by its share."""
    whole = sum(part.weight for part in own)
    items: list[dict[str, str]] = []
    for part in own:
        texts = shards.read_manifest(part.folder)["held_out_texts"]
        items += texts[: round(count * part.weight / whole)]
    return items


def write_preferences(phase: Phase, curriculum: Curriculum, kitchen: Kitchen, folder: Path) -> Path:
    """The pairs of a dpo phase as JSON lines: prompt, chosen, rejected, each a list of messages.

    Shuffled by the recipe's seed. Raises ContentError for a row without them.
    """
    lines = []
    for source in phase.used:
        about = {"contaminated": 0}
        rows = sources.rows(source, _places(curriculum, kitchen), sources.Counted())
        for row in _clean(rows, kitchen, about):
            lines.append(json.dumps(_pair(row, source, phase), sort_keys=True))
        if about["contaminated"]:
            kitchen.say(
                f"  {phase.name}: {about['contaminated']} rows of {source.name} hold test items"
            )
    order = np.random.default_rng(curriculum.recipe.seed).permutation(len(lines))
    body = "".join(lines[number] + "\n" for number in order)
    file = folder / f"{phase.name}-{hashlib.sha256(body.encode()).hexdigest()[:10]}.jsonl"
    write(file, body)
    return file.resolve()


def _pair(row: dict[str, Any], source: Source, phase: Phase) -> dict[str, Any]:
    if not all(row.get(key) for key in ("prompt", "chosen", "rejected")):
        raise ContentError(
            f"phase '{phase.name}': a row of {source.name} has no prompt, chosen and rejected.",
            remedy="give it preference pairs",
        )
    prompt = row["prompt"]
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    answers = {key: _answer(row[key], len(prompt)) for key in ("chosen", "rejected")}
    return {"prompt": prompt, **answers}


def _answer(messages: Any, turns: int) -> Any:
    """What follows the prompt: some data sets repeat the prompt in both answers."""
    if isinstance(messages, str):
        return [{"role": "assistant", "content": messages}]
    return messages[turns:] if len(messages) > turns else messages


def totals(prepared: dict[str, list[Prepared]]) -> list[dict[str, Any]]:
    """A row for every prepared source: what `pyr data stats` prints."""
    found: dict[Path, dict[str, Any]] = {}
    for phase, parts in prepared.items():
        for part in parts:
            manifest = shards.read_manifest(part.folder)
            row = found.setdefault(
                part.folder,
                {
                    "source": manifest["name"],
                    "phases": [],
                    "documents": manifest["documents"],
                    "tokens": manifest["tokens"],
                    "bytes": manifest["bytes"],
                    "held_out": manifest["held_out"],
                    "repeated": manifest["rows"]["repeated"],
                    "filtered": manifest["rows"]["filtered"],
                    "missing": manifest["rows"].get("missing", 0),
                    "contaminated": manifest["contaminated"],
                    "folder": str(part.folder),
                },
            )
            row["phases"].append(phase)
    return list(found.values())


def verify(prepared: dict[str, list[Prepared]]) -> None:
    """DataMissing unless every shard is what was written."""
    for folder in {part.folder for parts in prepared.values() for part in parts}:
        wrong = shards.verify(folder)
        if wrong:
            raise DataMissing(
                f"{folder.name} is damaged: {'; '.join(wrong)}.",
                where=str(folder),
                remedy="remove the folder and prepare it again",
            )
