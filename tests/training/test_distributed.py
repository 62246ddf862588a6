"""Preparation by datatrove's executors: the shards are those of one process."""

from __future__ import annotations

import json
import os
import stat
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from factories_training import write_recipe

from pyr import content
from pyr.cli import main
from pyr.data import shards
from pyr.data.ngrams import Blocked
from pyr.errors import ContentError, DataMissing, UsageError
from pyr.training import distributed, prepare, recipe
from pyr.training.prepare import Kitchen
from pyr.training.recipe import Curriculum

needs_datatrove = pytest.mark.skipif(
    find_spec("datatrove") is None, reason="datatrove is not installed (extra datatrove)"
)
TINY = "train/tiny/tokenizer"
IN_TURN = "local:workers=1"


@pytest.fixture
def texts(tmp_path: Path) -> Curriculum:
    """A recipe whose texts lie in two files that share some of their rows."""
    for number in range(2):
        rows = [{"text": f"row {row} of the texts"} for row in range(10 * number, 30)]
        body = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{number}.jsonl").write_text(body)
    phase = {"data": [{"name": "a", "files": ["*.jsonl"], "documents": 25}]}
    return recipe.read(write_recipe(tmp_path / "recipe", content.path(TINY), {"one": phase}))


def shards_in(folder: Path) -> dict[str, bytes]:
    """The prepared sources, without datatrove's logs."""
    files = (file for file in folder.rglob("*") if file.is_file())
    found = {str(file.relative_to(folder)): file.read_bytes() for file in files}
    return {name: body for name, body in found.items() if not name.startswith("datatrove")}


def in_one_piece(read: Curriculum, tmp_path: Path) -> dict[str, bytes]:
    prepare.prepare(read, Kitchen(tmp_path / "whole", tmp_path))
    return shards_in(tmp_path / "whole")


@needs_datatrove
def test_the_local_executor_makes_the_same_shards(texts: Curriculum, tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path / "data", tmp_path)
    assert distributed.run(texts, kitchen, distributed.read(IN_TURN))
    assert shards_in(kitchen.data) == in_one_piece(texts, tmp_path)


@needs_datatrove
def test_a_task_that_failed_is_made_again_by_the_same_command(
    texts: Curriculum, tmp_path: Path
) -> None:
    file = tmp_path / "1.jsonl"
    kitchen, good = Kitchen(tmp_path / "data", tmp_path), file.read_text()
    # Of the same length: the sources are known by their files' names and sizes.
    file.write_text("!" + good[1:])
    with pytest.raises(ContentError, match="not JSON"):
        distributed.run(texts, kitchen, distributed.read(IN_TURN))
    file.write_text(good)
    assert distributed.run(texts, kitchen, distributed.read(IN_TURN))
    assert shards_in(kitchen.data) == in_one_piece(texts, tmp_path)


@needs_datatrove
def test_an_option_that_datatrove_does_not_know_is_named() -> None:
    with pytest.raises(UsageError, match="'partitoin' is no option") as error:
        distributed.read("slurm:partitoin=cpu")
    assert "partition" in error.value.remedy


@needs_datatrove
def test_the_options_are_words_and_numbers() -> None:
    read = distributed.read("slurm:partition=cpu,time=10:00:00,workers=8")
    assert read.options == {"partition": "cpu", "time": "10:00:00", "workers": 8}


@needs_datatrove
def test_slurm_without_a_partition_is_refused(texts: Curriculum, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="partition"):
        distributed.run(
            texts, Kitchen(tmp_path / "data", tmp_path), distributed.read("slurm:time=1")
        )


def test_an_unknown_executor_is_named() -> None:
    with pytest.raises(UsageError, match="no executor 'slum'") as error:
        distributed.read("slum:workers=1")
    assert "slurm" in error.value.remedy


def test_without_datatrove_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datatrove", None)
    with pytest.raises(UsageError, match="not installed") as error:
        distributed.read("local")
    assert "pyr-lm[datatrove]" in error.value.remedy


def test_what_is_missing_is_said_with_the_logs(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="not prepared: web") as error:
        distributed._complain({"web"}, tmp_path)
    assert str(tmp_path) in error.value.where


def test_only_preparing_takes_an_executor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "stats", "train/tiny", "--executor", "local"]) == 2
    assert "takes no --executor" in capsys.readouterr().err


# ------------------------------------------------------------------ Slurm, played by three scripts

SBATCH = """\
#!/bin/bash
# Runs every task of the array at once, here, in the order of submission.
script="${@: -1}"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
echo "$@" >> "$SUBMITTED"
for task in $(seq 0 "${last:-0}"); do
    SLURM_ARRAY_TASK_ID=$task SLURM_NODELIST=here SLURM_JOB_ID=7 bash "$script" >&2 || exit 1
done
echo "Submitted batch job 7"
"""
SRUN = '#!/bin/bash\nwhile [[ $1 == -* ]]; do [[ $1 == -n ]] && shift; shift; done\nexec "$@"\n'
COMMANDS = {
    "sbatch": SBATCH,
    "srun": SRUN,
    "scontrol": "#!/bin/bash\necho here\n",
    "merge_stats": "#!/bin/bash\n",
}


@needs_datatrove
@pytest.mark.slow
def test_slurm_makes_the_same_shards(
    texts: Curriculum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    launcher = (
        f"#!{sys.executable}\nfrom datatrove.tools.launch_pickled_pipeline import main\nmain()\n"
    )
    for name, body in {**COMMANDS, "launch_pickled_pipeline": launcher}.items():
        (commands / name).write_text(body)
        (commands / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("SUBMITTED", str(tmp_path / "submitted"))
    kitchen = Kitchen(tmp_path / "data", tmp_path)
    assert not distributed.run(texts, kitchen, distributed.read("slurm:partition=cpu,time=1:00:00"))
    assert shards_in(kitchen.data) == in_one_piece(texts, tmp_path)
    lines = (tmp_path / "submitted").read_text().splitlines()
    assert [line for line in lines if "--dependency=afterok:7" in line]


def test_a_task_leaves_out_what_the_file_of_test_items_holds(
    texts: Curriculum, tmp_path: Path
) -> None:
    item = "the quick brown fox jumps over the lazy dog and then it runs away again"
    (tmp_path / "0.jsonl").write_text(json.dumps({"text": f"So: {item}."}) + "\n")
    blocked = Blocked.of([item])
    [job] = prepare.open_jobs(texts, Kitchen(tmp_path / "data", tmp_path, blocked))
    file = tmp_path / "test-items.bin"
    file.write_bytes(blocked.to_bytes())
    for rank in range(2):
        distributed.ReadParts([(job, 0), (job, 1)], file)(None, rank, 2)
    distributed.JoinParts([job])(None, 0, 1)
    assert shards.read_manifest(job.folder)["contaminated"] == 1
    assert shards.read_manifest(job.folder)["documents"] == 20
