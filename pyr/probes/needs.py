"""What a suite needs and this machine lacks, said before any minute is spent."""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from pyr import content
from pyr.errors import DataMissing
from pyr.probes import fixed_order
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


@functools.cache
def of_code(folder: Path) -> tuple[Need, ...]:
    """What the functions that the task files in `folder` name cannot do without.

    Read, not run: an import of lm-eval's own may start a download.
    """
    files = _code(folder)
    modules = dict.fromkeys(name for file in files for name in _imported(file))
    needs = [
        Need(
            f"package '{name}' is not installed: the tasks in {folder.name} import it",
            f"pip install {name.replace('_', '-')}",
        )
        for name in modules
        if importlib.util.find_spec(name) is None
    ]
    if any("punkt" in file.read_text(encoding="utf-8") for file in files) and not sentence_data():
        needs.append(
            Need(
                f"NLTK's sentence data ({SENTENCE_DATA}) is not here: the tasks in {folder.name} "
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


def _code(folder: Path) -> list[Path]:
    """The Python files that the folder's task files name, and those of lm-eval that they import."""
    named = {
        folder / f"{module}.py"
        for task in folder.glob("*.y*ml")
        for module in re.findall(r"!function\s+(\w+)\.", task.read_text(encoding="utf-8"))
    }
    found: dict[Path, None] = {}
    queue = sorted(path for path in named if path.is_file())
    while queue:
        file = queue.pop(0)
        if file not in found:
            found[file] = None
            queue += _neighbours(file)
    return list(found)


def _neighbours(file: Path) -> Iterator[Path]:
    """Files of the same folder that a file imports from, whatever name it calls them by."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [(node.module or "").rpartition(".")[2], *(each.name for each in node.names)]
        elif isinstance(node, ast.Import):
            names = [each.name.rpartition(".")[2] for each in node.names]
        yield from (path for name in names if (path := file.with_name(f"{name}.py")).is_file())


def _imported(file: Path) -> Iterator[str]:
    """Top names of the modules that importing this file cannot do without."""
    for node in _unconditional(ast.parse(file.read_text(encoding="utf-8")).body):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and not file.with_name(f"{top}.py").exists():
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
