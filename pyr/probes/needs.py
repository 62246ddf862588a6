"""What a suite needs and this machine lacks, said before any minute is spent."""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from pyr import content
from pyr.errors import DataMissing
from pyr.probes import fixed_order
from pyr.probes.task_files import TaskFiles, installed, module_files, tree
from pyr.schema import Checkpoint, Suite

SENTENCE_DATA = "punkt_tab"
"""What NLTK splits sentences and words by; IFEval's checkers of sentences and words read it."""


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that is not here, and what to do about it."""

    what: str
    remedy: str
    blocks: bool = True
    """False: the evaluation goes on without, or gets it by itself."""


@runtime_checkable
class Demanding(Protocol):
    """A probe that can say beforehand what it lacks."""

    def needs(self, checkpoint: Checkpoint | None, mirror: Path | None) -> Iterable[Need]:
        """What is missing to measure this checkpoint, or any."""
        ...


def no_template(probe: str) -> Need:
    """What a probe says that asks through a chat template where there is none."""
    return Need(
        f"the checkpoint has no chat template: probe '{probe}' will be skipped",
        "save its tokenizer with one (chat_template.jinja), or take a suite without chat",
        blocks=False,
    )


def of_probes(
    probes: Iterable[object], checkpoint: Checkpoint | None, mirror: Path | None
) -> list[Need]:
    """What these probes lack, each thing once, in their order."""
    found = (
        need
        for probe in probes
        if isinstance(probe, Demanding)
        for need in probe.needs(checkpoint, mirror)
    )
    return list(dict.fromkeys(found))


def refuse(needs: Sequence[Need]) -> None:
    """Raise DataMissing for the first need that blocks, naming how many more there are."""
    blocking = [need for need in needs if need.blocks]
    if not blocking:
        return
    more = f"{len(blocking) - 1} more: `pyr doctor` lists them" if len(blocking) > 1 else ""
    first = blocking[0]
    raise DataMissing(first.what, where=more, remedy=f"{first.remedy}  (or pass --skip-missing)")


# ------------------------------------------------------------------ what a task's code needs


def of_code(definition: TaskFiles) -> tuple[Need, ...]:
    """What the functions of a task cannot do without.

    Read, not run: an import of lm-eval's own may start a download.
    """
    return _of_code(definition.code, definition.yaml[0].parent.name)


@functools.cache
def _of_code(code: tuple[Path, ...], folder: str) -> tuple[Need, ...]:
    modules = dict.fromkeys(name for file in code for name in _lacking(file))
    needs = [
        Need(
            f"package '{name}' is not installed: the tasks in {folder} import it",
            f"pip install {name.replace('_', '-')}",
        )
        for name in modules
    ]
    if any("punkt" in file.read_text(encoding="utf-8") for file in code) and not sentence_data():
        needs.append(
            Need(
                f"NLTK's sentence data ({SENTENCE_DATA}) is not here: the tasks in {folder} "
                "count sentences and words by it",
                f"pyr datasets punkt {sentence_data_folder()}",
            )
        )
    return tuple(needs)


def sentence_data() -> bool:
    """Is NLTK's sentence data in one of the places that NLTK looks in?"""
    if importlib.util.find_spec("nltk") is None:
        return False
    import nltk

    try:
        nltk.data.find(f"tokenizers/{SENTENCE_DATA}/english/")
    except LookupError:
        return False
    return True


def sentence_data_folder() -> Path:
    """A place that NLTK looks in by itself: in this environment, not in the user's home."""
    return Path(sys.prefix) / "nltk_data"


def _lacking(file: Path) -> Iterator[str]:
    """Top names of the modules that importing this file cannot do without, and that are nowhere."""
    module = tree(file)
    # Where code looks for modules itself, only running it tells what it finds.
    attributes = (node for node in ast.walk(module) if isinstance(node, ast.Attribute))
    if any(ast.unparse(node) == "sys.path" for node in attributes if node.attr == "path"):
        return
    for node in _unconditional(module.body):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            known = top in sys.stdlib_module_names or installed(top)
            if not known and not module_files(file, top):
                yield top


def _unconditional(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run at import; of a `try` only one that does not forgive its failure."""
    for node in body:
        if not isinstance(node, ast.Try):
            yield node
            continue
        handled = [each for handler in node.handlers for each in handler.body]
        if any(isinstance(each, ast.Raise) for each in handled):
            yield from _unconditional(node.body)


# ------------------------------------------------------------------
# The items that tasks bring with them, as a suite would ask them: known without a model.


def clusters(suite: Suite) -> dict[str, list[str]]:
    """The cluster of every item, in the order asked, of the suite's tasks with an `items.jsonl`.

    An item that stands alone has "".
    """
    found = {}
    for probe in suite.probes:
        folders = [content.path("evals/tasks"), *map(Path, probe.options.get("include_path", ()))]
        for task in probe.tasks:
            files = [folder / task / "items.jsonl" for folder in folders]
            for file in filter(Path.is_file, files):
                found[task] = _clusters(file, suite.seed, task)
    return found


def _clusters(file: Path, seed: int, task: str) -> list[str]:
    documents = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    order = fixed_order(seed, task, len(documents))
    return [str(documents[number].get("cluster", "")) for number in order]
