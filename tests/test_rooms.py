"""The house keeps its order: rooms import in one direction, and light rooms stay light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pyr"
ROOMS = (
    "errors files hardware schema content data checkpoint datasets faults store compare gate "
    "tokenization engines probes report evaluate refresh pipeline training cli"
).split()

LISTED = re.compile(r"(?:^|, ) *(\w+\.py)\b")


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(file: Path) -> set[str]:
    """Rooms that a file imports when it runs; imports for type checking count as well."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "pyr":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyr."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {parts[1] for parts in names if parts[0] == "pyr" and len(parts) > 1}
    return found


FILES = sorted(file for file in PACKAGE.rglob("*.py") if file != PACKAGE / "__init__.py")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_before_it(file: Path) -> None:
    if "_content" in file.parts:
        pytest.skip("content is no room")
    own = room_of(file)
    later = {room for room in imported_rooms(file) if ROOMS.index(room) > ROOMS.index(own)}
    assert not later


def test_a_package_that_lists_its_files_lists_those_that_there_are() -> None:
    differing = {}
    for file in PACKAGE.rglob("__init__.py"):
        said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        listed = {name for line in said.splitlines() for name in LISTED.findall(line)}
        there = {each.name for each in file.parent.glob("*.py")} - {"__init__.py"}
        if listed and listed != there:
            differing[str(file.parent.relative_to(PACKAGE))] = sorted(listed ^ there)
    assert not differing


def test_light_rooms_load_neither_torch_nor_lm_eval() -> None:
    light = ["store", "compare", "gate", "report", "pipeline", "cli"]
    # One process after the other would each load pandas and scipy; in one, the first to load what
    # it should not is the first line printed.
    code = (
        "import importlib, sys\n"
        f"for room in {light}:\n"
        "    importlib.import_module('pyr.' + room)\n"
        "    heavy = {'torch', 'lm_eval'} & set(sys.modules)\n"
        "    if heavy: print(room, 'loads', *sorted(heavy))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not out.stdout


def test_a_file_has_at_most_450_lines_and_a_function_at_most_50() -> None:
    long = []
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        if text.count("\n") > 450:
            long.append(file.name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 50:
                long.append(f"{file.name}: {node.name}")
    assert not long
