"""Answers become records: lm-eval's filters and process_results, item by item.

An item that a task's own code cannot grade, where stock lm-eval would end with a traceback, is left
out and counted with its reason; the others keep their scores.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pyr.errors import ContentError
from pyr.files import text_sha256
from pyr.probes.aggregates import groups_of, influences
from pyr.probes.askable import describe
from pyr.probes.compilation import Compiled
from pyr.probes.run_code import in_child, own_code_eval
from pyr.schema import Record, Skipped
from pyr.store.lm_eval_format import Form, Weighted, check_aggregate, form_of


class Grading:
    """Grades one task's items, and keeps what its aggregates need."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self.faults: dict[str, str] = {}
        """Why an item could not be graded."""
        self._raws: dict[str, dict[str, Any]] = defaultdict(dict)
        """What process_results gave, by the metric's label and item."""
        self._open: dict[str, dict[str, Record]] = defaultdict(dict)
        """Records of metrics that are no mean of items: their values are known at the end."""
        self._metrics: dict[str, str] = {}
        """lm-eval's name of the metric by its label."""

    def grade(self, item: str, instances: Sequence[Any]) -> list[Record]:
        """The records of an item whose instances hold their answers; none if it has a fault."""
        try:
            _filter(self.compiled.task, instances)
            graded = list(self._graded(item, instances))
            gold = gold_record(self.compiled, item, instances)
        # A task's own code can raise anything.
        except Exception as error:
            self.faults[item] = f"its answer cannot be graded: {describe(error)}"
            return []
        for label, metric, raw, record in graded:
            self._metrics[label] = metric
            self._raws[label][item] = raw
            if form_of(self.compiled.task, metric) is None:
                self._open[label][item] = record
        return [*(record for *_, record in graded), *gold]

    def regrade(self, item: str, responses: str) -> None:
        """Take in an item that was asked before, by the answers in its records."""
        instances = self.compiled.requests[item]
        answers = iter(json.loads(responses))
        for instance in instances:
            taken = [next(answers) for _ in range(instance.repeats or 1)]
            instance.resps = [tuple(each) if isinstance(each, list) else each for each in taken]
        self.grade(item, instances)

    def check_any(self) -> None:
        """Raise ContentError if no item at all could be graded."""
        if self.faults and not self._raws:
            item, why = next(iter(self.faults.items()))
            raise ContentError(
                f"no item of task '{self.compiled.spec.name}' can be graded.",
                where=f"item {item}: {why}",
                remedy="mend the task's process_results, or take it out of the suite",
            )

    @property
    def pending(self) -> bool:
        """Whether some records lack their value until all items have been asked."""
        return bool(self._open)

    def finish(self, *, whole: bool) -> tuple[list[Record], list[str]]:
        """The records that now have their values, and what there is to note.

        whole: every item was graded here, so that lm-eval's aggregates can be computed.
        Raises MeasureError where our mean of the items is not lm-eval's.
        """
        task, name = self.compiled.task, self.compiled.spec.name
        records: list[Record] = []
        aggregates: list[str] = []
        for label, metric in self._metrics.items():
            form = form_of(task, metric)
            raws = self._raws[label]
            if form is None:
                records += self._influences(label, metric)
                aggregates.append(label)
            elif whole and all(_weighted(form, raw) for raw in raws.values()):
                function = task.aggregation().get(metric, _mean)
                check_aggregate(name, label, form, function, list(raws.values()))
        if not aggregates:
            return records, []
        said = f"{name}: of {', '.join(aggregates)}, no means of items, the error is a jackknife's"
        return records, [said]

    def _influences(self, label: str, metric: str) -> list[Record]:
        open_records = self._open[label]
        clusters = {item: record.cluster for item, record in open_records.items()}
        order = [item for item in self.compiled.order if item in open_records]
        raws = {item: self._raws[label][item] for item in order}
        groups = groups_of(order, clusters)
        found = influences(self.compiled.task.aggregation()[metric], raws, groups)
        if found is None:
            return []  # the values stay unknown, which no rule passes on
        name = self.compiled.spec.name
        return [
            replace(
                open_records[item],
                value=each.value,
                weight=each.weight,
                cluster=f"{name} {each.group}",
            )
            for item, each in found.items()
        ]

    def _graded(
        self, item: str, instances: Sequence[Any]
    ) -> Iterator[tuple[str, str, Any, Record]]:
        """Label, metric, raw result and record of every metric and filter."""
        task, doc = self.compiled.task, instances[0].doc
        common = common_fields(self.compiled, item, instances)
        for filter_name in instances[0].filtered_resps:
            answers = [instance.filtered_resps[filter_name] for instance in instances]
            for metric, raw in _flat(task, self._process(doc, answers)):
                form = form_of(task, metric)
                label = metric if filter_name == "none" else f"{metric},{filter_name}"
                measured = _weighted(form, raw) if form else None
                better = task.higher_is_better().get(metric, True)
                record = Record(
                    metric=form.label(label) if form else label,
                    value=measured.value if measured else math.nan,
                    weight=measured.weight if measured else 1.0,
                    direction=(form and form.direction) or ("higher" if better else "lower"),
                    unit=form.unit if form else "",
                    kind="score" if form else "aggregate",
                    **common,
                )
                yield label, metric, raw, record

    def _process(self, doc: Any, answers: Sequence[Any]) -> Mapping[str, Any]:
        """What process_results gives; in a process of its own where it runs programs itself."""
        process, spec = self.compiled.task.process_results, self.compiled.spec
        results: Mapping[str, Any]
        if not spec.unsafe:
            results = process(doc, answers)
        elif spec.definition.mentions("code_eval"):
            with own_code_eval():
                results = process(doc, answers)
        else:
            results = in_child(process, doc, answers)
        return results


