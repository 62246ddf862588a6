"""The samples probe: what a checkpoint writes when it is left to write.

Fixed prompts by domain, several seeds each, long texts drawn in one call of the engine. Every text
is one item with its repetition, its ending and its style; the style is held against reference texts
of the domain (`style.py`), so that a shift towards textbooks or stiffness is a number with an
interval. Texts of one prompt share a cluster.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pyr import content, datasets
from pyr.errors import ContentError, did_you_mean
from pyr.files import text_sha256
from pyr.probes import Chunk, Subject, skip_without_template, style
from pyr.probes.style import Floats, Yardstick
from pyr.schema import Direction, Record, Strict
from pyr.store import Document
from pyr.tokenization import listed

Form = Literal["prose", "python", "chat"]
FEWEST_REFERENCES = 8
"""Reference texts of which a spread can be told."""
_OF_ONE_FORM = ("parses", "ascii", "ends")
AT_REFERENCE = "@reference"
"""Ends the name of a measure that was taken of the reference texts."""


class SamplesOptions(Strict):
    """What to write, how long, and what to hold it against."""

    prompts: str = "evals/prompts/samples.yaml"
    domains: list[str] = Field(default_factory=list)
    """Of the prompt file's domains; all if empty."""
    references: dict[str, str] = Field(default_factory=dict)
    """Other reference texts by domain: a file or folder of texts."""
    limit: int | None = Field(default=None, gt=0)
    """Prompts a domain."""
    seeds: int = Field(default=3, gt=0)
    """Texts a prompt."""
    tokens: int = Field(default=256, gt=0)
    temperature: float = Field(default=0.8, gt=0)
    top_p: float = Field(default=0.95, gt=0, le=1)


class Domain(Strict):
    """One kind of text in a prompt file."""

    form: Form
    reference: str
    """A file or folder of texts as they should be; of a chat the assistant's turns count."""
    prompts: list[str] = Field(min_length=1)


class Prompts(Strict):
    """A prompt file."""

    textbooks: str = ""
    """The domain that the others may drift towards."""
    domains: dict[str, Domain]


@dataclass(frozen=True, slots=True)
class Written:
    """One text that the model wrote."""

    prompt: int
    seed: int
    context: str
    text: str
    ended: bool

    @property
    def item(self) -> str:
        """The text's place: prompt and seed."""
        return f"{self.prompt}.{self.seed}"


class Samples:
    """Draws texts and describes each of them."""

    def __init__(self, options: dict[str, Any], *, name: str) -> None:
        self.name = name
        self.options = content.check(options, SamplesOptions, where=f"probe '{name}'")

    def reads(self) -> Iterator[str]:
        """The file of prompts; of every domain the reference texts."""
        yield datasets.fingerprint(content.given_or_shipped(self.options.prompts))
        for domain in self._prompts().domains.values():
            yield datasets.fingerprint(content.given_or_shipped(domain.reference))

    def run(self, subject: Subject) -> Iterator[Chunk]:
        """One chunk: distances need all texts of a domain."""
        if not subject.earlier.empty:
            return
        prompts = self._prompts()
        domains = dict(prompts.domains)
        for name in [name for name, each in domains.items() if each.form == "chat"]:
            if not subject.checkpoint.chat:
                del domains[name]
                yield skip_without_template(f"samples_{name}")
        # Before anything is drawn: a reference that is not there must not cost minutes.
        rulers = {name: self._ruler(name, each) for name, each in domains.items()}
        total = sum(len(each.prompts) for each in domains.values()) * self.options.seeds
        subject.progress(self.name, 0, total)
        written = self._write(domains, subject)
        for name, texts in written.items():
            textbooks = rulers.get(prompts.textbooks) if name != prompts.textbooks else None
            described = Described(name, domains[name], rulers[name], textbooks)
            yield Chunk(records=list(described.records(texts)), documents=_documents(name, texts))
        subject.progress(self.name, total, total)

    def _prompts(self) -> Prompts:
        """The prompt file, as far as the options ask for it."""
        file = content.given_or_shipped(self.options.prompts)
        prompts = content.read(file, Prompts)
        known = prompts.domains
        for name in [*self.options.domains, *self.options.references]:
            if name not in known:
                raise ContentError(
                    f"probe '{self.name}': there are no prompts of a domain '{name}'.",
                    where=str(file),
                    remedy=did_you_mean(name, known) or f"there are: {', '.join(known)}",
                )
        chosen = {
            name: each.model_copy(
                update={
                    "prompts": each.prompts[: self.options.limit],
                    "reference": self.options.references.get(name, each.reference),
                }
            )
            for name, each in known.items()
            if name in (self.options.domains or known)
        }
        return prompts.model_copy(update={"domains": chosen})

    def _ruler(self, name: str, domain: Domain) -> Yardstick:
        """What is usual in the domain's reference texts."""
        found = [features(domain.form, text) for text in reference_texts(domain)]
        usable = [each for each in found if each is not None]
        if len(usable) < FEWEST_REFERENCES:
            raise ContentError(
                f"the reference of domain '{name}' has {len(usable)} texts of ten words or more, "
                f"too few to measure a distance from.",
                where=domain.reference,
                remedy=f"give it {FEWEST_REFERENCES} or more",
            )
        return style.yardstick(usable, style.FEATURES[_kind(domain.form)])

    def _write(self, domains: dict[str, Domain], subject: Subject) -> dict[str, list[Written]]:
        """The texts of every domain, all drawn in one call."""
        from lm_eval.api.instance import Instance

        options = {
            "until": [],
            "max_gen_toks": self.options.tokens,
            "do_sample": True,
            "temperature": self.options.temperature,
            "top_p": self.options.top_p,
        }
        places: list[tuple[str, int, int, str]] = []
        requests: list[Any] = []
        for name, domain in domains.items():
            for number, prompt in enumerate(domain.prompts):
                context = _context(subject.lm, domain.form, prompt)
                asked = Instance("generate_until", {}, (context, options), 0, (name, number, 1))
                # The same request again is drawn anew.
                requests += [asked] * self.options.seeds
                places += [(name, number, seed, context) for seed in range(self.options.seeds)]
        answers = _draw(subject, requests, self.options.tokens)
        written: dict[str, list[Written]] = {name: [] for name in domains}
        for (name, number, seed, context), (text, ended) in zip(places, answers, strict=True):
            written[name].append(Written(number, seed, context, text, ended))
        return written


