"""Run programs that a model has written, each in a process of its own, and count pass@k.

A program gets a fresh interpreter in an empty folder, without this process's environment, limited
in CPU seconds, memory, the size of files and (but for root) the number of processes, without
network where the system allows it, and with a time after which all that it started is killed. That
stops accidents: loops, floods of output, a deleted working folder. It is no sandbox against malice:
a program can read whatever this user can read. Where that matters, evaluate inside a container.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TIMEOUT_SECONDS = 3.0
"""As the hub's `code_eval` allows a program, without the start of its interpreter."""
_START_SECONDS = 20.0
"""What a busy machine may need to start an interpreter."""
_GRADE_SECONDS = 60.0
"""For one item of a task that runs programs by its own means, compilers included."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended."""

    passed: bool
    how: str
    """``passed``, ``timed out``, or what it raised."""


def _runner() -> str:
    return str(Path(__file__).with_name("program.py"))


def run_program(program: str, seconds: float = TIMEOUT_SECONDS) -> Outcome:
    """Run a Python program; it has passed if it came to its end without an error."""
    word = secrets.token_hex(16)  # a program that exits early, or prints, does not know it
    with tempfile.TemporaryDirectory(prefix="pyr-", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-I", _runner(), word]
        process = subprocess.Popen(
            [*command, str(seconds)],
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            how = _outcome(process, program, seconds)
        finally:
            _kill_group(process.pid)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
    if how == word:
        return Outcome(True, "passed")
    return Outcome(False, how)


def _outcome(process: subprocess.Popen[bytes], program: str, seconds: float) -> str:
    """What the runner says of the program, or what became of the runner."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as stream:
        stream.write(program.encode("utf-8", "replace"))
    end = time.monotonic() + _START_SECONDS
    if not _read(process.stdout.fileno(), end, until=b"."):
        return "failed: its interpreter did not start"
    said = _read(process.stdout.fileno(), time.monotonic() + seconds + 1, until=b"\0")
    if said.endswith(b"\0"):
        return said[:-1].decode("utf-8", "replace")
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)  # it closed its side a moment before it ended
    code = process.returncode
    if code is None or code == -signal.SIGXCPU:
        return "timed out"
    return f"failed: ended with exit code {code}"


def _read(descriptor: int, end: float, *, until: bytes = b"") -> bytes:
    """What is written before that byte, before the other side closes, or before the time is up."""
    said = b""
    while (left := end - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            break
        part = os.read(descriptor, 1 if until else 1 << 16)
        said += part
        if not part or part == until:
            break
    return said


def _environment(folder: str) -> dict[str, str]:
    """What a program may know of this one's environment: no keys, no proxies."""
    path = os.environ.get("PATH", os.defpath)
    names = {name: folder for name in ("HOME", "TMPDIR")}
    return {"PATH": path, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", **names}


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


# ------------------------------------------------------------------ the hub's code_eval, without it


class CodeEval:
    """Stands for `evaluate.load("code_eval")`, whose script has to be fetched at run time.

    Same arguments and results as huggingface/evaluate metrics/code_eval (0.4).
    """

    def compute(
        self,
        references: Sequence[str],
        predictions: Sequence[Sequence[str]],
        k: Sequence[int] = (1, 10, 100),
        num_workers: int = 4,
        timeout: float = TIMEOUT_SECONDS,
    ) -> tuple[dict[str, float], dict[int, list[tuple[int, dict[str, Any]]]]]:
        """pass@k by k, and of every task how each of its candidates ended."""
        jobs = []
        for task, (candidates, test) in enumerate(zip(predictions, references, strict=True)):
            for number, candidate in enumerate(candidates):
                jobs.append((task, number, f"{candidate}\n{test}"))
        with ThreadPoolExecutor(min(num_workers, os.cpu_count() or 1)) as pool:
            outcomes = list(pool.map(lambda job: run_program(job[2], timeout), jobs))
        results: dict[int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        for (task, number, _), outcome in zip(jobs, outcomes, strict=True):
            about = {"task_id": task, "passed": outcome.passed, "result": outcome.how}
            results[task].append((number, {**about, "completion_id": number}))
        counts = []
        for ends in results.values():
            counts.append((len(ends), sum(end["passed"] for _, end in ends)))
        found = {}
        for wanted in k:
            if counts and all(total >= wanted for total, _ in counts):
                shares = [pass_at_k(total, right, wanted) for total, right in counts]
                found[f"pass@{wanted}"] = float(np.mean(shares))
        return found, results


def pass_at_k(total: int, right: int, k: int) -> float:
    """The chance that one of k programs drawn from these passes.

    Unbiased: 1 - C(total - right, k) / C(total, k) (Chen et al. 2021, arXiv 2107.03374).
    """
    if total - right < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(total - right + 1, total + 1)))


@contextlib.contextmanager
def own_code_eval() -> Iterator[None]:
    """Give tasks that are loaded in this block `CodeEval` where they ask `evaluate` for it."""
    try:
        import evaluate
    except ImportError:
        evaluate = types.ModuleType("evaluate")
    before, known = getattr(evaluate, "load", None), sys.modules.get("evaluate")

    def load(path: str, *arguments: Any, **options: Any) -> Any:
        if path == "code_eval":
            return CodeEval()
        if before is None:
            raise ModuleNotFoundError("No module named 'evaluate'", name="evaluate")
        return before(path, *arguments, **options)

    vars(evaluate)["load"] = load
    sys.modules["evaluate"] = evaluate
    try:
        yield
    finally:
        vars(evaluate)["load"] = before
        if known is None:
            del sys.modules["evaluate"]


# ------------------------------------------------------------------ tasks with means of their own


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns, called in a copy of this process under the same limits.

    Raises RuntimeError if the copy raises, is killed or does not end in time.
    """
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory(prefix="pyr-", ignore_cleanup_errors=True) as folder:
        child = os.fork()
        if child == 0:
            _be_child(writing, folder, function, arguments)
        os.close(writing)
        try:
            answer = _read(reading, time.monotonic() + _GRADE_SECONDS)
        finally:
            os.close(reading)
            _kill_group(child)
            os.waitpid(child, 0)
    if not answer.endswith(b"]"):
        raise RuntimeError(f"its programs were killed, or took over {_GRADE_SECONDS:.0f} s")
    fault, value = json.loads(answer)
    if fault:
        raise RuntimeError(fault)
    return value


def _be_child(
    writing: int, folder: str, function: Callable[..., Any], arguments: Sequence[Any]
) -> None:
    """Run the function as a process that never returns to what its copy was doing."""
    from pyr.probes.program import limit

    answer = json.dumps(["it could not be run", None])
    try:
        os.setsid()
        os.chdir(folder)
        # Other threads hold much of the address space that this copy began with.
        held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        limit(cpu_seconds=int(_GRADE_SECONDS), held_bytes=held)
        answer = json.dumps(["", function(*arguments)], default=float)
    except BaseException as error:
        answer = json.dumps([f"{type(error).__name__}: {error}", None])
    finally:
        with os.fdopen(writing, "w", encoding="utf-8") as stream:
            stream.write(answer)
        os._exit(0)