def skipped_items(compiled: Compiled, faults: Mapping[str, str]) -> list[Skipped]:
    """What is to be said of the items of a task that were left out; nothing if none was."""
    left_out = {**compiled.unaskable, **faults}
    if not left_out:
        return []
    total = len(compiled.order) + len(compiled.unaskable)
    by_reason: dict[str, list[str]] = defaultdict(list)
    for item, reason in left_out.items():
        by_reason[reason].append(item)
    reasons = [f"{reason} (item {', '.join(few[:3])})" for reason, few in by_reason.items()]
    more = f"; {len(reasons) - 3} other reasons" if len(reasons) > 3 else ""
    text = f"{len(left_out)} of {total} items left out: {'; '.join(reasons[:3])}{more}"
    spec = compiled.spec
    items = tuple(sorted(left_out))
    return [Skipped(spec.name, text, missing=False, group=spec.group, items=items, of=total)]


def common_fields(compiled: Compiled, item: str, instances: Sequence[Any]) -> dict[str, Any]:
    """What all records of an item have in common."""
    doc = instances[0].doc
    answers = [answer for instance in instances for answer in instance.resps]
    return {
        "task": compiled.spec.name,
        "item": item,
        "cluster": str(doc.get("cluster", "")) if isinstance(doc, dict) else "",
        "group": compiled.spec.group,
        "doc_hash": doc_hash(doc),
        "prompt_hash": text_sha256(instances[0].args[0]),
        "responses": json.dumps(answers),
    }


def gold_record(compiled: Compiled, item: str, instances: Sequence[Any]) -> list[Record]:
    """The bits per byte of the right answer; nothing where there is no single one."""
    gold = _gold(compiled.task, instances[0].doc, len(instances))
    if gold is None:
        return []
    num_bytes = len(instances[gold].args[1].encode())
    bits = -instances[gold].resps[0][0] / math.log(2)
    return [
        Record(
            metric="gold_bpb",
            value=bits / num_bytes if num_bytes else 0.0,
            weight=num_bytes,
            direction="lower",
            unit="bits/byte",
            **common_fields(compiled, item, instances),
        )
    ]


def _gold(task: Any, doc: Any, num_requests: int) -> int | None:
    """Which request scores the right answer; None where there is no single one."""
    if task.OUTPUT_TYPE == "loglikelihood":
        return 0
    if task.OUTPUT_TYPE != "multiple_choice":
        return None
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    if isinstance(gold, str):
        choices = task.doc_to_choice(doc)
        gold = choices.index(gold) if gold in choices else -1
    return gold if isinstance(gold, int) and 0 <= gold < num_requests else None


def doc_hash(doc: Any) -> str:
    """As lm_eval.evaluator writes it beside every sample."""
    from lm_eval.utils import handle_non_serializable

    return text_sha256(
        json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
    )


def _filter(task: Any, instances: Sequence[Any]) -> None:
    for ensemble in task._filters:
        ensemble.apply(instances)


def _flat(task: Any, results: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The metrics of an item; one that holds a dict of numbers is one metric for every key."""
    for metric, raw in results.items():
        if isinstance(raw, dict) and metric not in task.aggregation():
            yield from ((f"{metric}_{key}", value) for key, value in raw.items())
        else:
            yield metric, raw


def _weighted(form: Form, raw: Any) -> Weighted | None:
    """The item's share; None for what is no number: lm-eval's aggregate would fail on it."""
    try:
        return form.item(raw)
    except (TypeError, ValueError, IndexError):
        return None


def _mean(raws: Sequence[Any]) -> float:
    return float(sum(raws) / len(raws))
