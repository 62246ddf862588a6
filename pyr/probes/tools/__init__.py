"""The tools probe: does the model call the right tool, rightly, and none where none is called for?

Each item is asked twice. It is answered freely, and the answer graded; and what is right is
weighed, which shows progress long before a whole call comes out right: the bits per byte of the
right answer (`gold_bpb`), by how much the right tool's name is likelier than the likeliest wrong
one (`name_margin`, in nats; `name_choice` is 1 where it is), and whether a call is likelier to
begin where the tools serve the request than where they do not (`restraint`; chance is 0.5).
No lm-eval task: tools go through the chat template's own argument.
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pyr import content, datasets
from pyr.data.chat_formats import ToolPrompts
from pyr.errors import ContentError, DataMissing, MeasureError, UsageError, did_you_mean
from pyr.files import text_sha256
from pyr.probes import Chunk, Subject, fixed_order, skip_without_template
from pyr.probes.needs import Need, no_template
from pyr.probes.tools.grade import grade
from pyr.probes.tools.items import Item, bfcl_items, calls_only, opening, own_items
from pyr.schema import Checkpoint, Record, Skipped, Strict
from pyr.store import Document

_CALL = "<tool_call>"
_STYLE = (
    "bfcl_style: questions and matching rules of BFCL under Pyr's own prompt; the scores are no "
    "leaderboard scores."
)


class ToolsOptions(Strict):
    """Which items, and how many."""

    items: Literal["pyr_tools", "bfcl_style"] = "pyr_tools"
    files: str = ""
    """For bfcl_style: the folder with the leaderboard's files."""
    categories: list[str] = Field(default_factory=list)
    """All there are if empty."""
    limit: int | None = Field(default=None, gt=0)
    """Items a category, drawn in the suite's fixed random order."""
    max_gen_toks: int = Field(default=128, gt=0)
    constrained: bool = False
    """Ask for calls once more, held to their grammar, and record these scores beside the free."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An item with its number in its category and its prompts."""

    number: str
    item: Item
    prompt: str
    twin: str


