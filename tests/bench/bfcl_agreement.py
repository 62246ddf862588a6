"""Pyr's verdicts on tool calls beside those of BFCL's own checker.

    python tests/bench/bfcl_agreement.py CHECKER DATA

CHECKER: a checkout's `berkeley-function-call-leaderboard`, which holds `bfcl_eval/`. DATA: a folder
that `pyr.probes.tools.items` reads. Judged are the calls of `tests/probes/tools/factories_calls.py`
and, for every public question, its right calls and many that were changed in one place. Every
disagreement must have one of two reasons, each proven with the checker itself: its greedy matching
misses an assignment, or it crashes. Exit code 1 if one has neither.
"""

from __future__ import annotations

import itertools
import json
import sys
import types
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "probes" / "tools"))
from factories_calls import (  # noqa: E402
    LEFT_OUT,
    RIGHT_SEVERAL,
    RIGHT_VALUES,
    TOOLS,
    WRONG_SEVERAL,
    WRONG_VALUES,
)

from pyr.probes.tools.grade import (  # noqa: E402
    Call,  # noqa: E402
    grade,
    parse,
)
from pyr.probes.tools.items import (  # noqa: E402  # noqa: E402
    Item,
    bfcl_items,
    category_files,
    expected_calls,
    hermes,
    json_schema,
    read_rows,
)

Calls = list[dict[str, dict[str, Any]]]
"""As BFCL has them: {name: arguments} for each."""


class PublicChecker:
    """`ast_checker` without the leaderboard's model handlers, which need dozens of packages."""

    def __init__(self, folder: Path) -> None:
        stub = types.ModuleType("bfcl_eval.constants.model_config")
        plain = types.SimpleNamespace(underscore_to_dot=False)
        stub.MODEL_CONFIG_MAPPING = defaultdict(lambda: plain)
        sys.modules[stub.__name__] = stub
        sys.path.insert(0, str(folder))
        from bfcl_eval.constants.enums import Language
        from bfcl_eval.eval_checker.ast_eval import ast_checker

        self._checker, self._python = ast_checker, Language.PYTHON

    def verdict(self, tools: Any, calls: Calls, key: Any, category: str) -> bool | None:
        """None where it crashes."""
        try:
            said = self._checker.ast_checker(tools, calls, key, self._python, category, "any")
        except (AttributeError, KeyError, TypeError, IndexError):
            return None
        return said["valid"]

    def assignable(self, tools: Any, calls: Calls, key: Any) -> bool:
        """Whether some order of the calls goes with the key, pair by pair."""
        fits = [[self.verdict(tools, [call], [one], "multiple") for one in key] for call in calls]
        places = range(len(key))
        return any(
            all(fits[call][place] for place, call in enumerate(order))
            for order in itertools.permutations(places)
        )


def ours(item: Item, calls: Calls) -> bool:
    said = [Call(name, arguments) for each in calls for name, arguments in each.items()]
    return grade(item, hermes(said))["exact"].value == 1.0


def changed(calls: Calls) -> Iterator[Calls]:
    """The calls, and what is like them but for one thing."""
    yield calls
    yield calls[::-1]
    yield calls[:-1]
    yield [*calls, calls[0]]
    yield [calls[0]] * len(calls)
    yield [{f"{name}_x": arguments for name, arguments in calls[0].items()}, *calls[1:]]
    for at, call in enumerate(calls):
        for name, arguments in call.items():
            for other in other_arguments(arguments):
                yield [*calls[:at], {name: other}, *calls[at + 1 :]]


def other_arguments(arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {**arguments, "not_there": 1}
    for key, value in arguments.items():
        yield {other: each for other, each in arguments.items() if other != key}
        for other in other_values(value):
            yield {**arguments, key: other}


def other_values(value: Any) -> Iterator[Any]:
    yield from (None, str(value), [value], {"value": value}, "", [], {})
    if isinstance(value, str):
        yield from (value.upper(), f" {value}.", f"{value} x", value.replace(" ", "-"))
    if isinstance(value, bool):
        yield from (not value, int(value))
    elif isinstance(value, int | float):
        yield from (value + 1, float(value), int(value), True)
    if isinstance(value, list):
        yield from (value[::-1], value[:-1], [*value, *value], ", ".join(map(str, value)))
        for place, each in enumerate(value[:3]):
            for other in itertools.islice(other_values(each), 12):
                yield [*value[:place], other, *value[place + 1 :]]
    if isinstance(value, dict):
        yield from other_arguments(value)


def compare(checker: PublicChecker, tally: Counter, item: Item, tools: Any, calls: Calls, key: Any):
    category = "parallel" if len(key) > 1 else "multiple"
    theirs, mine = checker.verdict(tools, calls, key, category), ours(item, calls)
    if theirs is mine:
        tally["both right" if mine else "both wrong"] += 1
    elif theirs is None and not mine:
        tally["it crashes, wrong here"] += 1
    elif mine and theirs is False and len(key) > 1 and checker.assignable(tools, calls, key):
        tally["its greedy matching misses, right here"] += 1
    else:
        tally["UNEXPLAINED"] += 1
        print("UNEXPLAINED", item.category, "ours", mine, "theirs", theirs)
        print(json.dumps({"calls": calls, "key": key})[:600])


def by_hand() -> Iterator[tuple[Item, Any, Calls, Any, bool]]:
    """Item, tools and calls and key in BFCL's form, and the verdict."""
    values = [(case, True) for case in RIGHT_VALUES] + [(case, False) for case in WRONG_VALUES]
    for (schema, right, value), verdict in values:
        parameters = {"type": "dict", "properties": {"x": schema}, "required": []}
        tools = [{"name": "f", "parameters": parameters}]
        calls = [{"f": {} if value is LEFT_OUT else {"x": value}}]
        yield _item(tools, [{"f": {"x": right}}]), tools, calls, [{"f": {"x": right}}], verdict
    several = [(case, True) for case in RIGHT_SEVERAL] + [(case, False) for case in WRONG_SEVERAL]
    for case, verdict in several:
        calls = [{name: arguments} for name, arguments in case.calls]
        key = [{name: right} for name, right in case.expected]
        yield _item(TOOLS, key), TOOLS, calls, key, verdict


def _item(tools: Any, key: Any) -> Item:
    spelt = [json_schema(tool) for tool in tools]
    return Item(category="by hand", tools=spelt, turns=[], expected=expected_calls(key))


def main(checker_folder: Path, data: Path) -> int:
    checker = PublicChecker(checker_folder)
    tallies: dict[str, Counter] = defaultdict(Counter)
    for item, tools, calls, key, verdict in by_hand():
        assert ours(item, calls) is verdict
        compare(checker, tallies["by hand"], item, tools, calls, key)
    items = bfcl_items(data)
    for category, file in category_files(data).items():
        if "irrelevance" in category:
            continue
        asked = [item for item in items if item.category == category]
        for item, row in zip(asked, read_rows(file), strict=True):
            key = row["ground_truth"]
            gold = [{call.name: dict(call.arguments)} for call in parse(item.gold).calls]
            if not ours(item, gold):
                tallies[category]["questions whose key nothing satisfies"] += 1
            for calls in changed(gold):
                compare(checker, tallies[category], item, row["function"], calls, key)
    for category, tally in tallies.items():
        print(f"{category:24}", ", ".join(f"{what} {count}" for what, count in tally.items()))
    whole = sum(tallies.values(), Counter())
    print(f"{'all':24}", ", ".join(f"{what} {count}" for what, count in whole.items()))
    return 1 if whole["UNEXPLAINED"] else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:3])))
