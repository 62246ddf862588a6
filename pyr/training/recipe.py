"""The files of a recipe: ``recipe.yaml`` names the phases, ``<phase>.yaml`` says what each does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, field_validator, model_validator

from pyr import content
from pyr.data.source import TOKENIZER_KEYS, Source, refuse_keys
from pyr.errors import ContentError, UsageError, did_you_mean
from pyr.schema import Strict, Suite

Stage = Literal["base", "sft", "dpo"]
_Kind = TypeVar("_Kind", bound=BaseModel)


class Phase(Strict):
    """One step of the curriculum."""

    name: str
    description: str = ""
    stage: Stage = "base"
    start: str = ""
    """``scratch``, a phase, or a model folder; by default the phase before, or scratch."""
    length: int = Field(default=512, gt=1)
    """Tokens of a row. Attention never crosses from one document to the next."""
    tokens: int = Field(default=0, ge=0)
    """Training tokens of the phase (base and sft)."""
    tokens_per_step: int = Field(default=0, ge=0)
    """Tokens of one optimizer step over all devices; gradient accumulation follows from it."""
    data: list[Source] = Field(min_length=1)
    held_out: float = Field(default=0.01, ge=0, lt=1)
    """Share of the documents that no phase trains on."""
    held_out_items: int = Field(default=100, ge=0)
    """How many of them are asked, as task ``held_out_<phase>``."""
    trainer: dict[str, Any] = Field(default_factory=dict)
    """Options of TrainingArguments, SFTConfig or DPOConfig, passed on as they are."""
    attention: str = "sdpa"
    """transformers' attn_implementation."""
    spike: float | None = Field(default=2.0, gt=0)
    """Stop when the loss exceeds the mean of the last 50 steps by so many nats; null never does."""
    z_loss: float = Field(default=0.0, ge=0)
    """Weight of the squared log-normaliser in the loss (base)."""
    checkpoints: int = Field(default=2, gt=0)
    """How many are kept."""
    pulse: str = ""
    """Suite that is run on every saved checkpoint; a name, or a file beside the recipe."""
    pulse_share: float = Field(default=0.02, gt=0, lt=1)
    """Share of the phase's time that the pulse may take."""
    suite: str = "smoke"
    gate: str = "health"

    @field_validator("data")
    @classmethod
    def _names_differ(cls, data: list[Source]) -> list[Source]:
        names = [source.name for source in data]
        if len(set(names)) < len(names):
            raise ValueError("two sources have the same name")
        return refuse_keys(data, TOKENIZER_KEYS, reader="a phase")

    @model_validator(mode="after")
    def _steps_are_whole(self) -> Phase:
        if self.stage == "dpo":
            return self
        if not self.tokens or not self.tokens_per_step:
            raise ValueError(f"a {self.stage} phase needs tokens and tokens_per_step")
        if self.tokens_per_step % self.length:
            raise ValueError(
                f"tokens_per_step {self.tokens_per_step} is no multiple of length {self.length}"
            )
        if self.tokens < self.tokens_per_step:
            raise ValueError(f"tokens {self.tokens} is less than one step")
        return self

    @property
    def steps(self) -> int:
        """Optimizer steps (base and sft)."""
        return self.tokens // self.tokens_per_step

    @property
    def used(self) -> list[Source]:
        """The sources that are not switched off."""
        return [source for source in self.data if source.use]


