"""Load lm-eval tasks for a suite: find them, take groups apart, point them at local data.

Only the families a suite names are indexed: lm-eval's own index reads 14,000 YAML files, which
takes 14 to 25 s; a few families take 0.01 s.
"""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pyr import content, datasets
from pyr.errors import ContentError, DataMissing, PyrError, did_you_mean
from pyr.probes import askable, instructions
from pyr.probes.needs import Need, of_code
from pyr.probes.run_code import own_code_eval
from pyr.probes.task_files import TaskFiles, task_files
from pyr.schema import Strict


class HarnessOptions(Strict):
    """The keys of a harness probe in a suite; all but `families` are lm-eval's own words."""

    families: list[str] = Field(default_factory=list)
    """Folders under lm_eval/tasks that hold the tasks named."""
    include_path: list[str] = Field(default_factory=list)
    """Folders with task files of your own; `evals/tasks` is always there."""
    tasks: list[str | dict[str, Any]] = Field(min_length=1)
    """Names of tasks, tags or groups; or a dict with `task` and lm-eval's keys to override."""
    limit: int | None = Field(default=None, gt=0)
    """Items a task, drawn in the suite's fixed random order."""
    num_fewshot: int | None = Field(default=None, ge=0)
    apply_chat_template: bool = False
    fewshot_as_multiturn: bool = True
    system_instruction: str | None = None
    gen_kwargs: dict[str, Any] = Field(default_factory=dict)
    on_too_long: Literal["skip", "fail"] = "skip"
    """What becomes of a task with an item that this model cannot be asked: the item is left out and
    counted, or the evaluation ends."""
    run_code: bool = False
    """Run the programs that a model writes, where a task asks for that (`run_code.py`)."""
    swap_contexts: bool = False
    """Ask every item again with another item's context: see `control.py`."""


_SPLITS = {"test_docs", "validation_docs", "training_docs", "fewshot_docs"}
"""lm-eval's methods that look a split up by its name."""


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task of a suite, groups and tags expanded, before its data is loaded."""

    name: str
    group: str
    overrides: Mapping[str, Any]
    """lm-eval's own keys that the suite sets."""
    limit: int | None
    dataset: str
    """The hub name of its data set; empty if the task brings its own items, or reads files."""
    files: Sequence[str]
    """Files, folders and addresses that it reads by ``dataset_path: json`` or another reader."""
    definition: TaskFiles
    """The files that it is made of."""
    unsafe: bool = False
    """True if it runs programs that the model writes."""

    @property
    def folder(self) -> Path:
        """Where its YAML lies."""
        return self.definition.yaml[0].parent

    @property
    def sources(self) -> list[str]:
        """What its data is known by in a run."""
        return [self.dataset] if self.dataset else [f"{datasets.FILE}{each}" for each in self.files]


def task_manager(options: HarnessOptions) -> Any:
    """An lm-eval TaskManager that knows the named families and our own tasks, and nothing else."""
    # Progress is Pyr's to show; lm-eval's bars cannot be turned off per call.
    os.environ.setdefault("TQDM_DISABLE", "1")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    import datasets
    import lm_eval.tasks

    datasets.disable_progress_bars()
    _cache_templates()
    shipped = Path(lm_eval.tasks.__file__).parent
    folders = [content.path("evals/tasks"), *map(Path, options.include_path)]
    for family in options.families:
        if not (shipped / family).is_dir():
            raise ContentError(
                f"lm-eval has no task family '{family}'.",
                where=f"looked in: {shipped}",
                remedy=did_you_mean(family, _families()) or "name a folder of those",
            )
        folders.append(shipped / family)
    return lm_eval.tasks.TaskManager(include_path=folders, include_defaults=False)


def _cache_templates() -> None:
    """Compile each prompt template once.

    lm_eval.utils.apply_template compiles it again for every field of every document: 1.2 ms a
    time, 3 to 6 times a document.
    """
    import functools

    import lm_eval.utils

    environment = lm_eval.utils.env
    if not hasattr(environment.from_string, "cache_info"):
        environment.from_string = functools.lru_cache(maxsize=None)(environment.from_string)


