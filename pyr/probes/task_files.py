"""The files that decide what an lm-eval task asks: its YAML, what that includes, its functions.

They are found without running anything, as an import of lm-eval's own may start a download: the
YAML file with all that `include:` names; the Python files that `!function` names and those that
they import, from beside, above or below; and files whose names stand in that code as texts. What
code opens under a name that it makes up is seen when the task is loaded: `opened`.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pyr import files

_ABOVE = 4
"""Folders above a task's file in which its functions may find modules."""
_BELOW = 3
"""Folders below it in which they may find files."""
_FILE_NAME = re.compile(r"[\w .*/-]*\.\w{1,10}")
"""A text in code that may be the name of a file; * stands for what is put into it."""


@dataclass(frozen=True, slots=True)
class TaskFiles:
    """What lm-eval reads for a task, its data apart."""

    yaml: tuple[Path, ...]
    """Its own file first, then those that it includes."""
    code: tuple[Path, ...]
    named: tuple[Path, ...]
    """Files that the code names: shots, prompts, word lists."""

    @property
    def every(self) -> list[Path]:
        """All of them."""
        return [*self.yaml, *self.code, *self.named]

    def mentions(self, word: str) -> bool:
        """Whether the word stands in its YAML or its code."""
        return any(word in file.read_text("utf-8") for file in (*self.yaml, *self.code))

    def digest(self) -> str:
        """sha256 of the contents and of the files' names; the same wherever the folder lies."""
        return files.json_sha256([[file.name, files.sha256(file)] for file in self.every])


def task_files(yaml_file: Path) -> TaskFiles:
    """Return the files that the task in `yaml_file` is made of."""
    included = _with_includes(yaml_file)
    queue = [module for file in included for module in _functions(file)]
    code: dict[Path, None] = {}
    named: dict[Path, None] = {}
    while queue:
        file = queue.pop(0)
        if file in code:
            continue
        code[file] = None
        queue += _imported_files(file)
        named |= dict.fromkeys(_named_files(file))
    others = tuple(file for file in named if file not in code)
    return TaskFiles(tuple(included), tuple(code), others)


# ------------------------------------------------------------------ YAML


class _Loader(yaml.SafeLoader):
    """Reads tags of lm-eval's as plain texts: nothing is imported."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def _with_includes(file: Path) -> list[Path]:
    """The file and all that it includes, as `lm_eval.tasks._yaml_loader.load_yaml` finds them."""
    found: dict[Path, None] = {}
    queue = [file.resolve()]
    while queue:
        file = queue.pop(0)
        if file in found or not file.is_file():
            continue
        found[file] = None
        content = yaml.load(file.read_bytes(), _Loader)
        included = content.get("include", []) if isinstance(content, dict) else []
        names = included if isinstance(included, list) else [included]
        queue += [(file.parent / str(name)).resolve() for name in names]
    return list(found)


def _functions(yaml_file: Path) -> Iterator[Path]:
    """The Python files beside a YAML file that its `!function` tags name."""
    for name in re.findall(r"!function\s+([\w.]+)\.\w+", yaml_file.read_text(encoding="utf-8")):
        file = yaml_file.parent / f"{name.replace('.', '/')}.py"
        if file.is_file():
            yield file.resolve()


# ------------------------------------------------------------------ Python


@functools.lru_cache(maxsize=512)
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def tree(file: Path) -> ast.Module:
    """The syntax of a Python file; nothing of one that is no Python."""
    try:
        return _parsed(file.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return ast.Module(body=[], type_ignores=[])


def _imported_files(file: Path) -> Iterator[Path]:
    """Files that a Python file imports, packages of the environment apart."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from module_files(file, alias.name)
        elif isinstance(node, ast.ImportFrom):
            yield from _from_files(file, node)


def _from_files(file: Path, node: ast.ImportFrom) -> Iterator[Path]:
    """Files that `from x import y` reads: x, and y where that is a module."""
    module = node.module or ""
    if node.level:
        folder = file.parents[node.level - 1]
        yield from _modules_in(folder, module)
        for alias in node.names:
            yield from _modules_in(folder, f"{module}.{alias.name}".strip("."))
        return
    yield from module_files(file, module)
    for alias in node.names:
        yield from module_files(file, f"{module}.{alias.name}")