class Tools:
    """Asks a category at a time: all its answers in one call of the engine, all weights in another.

    The categories are tasks of one group, so that each has its scores and all have one together.
    """

    def __init__(self, options: dict[str, Any], *, name: str) -> None:
        self.name = name
        self.options = content.check(options, ToolsOptions, where=f"probe '{name}'")

    def needs(self, checkpoint: Checkpoint | None, mirror: Path | None) -> Iterator[Need]:
        """A chat template, the leaderboard's files, xgrammar: each where it is asked for."""
        if checkpoint and not checkpoint.chat:
            yield no_template(self.name)
            return
        try:
            self._folder()
        except DataMissing as missing:
            yield Need(f"{missing.what} ({missing.where})", _name_files(self.name))
        if self.options.constrained and importlib.util.find_spec("xgrammar") is None:
            yield Need("xgrammar is not installed", "pip install 'pyr-lm[grammar]'")

    def reads(self) -> Iterator[str]:
        """The items' folder, where it is."""
        with suppress(DataMissing):
            yield datasets.fingerprint(self._folder())

    def run(self, subject: Subject) -> Iterator[Chunk]:
        """Of every category its documents, then its records."""
        if not subject.checkpoint.chat:
            yield skip_without_template(self.name)
            return
        try:
            folder = self._folder()
        except DataMissing as missing:
            if not subject.skip_missing:
                raise
            yield Chunk(skipped=[Skipped(self.name, str(missing).splitlines()[0])])
            return
        if self.options.constrained and subject.settings.engine != "fast":
            raise UsageError(
                "only the fast engine holds answers to a grammar.",
                where=f"probe '{self.name}': constrained",
                remedy="add --engine fast",
            )
        own = self.options.items == "pyr_tools"
        items = own_items(folder) if own else bfcl_items(folder)
        prompts = ToolPrompts(subject.lm.tokenizer, where=subject.checkpoint.path)
        data = {f"task:{self.options.items}": datasets.fingerprint(folder)}
        yield Chunk(data=data, notes=[] if own else [_STYLE])
        for category in self._categories(items):
            task = f"{self.options.items}_{category}"
            chosen = [item for item in items if item.category == category]
            asked = _ask_in_order(chosen, task, prompts, subject.seed, self.options.limit)
            notes = _cut(task, asked, subject.lm, self.options.max_gen_toks)
            yield Chunk(documents=[_document(task, each) for each in asked], notes=notes)
            yield from self._measure(task, asked, subject)

    def _folder(self) -> Path:
        if self.options.items == "pyr_tools":
            return content.path("evals/tasks/pyr_tools")
        if not self.options.files or not Path(self.options.files).is_dir():
            raise DataMissing(
                "the files of the Berkeley Function-Calling Leaderboard are not on this machine.",
                where=f"{self.name}.files: {self.options.files or 'not given'}",
                remedy=f"{_name_files(self.name)}  (or pass --skip-missing)",
            )
        return Path(self.options.files)

    def _categories(self, items: Sequence[Item]) -> list[str]:
        there = list(dict.fromkeys(item.category for item in items))
        for wanted in self.options.categories:
            if wanted not in there:
                raise ContentError(
                    f"{self.options.items} has no category '{wanted}'.",
                    where=f"probe '{self.name}'",
                    remedy=did_you_mean(wanted, there) or f"there are: {', '.join(there)}",
                )
        return self.options.categories or sorted(there)

    def _measure(self, task: str, asked: Sequence[Asked], subject: Subject) -> Iterator[Chunk]:
        done = set(subject.earlier.loc[subject.earlier["task"] == task, "item"])
        todo = [each for each in asked if each.number not in done]
        subject.progress(task, len(asked) - len(todo), len(asked))
        if not todo:
            return
        group, length = self.options.items, self.options.max_gen_toks
        texts = _generate(subject.lm, task, todo, length)
        weighed = _weigh(subject.lm, task, todo)
        records = [
            record
            for each, text, weights in zip(todo, texts, weighed, strict=True)
            for record in [*_graded(group, task, each, text), *_weighed(group, task, each, weights)]
        ]
        if self.options.constrained:
            calling = [each for each in todo if each.item.expected]
            texts = _generate(subject.lm, task, calling, length, constrained=True)
            for each, text in zip(calling, texts, strict=True):
                records += _graded(group, task, each, text, suffix="_constrained")
        yield Chunk(records=records)
        subject.progress(task, len(asked), len(asked))


def _name_files(probe: str) -> str:
    return f"name their folder: --set {probe}.files=DIR"


def _ask_in_order(
    items: Sequence[Item], task: str, prompts: ToolPrompts, seed: int, limit: int | None
) -> list[Asked]:
    """The items in the suite's fixed random order, so that any prefix is a fair sample."""
    order = fixed_order(seed, task, len(items))
    return [
        Asked(
            str(number),
            items[number],
            prompts.render(items[number].tools, items[number].turns),
            prompts.render(items[number].tools, items[number].twin) if items[number].twin else "",
        )
        for number in order[:limit]
    ]


def _cut(task: str, asked: Sequence[Asked], lm: Any, max_gen_toks: int) -> list[str]:
    """What is to be said of prompts that do not fit: engines cut their beginning, the tools."""
    prompts = [each.prompt for each in asked]
    lengths = list(map(len, lm.tokenizer(prompts)["input_ids"]))
    cut = sum(length + max_gen_toks > lm.max_length for length in lengths)
    if not cut:
        return []
    return [
        f"{task}: {cut} of {len(asked)} prompts lose their beginning, at {lm.max_length} tokens."
    ]


# ------------------------------------------------------------------ asking