def expand(manager: Any, options: HarnessOptions) -> list[TaskSpec]:
    """Every single task that the suite asks for, groups and tags taken apart, in order.

    Raises ContentError for a name nobody knows or a task asked for twice.
    """
    specs: list[TaskSpec] = []
    for entry in options.tasks:
        given: dict[str, Any] = {"task": entry} if isinstance(entry, str) else dict(entry)
        if "task" not in given:
            raise ContentError(f"a task entry without the key 'task': {given}")
        name = given.pop("task")
        limit = given.pop("limit", options.limit)
        for leaf, group, overrides in _leaves(manager, name, given):
            config = {**(manager.task_index[leaf].cfg or {}), **overrides}
            dataset, files = data_of(config)
            definition = task_files(Path(manager.task_index[leaf].yaml_path))
            unsafe = config.get("unsafe_code", False) is not False
            specs.append(
                TaskSpec(leaf, group, overrides, limit, dataset, files, definition, unsafe)
            )
    names = [spec.name for spec in specs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ContentError(
            f"task '{twice[0]}' is asked for twice.", remedy="keep one, or drop it from its group"
        )
    return specs


def data_of(config: Mapping[str, Any]) -> tuple[str, list[str]]:
    """A task's hub data set; or what `datasets` reads for it from elsewhere."""
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES as READERS

    path = str(config.get("dataset_path") or "")
    # As `datasets` does: what lies here under that name goes before the hub.
    if path.startswith((".", "/")) or (path and path not in READERS and Path(path).exists()):
        return "", [path]
    if path not in READERS:
        return path, []
    given = config.get("dataset_kwargs") or {}
    named = [given.get("data_files"), given.get("data_dir")]
    return "", list(datasets.texts_in(named))


def _leaves(
    manager: Any, name: str, overrides: Mapping[str, Any], group: str = ""
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(task, outermost group, overrides) for every task that `name` stands for."""
    entry = manager.task_index.get(name)
    if entry is None:
        raise _unknown_task(name, manager)
    if entry.kind.name == "TAG":
        for member in sorted(entry.tags):
            yield from _leaves(manager, member, overrides, group or name)
    elif entry.kind.name == "GROUP":
        for member, keys in _members(entry.cfg, overrides):
            yield from _leaves(manager, member, keys, group or name)
    else:
        yield name, group, overrides


def _members(
    group: Mapping[str, Any], overrides: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Names of a group's members with the keys that it sets for each, as lm-eval merges them.

    Groups written inside it are taken apart too. What stands beside a member's name comes last.
    """
    from lm_eval.tasks._factory import GROUP_FIELD_NAMES

    own = {key: value for key, value in group.items() if key not in GROUP_FIELD_NAMES}
    keys = {**own, **overrides}
    for child in group["task"]:
        if isinstance(child, str):
            yield child, keys
        elif isinstance(child.get("task"), list):
            yield from _members(child, keys)
        else:
            name = child.get("task") or child["group"]
            beside = {key: value for key, value in child.items() if key not in ("task", "group")}
            yield name, {**keys, **beside}


def _unknown_task(name: str, manager: Any) -> ContentError:
    family = _family_of(name)
    near = did_you_mean(name, [*manager.task_index, *_families()])
    if family:
        remedy = f"lm-eval has it: add '{family}' to the probe's families"
    else:
        remedy = near or "name a task of evals/tasks or of a family listed under families"
    return ContentError(f"unknown task '{name}'.", remedy=remedy)


def _families() -> list[str]:
    import lm_eval.tasks

    shipped = Path(lm_eval.tasks.__file__).parent
    return sorted(child.name for child in shipped.iterdir() if child.is_dir())


def _family_of(name: str) -> str:
    """The folder under lm_eval/tasks with a file for this task or group; slow, for errors only."""
    import lm_eval.tasks

    shipped = Path(lm_eval.tasks.__file__).parent
    names_it = re.compile(
        rf"^\"?(task|group)\"?:\s*[\"']?{re.escape(name)}[\"']?\s*$", re.MULTILINE
    )
    for file in sorted(shipped.glob("**/*.yaml"), key=lambda file: (name not in file.name, file)):
        if names_it.search(file.read_text(encoding="utf-8", errors="ignore")):
            return file.parent.relative_to(shipped).as_posix()
    return ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task's data lies, and what it is."""

    folder: Path | None
    """In the mirror; None if the task brings its items, reads files, or the hub is asked."""
    fingerprints: Mapping[str, str]
    """By data set; empty where only loading it would tell."""


def place(spec: TaskSpec, mirror_folder: Path | None) -> Place:
    """Where the data of `spec` is to be read from.

    mirror_folder: read hub data sets from here and nowhere else; None asks the hub or its cache.
    Raises DataMissing naming the task, the data set and the command that would fetch it.
    """
    if not spec.dataset:
        return Place(None, _fingerprints(spec))
    if mirror_folder is None:
        if not _cached(spec.dataset) and not datasets.hub_answers():
            raise _data_missing(spec, "no mirror was named, and the hub cannot be asked")
        return Place(None, {})
    found = datasets.locate(mirror_folder, spec.dataset)
    if found is None:
        raise _data_missing(spec, f"looked in: {mirror_folder}")
    return Place(found, {spec.dataset: datasets.fingerprint(found)})


def _fingerprints(spec: TaskSpec) -> dict[str, str]:
    """Of the task's own files and of the data that it reads; nothing if one is not local."""
    if any("://" in each for each in spec.files):
        return {}
    found = {f"task:{spec.name}": spec.definition.digest()}
    for name, source in zip(spec.files, spec.sources, strict=True):
        found[source] = datasets.files_fingerprint(name)
        if not found[source]:
            raise DataMissing(
                f"the data of task '{spec.name}' is not on this machine: {name}",
                where=f"looked in: {Path.cwd()}",
                remedy=f"put it there, or name its place in {spec.folder}",
            )
    return found


def lacking(
    specs: Sequence[TaskSpec], options: HarnessOptions, mirror_folder: Path | None
) -> Iterator[Need]:
    """What these tasks need and this machine or suite lacks, each thing once."""
    yield from dict.fromkeys(need for spec in specs for need in of_task(spec, options))
    for spec in {(spec.dataset, *spec.files): spec for spec in reversed(specs)}.values():
        try:
            place(spec, mirror_folder)
        except DataMissing as error:
            yield Need(
                f"{error.what} ({error.where})", _fetch(spec) if spec.dataset else error.remedy
            )
        else:
            if spec.dataset and mirror_folder is None and not _cached(spec.dataset):
                what = f"data set {spec.dataset} (task '{spec.name}') is not on this machine"
                yield Need(what, f"the hub is asked for it; or {_fetch(spec)}", False)


def of_task(spec: TaskSpec, options: HarnessOptions) -> list[Need]:
    """What a task cannot do without, its data apart."""
    found = [need for need in of_code(spec.definition)]
    if spec.unsafe:
        # Its `code_eval` is ours, so that the package is not missed.
        found = [need for need in found if not need.what.startswith("package 'evaluate'")]
    if spec.unsafe and not options.run_code:
        found.append(
            Need(
                f"task '{spec.name}' runs programs that the model writes, which must be allowed",
                "read evals/README.md on what limits them, then add --set run_code=true",
            )
        )
    return found


def _cached(dataset: str) -> bool:
    import datasets
    from huggingface_hub.constants import HF_HUB_CACHE

    downloaded = Path(HF_HUB_CACHE, f"datasets--{dataset.replace('/', '--')}")
    made = Path(datasets.config.HF_DATASETS_CACHE, dataset.replace("/", "___"))
    return downloaded.is_dir() or made.is_dir()


def _fetch(spec: TaskSpec) -> str:
    return f"fetch it: {datasets.fetch_command(spec.dataset)}"


def load(manager: Any, spec: TaskSpec, where: Place) -> Any:
    """The lm-eval Task with its data.

    Raises DataMissing if a split or config is not there, ContentError if it cannot be read.
    """
    overrides = dict(spec.overrides)
    if where.folder is not None:
        overrides["dataset_path"] = str(where.folder)
    try:
        return _build(manager, spec, overrides)
    except PyrError:
        raise
    # A task's own code, and the data set's, can raise anything.
    except Exception as error:
        raise _not_made(spec, where, error) from error


def _not_made(spec: TaskSpec, where: Place, error: Exception) -> PyrError:
    """What is wrong with a task that lm-eval cannot make: its data, its packages or its code."""
    from datasets.exceptions import DatasetGenerationError

    reason = askable.describe(error)
    steps = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
    if isinstance(error, DatasetGenerationError):
        return ContentError(
            f"the data of task '{spec.name}' cannot be read: {error.__cause__ or error}",
            where=f"data: {where.folder or spec.dataset}",
            remedy="fetch it again",
        )
    if isinstance(error, KeyError) and steps & _SPLITS:
        if not spec.dataset:
            return ContentError(f"task '{spec.name}' names {error}, which is not there.")
        return _data_missing(spec, f"no split {error} in {where.folder or spec.dataset}")
    if isinstance(error, ModuleNotFoundError) and error.name:
        return DataMissing(
            f"package '{error.name}' is not installed: task '{spec.name}' imports it",
            where=str(spec.folder),
            remedy=f"pip install {error.name.partition('.')[0].replace('_', '-')}  "
            "(or pass --skip-missing)",
        )
    if "load_dataset" in steps and spec.dataset:
        return _data_missing(spec, reason)
    return ContentError(
        f"lm-eval cannot make task '{spec.name}': {reason}",
        where=f"{spec.folder}; the suite sets: {dict(spec.overrides)}",
        remedy="mend the task's files, or take it out of the suite",
    )


def scorer(manager: Any, spec: TaskSpec, doc: Any) -> Any:
    """The lm-eval Task without its data, to score answers to documents that a bundle holds.

    doc: the data set's first; from it lm-eval sees how many inputs and targets there are.
    """
    import datasets

    splits = ("validation_split", "training_split", "fewshot_split", "fewshot_config")
    without_data = {
        **dict.fromkeys((*splits, "dataset_path", "dataset_kwargs", "process_docs")),
        "custom_dataset": lambda **_: {"items": datasets.Dataset.from_list([doc])},
        "test_split": "items",
        "num_fewshot": 0,
    }
    return _build(manager, spec, {**spec.overrides, **without_data})


def _build(manager: Any, spec: TaskSpec, overrides: Mapping[str, Any]) -> Any:
    if "ifeval" in spec.folder.parts:
        instructions.ifeval()
    request = {"group": "suite", "task": [{**overrides, "task": spec.name}]}
    own = own_code_eval() if spec.unsafe else nullcontext()
    with own, askable.past_unsound_documents():
        return manager.load([request])["tasks"][spec.name]


def _data_missing(spec: TaskSpec, where: str) -> DataMissing:
    return DataMissing(
        f"the data of task '{spec.name}' is not on this machine: {spec.dataset}",
        where=where,
        remedy=f"{_fetch(spec)}  (or pass --skip-missing)",
    )
