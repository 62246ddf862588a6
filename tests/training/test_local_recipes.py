"""The recipes on local text, from files to DPO: small models, few tokens, texts of that form."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from factories_training import MODEL, rehearsed

from pyr import content
from pyr.data.source import load_function
from pyr.training import curriculum, order, recipe, stage

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
TEXTS = "textbook_openstax docs_technical reference novels_public_domain stories_children".split()
TEXTS += "web_sample speeches_plays python_code".split()
CALL = {"from": "function_call", "value": '{"name": "look", "arguments": {"where": "barn"}}'}


def invent(kind: str, *, seed: int, count: int) -> Iterator[dict]:
    make = load_function(content.path("train/tiny/generate.py"), kind)
    yield from make(seed=seed, count=count)


def chats() -> Iterator[dict]:
    for row in invent("dialogues", seed=1, count=60):
        yield row | {"source": "P3/T0 train subset"}


def tools() -> Iterator[dict]:
    for number in range(40):
        asked = {"from": "human", "value": f"Where is owl {number}?"}
        found = [{"from": "observation", "value": "here"}, {"from": "gpt", "value": f"{number}"}]
        yield {"conversations": [asked, CALL, *found], "source": "glaive_toolcall_en_demo"}


def preferences() -> Iterator[dict]:
    for row in invent("preferences", seed=1, count=16):
        yield row | {"source": "dpo_en_demo"}


def written(folder: Path) -> Path:
    """A data folder in the form that the recipes expect."""
    files = {name: invent("stories", seed=seed, count=60) for seed, name in enumerate(TEXTS)} | {
        "instruct": chats(),
        "tools": tools(),
        "preference": preferences(),
    }
    files["reasoning"] = (row | {"source": "GSM8K train"} for row in chats())
    (folder / "corpora").mkdir(parents=True)
    for name, rows in files.items():
        with lzma.open(folder / "corpora" / f"{name}.jsonl.xz", "wt", preset=0) as stream:
            stream.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


def small(folder: Path, phases: list[str]) -> list[str]:
    """Assignments that make a recipe a matter of seconds, with gates that ask only for health."""
    model = MODEL | {"config": MODEL["config"] | {"vocab_size": 16384}}
    files = {"model": model, "suite": {"probes": [{"probe": "health"}]}}
    for name, value in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(value))
    said = [f"model={folder / 'model.yaml'}"]
    for phase in phases:
        said += [f"{phase}.suite={folder / 'suite.yaml'}", f"{phase}.gate=health"]
        said += [f"{phase}.length=64", f"{phase}.trainer.save_steps=3"]
        said += [f"{phase}.trainer.per_device_train_batch_size=2"]
        if phase == "dpo":
            said += ["dpo.trainer.num_train_epochs=1"]
            continue
        said += [f"{phase}.tokens=768", f"{phase}.tokens_per_step=256", f"{phase}.held_out=0.2"]
        said += [f"{phase}.trainer.torch_compile=false", f"{phase}.trainer.warmup_steps=0.1"]
        said += [f"{phase}.trainer.dataloader_num_workers=0"]
    return said


@pytest.mark.parametrize("name", ["pyr-135m-local", "pyr-6m"])
def test_a_local_recipe_runs_from_its_files_to_preferences(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here: Callable[..., None] = lambda phase, _: stage.run(order.read(phase), phase)  # noqa: E731
    monkeypatch.setattr(curriculum, "_train", here)
    shipped = content.path(f"train/{name}")
    phases = yaml.safe_load((shipped / "recipe.yaml").read_text())["phases"]
    every_row = [] if name == "pyr-135m-local" else SAMPLED
    rehearsal = rehearsed(tmp_path, texts=written(tmp_path / "data"))
    read = recipe.read(shipped, [*small(tmp_path, phases), *every_row])
    outcome = curriculum.run(read, rehearsal)
    assert [(each.phase, each.state) for each in outcome.passages] == [
        (phase, "pass") for phase in phases
    ]


SAMPLED = [
    f"{place}.sample=1"
    for place in "base-1.textbooks base-1.documentation base-1.reference base-2.novels "
    "base-3.speeches base-4.python instruct.instructions".split()
]