def _context(lm: Any, form: Form, prompt: str) -> str:
    if form != "chat":
        return prompt
    return str(lm.apply_chat_template([{"role": "user", "content": prompt}]))


def _draw(subject: Subject, requests: Sequence[Any], tokens: int) -> list[tuple[str, bool]]:
    """Each text, and whether it ended by itself."""
    import torch

    lm: Any = subject.lm
    # Not imported at the top: it loads torch, and here the model is loaded already.
    from pyr.engines.fast.lm import FastLM

    if isinstance(lm, FastLM):
        return lm.generate_ended(requests)
    # An engine that draws from torch's own generator: its state is put back afterwards.
    with torch.random.fork_rng():
        torch.manual_seed(subject.seed)
        texts = lm.generate_until(requests, disable_tqdm=True)
    counts = [len(lm.tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    return [(text, count < tokens) for text, count in zip(texts, counts, strict=True)]


def _documents(name: str, texts: Sequence[Written]) -> list[Document]:
    return [
        Document(task=f"samples_{name}", item=each.item, prompt=each.context, choices=(), target="")
        for each in texts
    ]


# ------------------------------------------------------------------ texts as features


def _kind(form: Form) -> str:
    return "python" if form == "python" else "prose"


def features(form: Form, text: str, *, whole: bool = True) -> dict[str, float] | None:
    """The features of a text of that form; None if it is too short to have any."""
    return style.python(text, whole=whole) if form == "python" else style.prose(text, whole=whole)


def reference_texts(domain: Domain) -> list[str]:
    """The texts that a domain is held against. Raises UsageError if they are not there."""
    path = content.given_or_shipped(domain.reference)
    texts = [document.text for document in listed.read_texts([path], Path())]
    if domain.form != "chat":
        return texts
    turns = [re.findall(r"^Assistant:\s*(.*?)\s*(?=^User:|\Z)", t, re.M | re.S) for t in texts]
    return [turn for own, text in zip(turns, texts, strict=True) for turn in (own or [text])]


# ------------------------------------------------------------------ records


@dataclass(frozen=True, slots=True)
class Described:
    """A domain's texts as records."""

    name: str
    domain: Domain
    ruler: Yardstick
    textbooks: Yardstick | None

    def records(self, texts: Sequence[Written]) -> Iterator[Record]:
        """Every measure of every text, and of the reference texts."""
        for each in texts:
            yield from self._repetition(each, texts)
            yield from self._form(each)
        yield from self._style(texts)
        yield from self._reference()

    def _repetition(self, each: Written, texts: Sequence[Written]) -> Iterator[Record]:
        said = style.units(each.text)
        others = [
            style.units(other.text)
            for other in texts
            if other.prompt == each.prompt and other.seed != each.seed
        ]
        heard = json.dumps([each.text])
        yield self._record(each, "repeated_4grams", style.repeated(said, 4), responses=heard)
        if others:
            yield self._record(each, "shared_4grams", style.shared(said, others, 4))
        yield self._record(each, "before_loop", style.before_loop(said), direction="higher")
        looped = float(style.loop(said) is not None)
        yield self._record(each, "loops", looped, direction="none")

    def _form(self, each: Written) -> Iterator[Record]:
        form, text = self.domain.form, each.text
        yield self._record(each, "empty", float(not style.words(text)))
        if form == "python":
            yield self._record(each, "parses", style.parses(each.context, text), direction="higher")
            yield self._record(each, "ascii", style.ascii_share(text), direction="higher")
        else:
            yield self._record(each, "latin_letters", style.latin(text), direction="higher")
            told = float(len(style.words(text)) >= style.FEWEST_WORDS)
            said = float(style.english(text))
            yield self._record(each, "english", said, weight=told, direction="higher")
        # Only an answer to somebody must come to an end by itself.
        if form == "chat":
            yield self._record(each, "ends", float(each.ended), direction="higher")
        else:
            yield self._record(each, "ended", float(each.ended), direction="none")

    def _style(self, texts: Sequence[Written]) -> Iterator[Record]:
        found = [features(self.domain.form, each.text, whole=each.ended) for each in texts]
        usable = [each for each in found if each is not None]
        scores = self._scores(style.table(usable, self.ruler.names)) if usable else {}
        row = iter(range(len(usable)))
        for each, known in zip(texts, found, strict=True):
            place = next(row) if known is not None else None
            for metric, direction, unit in self._metrics():
                # A text too short to have a style has no weight.
                value = float(scores[metric][place]) if place is not None else 0.0
                weight = float(place is not None)
                yield self._record(
                    each, metric, value, weight=weight, direction=direction, unit=unit
                )

    def _metrics(self) -> Iterator[tuple[str, Direction, str]]:
        """Name, direction and unit of each metric of style."""
        yield "distance", "lower", "sd"
        if self.domain.form != "python":
            yield "stilted", "lower", "sd"
        if self._gives_way():
            yield "textbook", "lower", ""
        for name in self.ruler.names:
            yield f"distance_{name}", "none", "sd"
        for name in self.ruler.names:
            yield name, "none", ""

    def _gives_way(self) -> bool:
        if self.textbooks is None or self.domain.form == "python":
            return False
        return style.toward(self.ruler, self.textbooks, self.ruler.table_IF) is not None

    def _scores(self, table_IF: Floats) -> dict[str, Floats]:
        """By metric the value of every text that has a style."""
        names = self.ruler.names
        parts_IF = self.ruler.distances(table_IF)
        scores: dict[str, Floats] = {"distance": parts_IF.mean(axis=1)}
        scores |= {f"distance_{name}": parts_IF[:, f] for f, name in enumerate(names)}
        scores |= {name: table_IF[:, f] for f, name in enumerate(names)}
        if self.domain.form != "python":
            scores["stilted"] = style.stiffness(self.ruler, table_IF)
        if self.textbooks is not None and self._gives_way():
            way = style.toward(self.ruler, self.textbooks, table_IF)
            scores["textbook"] = way if way is not None else np.zeros(len(table_IF))
        return scores

    def _reference(self) -> Iterator[Record]:
        """What the reference texts themselves measure."""
        own = {name: self.ruler.table_IF[:, f] for f, name in enumerate(self.ruler.names)}
        own["distance"] = self.ruler.floor().mean(axis=1)
        texts = [style.units(text) for text in reference_texts(self.domain)]
        own["repeated_4grams"] = np.array([style.repeated(text, 4) for text in texts])
        for metric, values in own.items():
            for number, value in enumerate(values.tolist()):
                yield Record(
                    task=f"samples_{self.name}",
                    metric=metric + AT_REFERENCE,
                    item=f"reference {number}",
                    value=value,
                    direction="none",
                    group="samples",
                    kind="generation",
                )

    def _record(
        self,
        each: Written,
        metric: str,
        value: float,
        *,
        weight: float = 1.0,
        direction: Direction = "lower",
        unit: str = "",
        responses: str = "",
    ) -> Record:
        return Record(
            task=f"samples_{self.name}",
            metric=metric,
            item=each.item,
            value=value,
            weight=weight,
            cluster=f"{self.name} {each.prompt}",
            direction=direction,
            unit=unit,
            # What one form alone has is no measure of all.
            group="" if metric in _OF_ONE_FORM else "samples",
            doc_hash=text_sha256(f"{self.name} {self.domain.prompts[each.prompt]}"),
            prompt_hash=text_sha256(each.context),
            responses=responses,
            kind="generation",
        )