def module_files(file: Path, module: str) -> list[Path]:
    """Files beside, above or below `file` that an import of `module` in it may mean.

    A module of lm-eval's own tasks is looked for among them. The nearest folder counts.
    """
    top, _, rest = module.partition(".")
    if top in sys.stdlib_module_names:
        return []
    if module.startswith("lm_eval.tasks."):
        import lm_eval.tasks

        shipped = Path(lm_eval.tasks.__file__).parent
        return list(_modules_in(shipped, module.removeprefix("lm_eval.tasks.")))
    beside = list(_modules_in(file.parent, module))
    if beside or installed(top):
        return beside
    below = [each for each in sorted(file.parent.iterdir()) if each.is_dir()]
    for folder in [*file.parents[1 : _ABOVE + 1], *below]:
        found = list(_modules_in(folder, module))
        if found:
            return found
    return []


def _modules_in(folder: Path, module: str) -> Iterator[Path]:
    """The files of a dotted module below a folder: its packages' and its own."""
    if not module:
        return
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        place = folder.joinpath(*parts[:depth])
        for candidate in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if candidate.is_file():
                yield candidate.resolve()


def installed(top: str) -> bool:
    """Whether the environment has a package of that name."""
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def _named_files(file: Path) -> Iterator[Path]:
    """Files beside, below or just above a Python file whose names stand in it as texts."""
    patterns = {name.removeprefix("./").lstrip("/") for name in _texts(tree(file))}
    patterns = {each for each in patterns if _FILE_NAME.fullmatch(each) and ".." not in each}
    if not patterns:
        return
    near = [*_below(file.parent, _BELOW), *_below(file.parent.parent, 0)]
    for place in sorted(set(near) - {file}):
        if any(place.match(pattern) for pattern in patterns):
            yield place.resolve()


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """The files in a folder and so many levels below it, hidden ones and caches apart."""
    for place in folder.iterdir():
        if place.name.startswith(".") or place.name == "__pycache__":
            continue
        if place.is_file():
            yield place
        elif depth and place.is_dir():
            yield from _below(place, depth - 1)


def _texts(module: ast.Module) -> Iterator[str]:
    """The texts of a module; where something is put into one, * stands for it."""
    for node in ast.walk(module):
        if isinstance(node, ast.JoinedStr):
            parts = [each.value if isinstance(each, ast.Constant) else "*" for each in node.values]
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


# ------------------------------------------------------------------ what is opened


_watching: list[set[str]] = []
"""Where to note what is opened; empty outside `opened`."""


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event == "open" and isinstance(arguments[0], str | os.PathLike):
        mode, flags = arguments[1], arguments[2]
        writes = flags & (os.O_WRONLY | os.O_RDWR) if mode is None else set(mode) & set("wax+")
        if not writes:
            _watching[-1].add(os.fspath(arguments[0]))


@functools.cache
def _watch() -> None:
    # An audit hook sees every way that Python has to open a file, and stays for good.
    sys.addaudithook(_note)


@contextmanager
def opened() -> Iterator[set[str]]:
    """Note the files that are opened for reading while the block runs, by their paths."""
    _watch()
    noted: set[str] = set()
    _watching.append(noted)
    try:
        yield noted
    finally:
        # Not remove(): two sets that hold the same are equal, and an outer one would go.
        _watching.pop()


def read_besides(noted: set[str], known: Sequence[Path], ignored: Sequence[Path]) -> list[str]:
    """The files among those noted that do not count already, by their paths.

    known: files that count. ignored: folders whose content counts in another way, or not at all.
    Python's own files and those of installed packages are left out: their versions count.
    """
    import lm_eval.tasks

    shipped = Path(lm_eval.tasks.__file__).parent
    system = map(Path, ("/proc", "/sys", "/dev", "/etc", "/usr"))
    left_out = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[1], *system]
    left_out += [folder.resolve() for folder in ignored]
    found = set()
    for name in noted:
        path = Path(name).absolute()
        if path.suffix == ".pyc" and path.parent.name == "__pycache__":
            path = path.parents[1] / f"{path.name.partition('.')[0]}.py"
        path = path.resolve()
        counts = path.is_relative_to(shipped) or not any(map(path.is_relative_to, left_out))
        if counts and path not in known and path.is_file():
            found.add(str(path))
    return sorted(found)
