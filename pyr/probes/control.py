"""The counterfactual control: the same items, each asked with the context of another one.

A score that does not fall when the question is another's does not come from reading the question,
and neither does its change from one checkpoint to the next. Of every metric of an item this gives
``swapped_<metric>``, the score under another item's context, and ``reads_<metric>``, the item's own
score less that: what reading the question is worth, as one number an item, which compares in pairs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from pyr.errors import ContentError
from pyr.probes.compilation import Compiled
from pyr.schema import Record


def swapped(compiled: Compiled, items: Sequence[str]) -> dict[str, list[Any]]:
    """lm-eval Instances of these items with the context of the next item in the suite's order.

    Next is the first one after it whose context is another. Raises ContentError for a task whose
    items have no one context, and for one whose items all have the same.
    """
    places = {item: place for place, item in enumerate(compiled.order)}
    contexts = [_context(compiled, item) for item in compiled.order]
    found: dict[str, list[Any]] = {}
    for item in items:
        place = places[item]
        later = [*contexts[place + 1 :], *contexts[:place]]
        other = next((context for context in later if context != contexts[place]), None)
        if other is None:
            raise ContentError(
                f"task '{compiled.spec.name}': all items have the same context.",
                remedy="leave swap_contexts out for this task",
            )
        found[item] = [_asked(each, other) for each in compiled.requests[item]]
    return found


def _context(compiled: Compiled, item: str) -> str:
    requests = compiled.requests[item]
    kinds = {each.request_type for each in requests}
    # An empty context is that of a choice alone, as lm-eval asks it for acc_mutual_info.
    contexts = {str(each.args[0]) for each in requests} - {""}
    if kinds - {"loglikelihood", "generate_until"} or len(contexts) != 1:
        raise ContentError(
            f"task '{compiled.spec.name}': item {item} has no one context that could be swapped.",
            remedy="leave swap_contexts out for this task",
        )
    return contexts.pop()


def _asked(instance: Any, context: str) -> Any:
    """The same request behind another context, with nothing answered yet."""
    arguments = (context if instance.args[0] else "", *instance.args[1:])
    return dataclasses.replace(instance, arguments=arguments, resps=[], filtered_resps={})


def contrasted(own: Sequence[Record], other: Sequence[Record]) -> Iterator[Record]:
    """What an item scores under another's context, and what its own is worth.

    own, other: the records of one item, metric by metric.
    """
    by_metric = {record.metric: record for record in own}
    for record in other:
        mine = by_metric[record.metric]
        # The prompt is the item's own: two checkpoints swap alike, as the order is the suite's.
        theirs = dataclasses.replace(
            record, metric=f"swapped_{record.metric}", prompt_hash=mine.prompt_hash
        )
        yield theirs
        worth = mine.value - record.value
        yield dataclasses.replace(
            theirs, metric=f"reads_{record.metric}", value=worth, responses=""
        )
