"""The nouns of Pyr: plain values with no behaviour, shared by every room.

Frozen dataclasses are made by the program; the pydantic classes (`Suite`, `ProbeSpec`, `Gate`,
`Rule`) are the files that people write, so that an unknown key is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

State = Literal["pass", "fail", "unclear"]
Better = Literal["higher", "lower"]
Axis = Literal["tokens", "step"]

# ------------------------------------------------------------------ what is measured


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One set of weights with its tokenizer; `digest` is what it is, `path` only where it lay."""

    path: str
    name: str
    digest: str
    """sha256 over weights, config, tokenizer and chat template."""
    format: Literal["safetensors", "gguf", "pickle", "imported"]
    digests: Mapping[str, str] = field(default_factory=dict)
    """sha256 by part: weights, config, tokenizer, template."""
    phase: str = ""
    step: int | None = None
    tokens: int | None = None
    """Training tokens seen."""
    chat: bool = False
    """True if the tokenizer brings a chat template."""

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
    better: Better = "higher"
    unit: str = ""
    group: str = ""
    """The group the suite named when it asked for this task (``mmlu``, ``blimp``), if any."""
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
    better: Better = "higher"
    unit: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something the suite asked for that was not measured, and why."""

    what: str
    reason: str
    missing: bool = True
    """True: the run is incomplete without it. False: it does not apply to this checkpoint."""


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
    started: str = ""
    """ISO 8601, UTC."""
    finished: str = ""
    """Empty while the run is under way or was broken off."""


# ------------------------------------------------------------------ what is asked


class Strict(BaseModel):
    """Base of the files that people write: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


class Rule(Strict):
    """One thing that must hold: a measure (``task/metric``, globs allowed) and exactly one word."""

    measure: str
    at_least: float | None = None
    at_most: float | None = None
    not_worse_by: float | None = Field(default=None, ge=0)
    better_by: float | None = Field(default=None, ge=0)
    call: str | None = None
    """``module:function``, called with the Comparison; returns a Finding."""
    watch: bool = False
    """Say what the rule finds, but let it close no gate: for tasks that decide nothing yet."""
    why: str = ""

    @property
    def word(self) -> str:
        """The one word given."""
        return next(word for word in _WORDS if getattr(self, word) is not None)

    @model_validator(mode="after")
    def _exactly_one_word(self) -> Rule:
        given = [word for word in _WORDS if getattr(self, word) is not None]
        if len(given) != 1:
            found = ", ".join(given) or "none"
            raise ValueError(f"a rule needs exactly one of {', '.join(_WORDS)}; found {found}")
        return self


_WORDS = ("at_least", "at_most", "not_worse_by", "better_by", "call")
_ALLOWED = {
    "guards": _WORDS,
    "floors": ("at_least", "at_most", "call"),
    "keeps": ("not_worse_by", "call"),
    "teaches": ("better_by", "call"),
}
"""The parts of a gate in the order they are judged, and the words that each may use."""


class Gate(Strict):
    """What a checkpoint must satisfy before training may go on: what its phase is for.

    A part of one rule may be written without its dash.
    """

    name: str
    description: str = ""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Level of every one-sided bound."""
    unclear: Literal["block", "allow"] = "block"
    """Whether a finding that cannot be decided keeps the gate closed."""
    family: Literal["holm", "none"] = "holm"
    """Whether a fail is held to the number of rules (Holm), or each rule stands for itself."""
    teaches: list[Rule] = Field(default_factory=list)
    """What the phase must have improved: ``better_by``."""
    keeps: list[Rule] = Field(default_factory=list)
    """What it may not have cost: ``not_worse_by``."""
    floors: list[Rule] = Field(default_factory=list)
    """What no checkpoint may fall below, or rise above: ``at_least``, ``at_most``."""
    guards: list[Rule] = Field(default_factory=list)
    """Health, tokenizer, throughput, memory: any word."""

    @property
    def parts(self) -> dict[str, list[Rule]]:
        """The rules by part, in the order they are judged."""
        return {part: getattr(self, part) for part in _ALLOWED}

    @property
    def rules(self) -> list[Rule]:
        """All rules, in the order they are judged."""
        return [rule for rules in self.parts.values() for rule in rules]

    @field_validator("teaches", "keeps", "floors", "guards", mode="before")
    @classmethod
    def _one_rule_needs_no_list(cls, raw: Any) -> Any:
        return [raw] if isinstance(raw, dict) else raw

    @model_validator(mode="after")
    def _parts_use_their_words(self) -> Gate:
        if not self.rules:
            raise ValueError(f"a gate needs a rule in one of {', '.join(_ALLOWED)}")
        for part, rules in self.parts.items():
            for rule in rules:
                if rule.word not in _ALLOWED[part]:
                    asked = " or ".join(_ALLOWED[part])
                    raise ValueError(f"{part}: {rule.measure} says {rule.word}, not {asked}")
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


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of the candidate, beside the baseline's where there is one."""

    task: str
    metric: str
    better: Better
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
    note: str = ""
    """Why it is unpaired, or what is missing."""

    @property
    def measure(self) -> str:
        """``task/metric``, the name that gate rules use."""
        return f"{self.task}/{self.metric}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says of one measure."""

    measure: str
    rule: str
    """The rule in words, as ``not_worse_by 0.02``."""
    state: State
    observed: Estimate | None
    """The estimate that was judged: the delta, or the candidate's own score."""
    bound: float | None
    """The confidence bound that was held against the rule."""
    n_needed: int | None
    """Items that would decide an unclear finding, if the observed value were the true one."""
    sentence: str
    why: str = ""
    part: str = ""
    """The part of the gate that the rule stands in: teaches, keeps, floors or guards."""
    p_fail: float | None = None
    """One-sided p-value of what the rule asks; None where nothing was tested."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A person's decision to go on in spite of a verdict."""

    reason: str
    when: str
    """ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer with its reasons."""

    gate: str
    run: str
    baseline: str
    state: State
    findings: Sequence[Finding]
    digests: Mapping[str, str] = field(default_factory=dict)
    """sha256 of gate, suite, both checkpoints, and the records of every run it rests on."""
    history: Sequence[str] = ()
    """Runs that the checkpoint noise was measured on."""
    means: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What a run that is a mean of several is made of, by its id."""
    accepted: Acceptance | None = None

    @property
    def opens(self) -> bool:
        """True if training may go on."""
        return self.state == "pass" or self.accepted is not None