class Recipe(Strict):
    """A curriculum: a model, a tokenizer, and phases in their order."""

    name: str
    description: str = ""
    model: str = "model.yaml"
    tokenizer: str
    """A folder with a trained one, beside the recipe or anywhere."""
    seed: int = 1
    processes: int = Field(default=1, gt=0)
    """Training processes on this machine; more than one are started by ``torchrun``."""
    launch: list[str] = Field(default_factory=list)
    """Words that start a Python module in their stead, as ``[srun, torchrun, --nnodes=2]``."""
    engine: dict[str, Any] = Field(default_factory=dict)
    """Settings of the evaluation: device, dtype, batch_size, engine."""
    phases: list[str] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Curriculum:
    """A recipe with its phases, read and checked."""

    folder: Path
    recipe: Recipe
    phases: tuple[Phase, ...]

    def phase(self, name: str) -> Phase:
        """The phase of that name. Raises UsageError with the nearest names."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        names = [phase.name for phase in self.phases]
        raise UsageError(
            f"the recipe {self.recipe.name} has no phase '{name}'.",
            remedy=did_you_mean(name, names) or f"there are: {', '.join(names)}",
        )

    def start_of(self, phase: Phase) -> str:
        """What the phase starts from: ``scratch``, the name of a phase, or a path."""
        if phase.start:
            return phase.start
        before = self.phases.index(phase) - 1
        return self.phases[before].name if before >= 0 else "scratch"

    def beside(self, name: str) -> Path:
        """A file or folder that the recipe names beside itself, or anywhere."""
        return self.folder / name if (self.folder / name).exists() else Path(name)


def read(path: Path, assignments: Sequence[str] = ()) -> Curriculum:
    """The recipe in a folder or a ``recipe.yaml``, or a shipped one by its name.

    assignments: ``KEY=VALUE``.

    A key is one of recipe.yaml, or ``PHASE.KEY``, ``PHASE.trainer.KEY``, ``PHASE.SOURCE.KEY``.
    Raises ContentError naming the first wrong key, UsageError for a wrong assignment.
    """
    place = content.locate(path, "train")
    file = place / "recipe.yaml" if place.is_dir() else place
    if not file.is_file():
        shipped = content.known("train", "recipe.yaml")
        raise ContentError(
            f"there is no recipe at {path}.",
            where=f"looked for: {file}, and among the shipped ones: {', '.join(shipped)}",
            remedy=did_you_mean(path.name, shipped) or "name a folder with a recipe.yaml",
        )
    raw = content.read(file, Recipe).model_dump()
    files = {name: file.parent / f"{name}.yaml" for name in raw["phases"]}
    for name, phase_file in files.items():
        if not phase_file.is_file():
            known = [each.stem for each in file.parent.glob("*.yaml")]
            raise ContentError(
                f"phase '{name}' has no file {phase_file.name}.",
                where=str(file),
                remedy=did_you_mean(name, known) or f"write {phase_file}",
            )
    phases = {name: content.read(each, Phase).model_dump() for name, each in files.items()}
    for assignment in assignments:
        _assign(assignment, raw, phases)
    curriculum = Curriculum(
        folder=file.parent,
        recipe=content.check(raw, Recipe, where=str(file)),
        phases=tuple(
            content.check(phases[name], Phase, where=str(files[name])) for name in raw["phases"]
        ),
    )
    _check_names(curriculum)
    return curriculum


def _assign(assignment: str, raw: dict[str, Any], phases: dict[str, dict[str, Any]]) -> None:
    key, value = content.read_assignment(assignment)
    first, *rest = key.split(".")
    place, words = (phases[first], rest) if first in phases and rest else (raw, [first, *rest])
    for word in words[:-1]:
        sources = {source["name"]: source for source in place.get("data", [])}
        found = sources.get(word, place.get(word))
        if not isinstance(found, dict):
            known = [*sources, *(name for name, value in place.items() if isinstance(value, dict))]
            raise UsageError(
                f"--set {key}: there is no '{word}'.",
                remedy=did_you_mean(word, [*known, *phases]) or f"there are: {', '.join(known)}",
            )
        place = found
    place[words[-1]] = value


def _check_names(curriculum: Curriculum) -> None:
    """Phases may only refer to those before them."""
    before: list[str] = []
    for phase in curriculum.phases:
        named = [source.replay for source in phase.data if source.replay]
        start = phase.start
        if start and start != "scratch" and not curriculum.beside(start).is_dir():
            named.append(start)
        for name in named:
            if name not in before:
                raise ContentError(
                    f"phase '{phase.name}' refers to '{name}', which is no phase before it.",
                    where=str(curriculum.folder / f"{phase.name}.yaml"),
                    remedy=did_you_mean(name, before)
                    or f"before it: {', '.join(before) or 'none'}",
                )
        before.append(phase.name)


def suite_of(curriculum: Curriculum, name: str) -> Suite:
    """The suite that a phase names: a file beside the recipe, or one that Pyr ships."""
    file = curriculum.folder / name
    if not file.is_file():
        file = content.find(name, kind="suite", folder="evals/suites")
    return content.read(file, Suite)


def suites_of(curriculum: Curriculum) -> list[Suite]:
    """Return every suite that the recipe's phases ask, each once."""
    names = {name for phase in curriculum.phases for name in (phase.suite, phase.pulse)}
    return [suite_of(curriculum, name) for name in sorted(names) if name]


def read_file(file: Path, kind: type[_Kind]) -> _Kind:
    """A file of another kind that a recipe names. Raises ContentError if it is not there."""
    if not file.is_file():
        raise ContentError(f"there is no file {file}.", remedy="mend the recipe that names it")
    return content.read(file, kind)
