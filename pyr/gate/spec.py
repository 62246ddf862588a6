"""What a gate asks and what it answers: the gate files that people write, findings and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pyr.schema import Estimate, Kind, State, Strict


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
    def task(self) -> str:
        """The task that the rule names, or a pattern of tasks."""
        return self.measure.rpartition("/")[0]

    @property
    def word(self) -> str:
        """The one word given."""
        return next(word for word in _WORDS if getattr(self, word) is not None)

    @property
    def value(self) -> float | None:
        """The number that the rule names; None of a ``call``."""
        value = getattr(self, self.word)
        return None if self.word == "call" else float(value)

    def __str__(self) -> str:
        """The rule as it was written: ``not_worse_by 0.02``."""
        return f"{self.word} {self.call if self.value is None else format(self.value, 'g')}"

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


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says of one measure."""

    measure: str
    rule: Rule
    state: State
    observed: Estimate | None
    """The estimate that was judged: the delta, or the candidate's own score."""
    bound: float | None
    """The confidence bound that was held against the rule."""
    n_needed: int | None
    """Items that would decide an unclear finding, if the observed value were the true one."""
    statement: str
    """What was seen and what it means for the rule, without a full stop."""
    remarks: tuple[str, ...] = ()
    """What changed the state afterwards, each to be read on from the statement."""
    why: str = ""
    kind: Kind = "score"
    """What the measure is about; a ``check`` is one of the checkpoint's health."""
    part: str = ""
    """The part of the gate that the rule stands in: teaches, keeps, floors or guards."""
    p_fail: float | None = None
    """One-sided p-value of what the rule asks; None where nothing was tested."""

    @property
    def sentence(self) -> str:
        """The statement and its remarks as one sentence."""
        text = "".join((self.statement.removesuffix("."), *self.remarks))
        return text if text.endswith((".", "?")) else f"{text}."


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
    definition: Gate | None = None
    """The gate itself, so that the verdict can be verified without its file."""

    @property
    def opens(self) -> bool:
        """True if training may go on."""
        return self.state == "pass" or self.accepted is not None
