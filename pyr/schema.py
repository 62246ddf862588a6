"""The nouns of Pyr: plain values with no behaviour, shared by every room.

Frozen dataclasses are made by the program; the pydantic classes (`Suite`, `ProbeSpec`) are the
files that people write, so that an unknown key is an error. Gates and verdicts: `gate/spec.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

State = Literal["pass", "fail", "unclear"]
Direction = Literal["higher", "lower", "none"]
"""Which way a metric improves; ``none``: it only describes, and neither side is the better one."""
Kind = Literal[
    "score",
    "aggregate",
    "generation",
    "check",
    "compression",
    "reference",
    "speed",
    "memory",
    "machine",
    "diagnostic",
]
"""What a record is about.

    score        what the model can do
    aggregate    the same, as a function of all items that is no mean of them (probes/aggregates.py)
    generation   how it writes when it is left to write; `responses` holds the text
    check        a health check: 1 passed, 0 broken
    compression  what its tokenizer does
    reference    the same of another tokenizer
    speed        how fast it runs here
    memory       what it takes here
    machine      what this machine could do at best, without the model
    diagnostic   what it is like inside
"""
Axis = Literal["tokens", "step"]
HEALTH = "health"
"""The task that all health checks are recorded under."""

# ------------------------------------------------------------------ what is measured


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One set of weights with its tokenizer; `digest` is what it is, `path` only where it lay."""

    path: str
    name: str
    digest: str
    """sha256 over all that is loaded: weights, config, tokenizer, template, adapter, own code."""
    format: Literal["safetensors", "gguf", "pickle", "imported"]
    digests: Mapping[str, str] = field(default_factory=dict)
    """sha256 by part: weights, config, tokenizer, template; adapter and code where there are.

    `generation`, of generation_config.json, is no part of `digest`: it counts for runs that let the
    checkpoint write.
    """
    phase: str = ""
    step: int | None = None
    tokens: int | None = None
    """Training tokens seen."""
    chat: bool = False
    """True if the tokenizer brings a chat template."""
    base: str = ""
    """Of an adapter, the folder of the model that it is laid over; `path` is the adapter's own."""

    def reached(self, axis: Axis) -> int | None:
        """How far training had come: tokens seen, or the step; None where that is not known."""
        return self.tokens if axis == "tokens" else self.step


@dataclass(frozen=True, slots=True)
class Record:
    """One measured thing. A task's score is sum(value * weight) / sum(weight) over its records."""

    task: str
    metric: str
    item: str
    """The item's number in its task, the same for every checkpoint."""
    value: float
    weight: float = 1.0
    cluster: str = ""
    """Items that are not independent share a cluster (passage, paradigm, prompt)."""
    direction: Direction = "higher"
    unit: str = ""
    group: str = ""
    """The group the suite named when it asked for this task (``mmlu``, ``blimp``), if any."""
    kind: Kind = "score"
    exact: bool = False
    """True for what is counted whole, and not sampled: such a number has no error."""
    doc_hash: str = ""
    prompt_hash: str = ""
    responses: str = ""
    """What the model said, as JSON: [log-likelihood, is_greedy] per choice, or generated text."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A published score without its items: an imported result, which can only be compared unpaired.

    `n` is None when the source does not state it.
    """

    task: str
    metric: str
    value: float
    se: float | None
    n: int | None = None
    direction: Direction = "higher"
    unit: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something the suite asked for that was not measured, and why."""

    what: str
    reason: str
    missing: bool = True
    """True: the run is incomplete without it. False: it does not apply to this checkpoint."""
    group: str = ""
    """The group that the suite named when it asked for this task, if any."""
    unsound: bool = False
    """True if it was not measured because the weights are not finite numbers."""
    items: tuple[str, ...] = ()
    """The items that were left out, where the others of the task were measured."""
    of: int = 0
    """How many items the task has then, with those."""


@dataclass(frozen=True, slots=True)
class Run:
    """One checkpoint under one suite: who, what, where, when."""

    id: str
    checkpoint: Checkpoint
    suite: str
    suite_digest: str
    engine: str
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Versions, device, dtype, seeds, the command line."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint of every data set that was read, by hub name."""
    notes: Sequence[str] = ()
    """What the reader of a report must know: engine fallbacks, differences of the data."""
    skipped: Sequence[Skipped] = ()
    asked: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Of a run in stages: items asked and items there are, by task. Empty: all were asked."""
    requests: Mapping[str, str] = field(default_factory=dict)
    """Digest of all that the model was given, by lm-eval task: what its answers are answers to."""
    started: str = ""
    """ISO 8601, UTC."""
    finished: str = ""
    """Empty while the run is under way or was broken off."""

    @property
    def engine_used(self) -> str:
        """The engine that measured: not the one asked for where that gave place to another."""
        return str(self.environment.get("engine", self.engine))


# ------------------------------------------------------------------ what is asked


class Strict(BaseModel):
    """Base of the files that people write: frozen, and an unknown key is an error."""

    # Names such as model_max_length are ours: pydantic before 2.10 keeps `model_` for itself.
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ProbeSpec(Strict):
    """One probe of a suite; keys other than `probe` and `name` are the probe's own options."""

    probe: str
    name: str = ""
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _options_are_written_flat(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or "options" in raw:
            return raw
        own = {key: raw[key] for key in ("probe", "name") if key in raw}
        return {**own, "options": {key: raw[key] for key in raw if key not in own}}

    @property
    def label(self) -> str:
        """What its records and ``--set`` know it by."""
        return self.name or self.probe.partition(":")[0]

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """The tasks that it lists by name, each with the keys that are written beside it."""
        listed = self.options.get("tasks")
        entries = listed if isinstance(listed, list) else []
        written = [each if isinstance(each, dict) else {"task": each} for each in entries]
        return {str(each["task"]): each for each in written if "task" in each}


class Suite(Strict):
    """What is asked of a checkpoint."""

    name: str
    description: str = ""
    seed: int = 1234
    datasets: str = ""
    """A local mirror of hub data sets, laid out DIR/<org>/<name>."""
    probes: list[ProbeSpec] = Field(min_length=1)

    @model_validator(mode="after")
    def _records_can_be_told_apart(self) -> Suite:
        labels = [probe.label for probe in self.probes]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"two probes are called '{label}': give each a `name`")
        names = [name for probe in self.probes for name in probe.tasks if probe.probe == "harness"]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"task '{name}' is asked for by two probes: keep one of them")
        return self