def _generate(
    lm: Any, task: str, asked: Sequence[Asked], max_gen_toks: int, *, constrained: bool = False
) -> list[str]:
    """All answers in one call. constrained: nothing but calls that fit the tools' schemas."""
    how = {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": max_gen_toks}
    requests = [
        _instance("generate_until", task, each, (each.prompt, how | grammar))
        for each in asked
        for grammar in [{"structural_tag": calls_only(each.item.tools)} if constrained else {}]
    ]
    if not requests:
        return []
    answers: list[str] = lm.generate_until(requests, disable_tqdm=True)
    return answers


Weights = Mapping[tuple[str, str], float]
"""(context, continuation) -> its log-likelihood in nats."""


def _weigh(lm: Any, task: str, asked: Sequence[Asked]) -> list[Weights]:
    """What each item needs to have weighed, in one call: prompts are shared."""
    pairs = [(each, pair) for each in asked for pair in _pairs(each)]
    requests = [_instance("loglikelihood", task, each, pair) for each, pair in pairs]
    answers = lm.loglikelihood(requests, disable_tqdm=True)
    found: dict[str, dict[tuple[str, str], float]] = {each.number: {} for each in asked}
    for (each, pair), (likelihood, _) in zip(pairs, answers, strict=True):
        if not math.isfinite(likelihood):
            raise MeasureError(
                f"{task}, item {each.number}: log-likelihood {likelihood}.",
                remedy="the weights or the arithmetic overflow: try --set dtype=float32",
            )
        found[each.number][pair] = likelihood
    return [found[each.number] for each in asked]


def _pairs(asked: Asked) -> list[tuple[str, str]]:
    item = asked.item
    said = [item.gold] if item.gold else []
    if item.wrong_names:
        said += [opening(name) for name in {*item.wrong_names, *_right_names(item)}]
    pairs = [(asked.prompt, text) for text in said]
    if asked.twin:
        pairs += [(asked.prompt, _CALL), (asked.twin, _CALL)]
    return pairs


def _right_names(item: Item) -> set[str]:
    """Any of them may come first."""
    return {each.name for each in item.expected}


def _instance(kind: str, task: str, asked: Asked, arguments: tuple[Any, ...]) -> Any:
    from lm_eval.api.instance import Instance

    return Instance(kind, {}, arguments, 0, (task, int(asked.number), 1))


# ------------------------------------------------------------------ records


def _graded(
    group: str, task: str, asked: Asked, text: str, *, suffix: str = ""
) -> Iterator[Record]:
    common = _common(group, task, asked)
    said = json.dumps([text])
    for metric, score in grade(asked.item, text).items():
        yield Record(
            metric=metric + suffix,
            value=score.value,
            direction=score.direction,
            responses=said,
            **common,
        )


def _common(group: str, task: str, asked: Asked) -> dict[str, Any]:
    return {
        "task": task,
        "item": asked.number,
        "cluster": asked.item.cluster,
        "group": group,
        "doc_hash": text_sha256(json.dumps(asdict(asked.item), default=str)),
        "prompt_hash": text_sha256(asked.prompt),
    }


def _weighed(group: str, task: str, asked: Asked, weights: Weights) -> Iterator[Record]:
    common = _common(group, task, asked)
    item, prompt = asked.item, asked.prompt
    if item.gold:
        bits = -weights[prompt, item.gold] / math.log(2)
        num_bytes = len(item.gold.encode())
        yield Record(
            metric="gold_bpb",
            value=bits / num_bytes,
            weight=num_bytes,
            direction="lower",
            unit="bits/byte",
            **common,
        )
    if item.wrong_names:
        by_name = {
            name: weights[prompt, opening(name)]
            for name in (*sorted(_right_names(item)), *item.wrong_names)
        }
        margin = max(by_name[name] for name in _right_names(item))
        margin -= max(by_name[name] for name in item.wrong_names)
        said = json.dumps(by_name)
        yield Record(metric="name_margin", value=margin, unit="nats", responses=said, **common)
        yield Record(metric="name_choice", value=float(margin > 0), responses=said, **common)
    if asked.twin:
        more = weights[asked.twin, _CALL] - weights[prompt, _CALL]
        likelier = 0.5 if more == 0 else float(more > 0)
        yield Record(metric="restraint", value=likelier, responses=json.dumps(more), **common)


def _document(task: str, asked: Asked) -> Document:
    item = asked.item
    target = item.gold or "a plain answer, no call"
    return Document(task=task, item=asked.number, prompt=asked.prompt, choices=(), target=target)