# ------------------------------------------------------------------ what is found


@dataclass(frozen=True, slots=True)
class Shares:
    """What a graded measure is made of, for exact limits: shares of the items."""

    gained: float
    """Right only for the candidate; of a single run, the share that is right."""
    lost: float | None
    """Right only for the baseline; None for a single run."""
    n: float
    """Independent items that would say as much."""


@dataclass(frozen=True, slots=True)
class Noise:
    """How much a number differs from one checkpoint to the next for no lasting reason."""

    sd: float
    """Standard deviation that this adds to the estimate, beyond that of its items."""
    checkpoints: int
    """How many checkpoints it was measured on."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with the standard error of its items.

    `n` and `clusters` are 0 where the source does not state them: the normal distribution is used.
    """

    value: float
    se: float
    n: int
    clusters: int
    skew: float = 0.0
    """Skewness of the value's distribution, as far as the items tell."""
    shares: Shares | None = None
    noise: Noise | None = None
    """None where nothing is known of other checkpoints: the error is that of the items alone."""
    effective: float | None = None
    """Clusters of equal weight that would say as much (Kish); None: as many as there are."""
    scale: float = 0.0
    """Of a difference that is not graded: standard deviation of the baseline's items."""

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the standard error; 0 where they are not known."""
        counted = self.clusters if self.effective is None else self.effective
        return max(0.0, counted - 1)


class NoteCode(StrEnum):
    """What limits a comparison."""

    MISSING = "missing"
    """One side was not measured, or its value is not a finite number."""
    OTHER_DOCUMENTS = "other documents"
    """The two runs asked different questions."""
    OTHER_PROMPTS = "other prompts"
    """They asked the same questions in another form."""
    MEAN_ONLY = "mean only"
    """Of one side only a mean was published."""
    SHARED_ITEMS = "shared items"
    """One run holds items that the other lacks: the shared ones are compared."""
    TOO_FEW_UNCHANGED = "too few unchanged"
    """No item changed, but there are too few to exclude that some would."""


@dataclass(frozen=True, slots=True)
class Note:
    """A limit of a comparison: the code decides, the text is for the reader."""

    code: NoteCode
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of the candidate, beside the baseline's where there is one."""

    task: str
    metric: str
    direction: Direction
    unit: str
    group: str
    """The group this task belongs to; for the pooled row of a group itself, equal to `task`."""
    candidate: Estimate | None
    baseline: Estimate | None
    delta: Estimate | None
    """candidate - baseline, with the standard error of the difference."""
    paired: bool
    low: float | None
    high: float | None
    """Two-sided 95% interval of the delta."""
    p: float | None
    """Two-sided p-value of delta = 0."""
    note: Note | None = None
    """Why it is unpaired, or what is missing."""
    kind: Kind = "score"
    exact: bool = False
    """True for what is counted whole: it has no error."""

    @property
    def measure(self) -> str:
        """``task/metric``, the name that gate rules use."""
        return f"{self.task}/{self.metric}"
