"""Whether a call is the one that was asked for, by the matching rules of BFCL.

Source of the rules: the Berkeley Function-Calling Leaderboard's AST checker (Patil et al. 2025;
`bfcl_eval/eval_checker/ast_eval/ast_checker.py` of ShishirPatil/gorilla), written anew here. Two
things differ: parallel calls are assigned by a maximum matching, where BFCL takes the first that
fits and may fail a right answer; and a value that its checker crashes on is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
}
_IGNORED = re.compile(r"[ ,./\-_*^]")


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a model made."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Expected:
    """A call that is asked for; of each argument the values that are right.

    An empty string among the values says that the argument may be left out.
    """

    name: str
    arguments: Mapping[str, Sequence[Any]]


Fits = Callable[[Call, Expected], bool]


def all_matched(calls: Sequence[Call], expected: Sequence[Expected], fits: Fits) -> bool:
    """Whether calls and expected calls go together one to one, in any order.

    The assignment is a maximum one (Kuhn 1955, by scipy), so that no choice spoils a later one.
    """
    if len(calls) != len(expected):
        return False
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    pairs = np.zeros((len(calls), len(expected)), dtype=bool)
    for row, call in enumerate(calls):
        for column, one in enumerate(expected):
            pairs[row, column] = fits(call, one)
    rows, columns = linear_sum_assignment(pairs, maximize=True)
    return bool(pairs[rows, columns].all())


def arguments_fit(
    arguments: Mapping[str, Any], expected: Mapping[str, Sequence[Any]], tool: Mapping[str, Any]
) -> bool:
    """Whether nothing required is missing, nothing is too much, and every value is right.

    tool: its `parameters` are a JSON Schema of type object.
    """
    schema = tool["parameters"]
    properties = schema.get("properties", {})
    if any(name not in arguments for name in schema.get("required", ())):
        return False
    if any(name not in arguments and "" not in right for name, right in expected.items()):
        return False
    for name, value in arguments.items():
        if name not in properties or name not in expected:
            return False
        if not value_fits(value, expected[name], properties[name]):
            return False
    return True


def value_fits(value: Any, right: Sequence[Any], schema: Mapping[str, Any]) -> bool:
    """Whether a value has the type that its schema asks for and is one of the right ones.

    Types are exact (true is no integer, 2.0 is none either), but an integer does for a number.
    Right values of another type than the schema's stand for themselves: such a value is compared
    as it is.
    """
    wanted = _TYPES.get(schema.get("type", ""))
    if wanted is float and type(value) is int:
        value = float(value)
    stated = _type_of_first(right)
    if type(value) is not wanted:
        return type(value) is stated and value in right
    inner = _TYPES.get(schema.get("items", {}).get("type", "")) if wanted is list else None
    if inner and not _items_have_type(value, right, inner):
        return False
    if stated not in (None, wanted):
        return value in right
    return any(_same(value, one, of_dicts=inner is dict) for one in right)


def _same(value: Any, one: Any, *, of_dicts: bool) -> bool:
    """Whether two values mean the same; one may be the empty string, the argument left out."""
    if isinstance(value, dict):
        return _dict_fits(value, one)
    if of_dicts:
        return _dicts_fit(value, one)
    if isinstance(value, list):
        return isinstance(one, list | str) and _folded(value) == _folded(one)
    return bool(_fold(value) == _fold(one))


def _type_of_first(right: Sequence[Any]) -> type | None:
    return next((type(one) for one in right if one != ""), None)


def _items_have_type(value: Any, right: Sequence[Any], inner: type) -> bool:
    """One level deep, against any of the right lists; an argument that may be left out is free."""
    for one in right:
        if not isinstance(one, list):
            return True
        # The key may break its own schema: then the type that it shows does as well.
        allowed = (inner, _type_of_first(one))
        if all(type(item) in allowed for item in value):
            return True
    return False


def _dict_fits(value: Any, right: Any) -> bool:
    """right: by key the values that are right; an empty string among them makes a key optional."""
    if not (isinstance(value, Mapping) and isinstance(right, Mapping)):
        return False
    if any(key not in value and "" not in values for key, values in right.items()):
        return False
    for key, item in value.items():
        if key not in right or _fold(item) not in _folded(right[key]):
            return False
    return True


def _dicts_fit(values: list[Any], right: Any) -> bool:
    if not isinstance(right, list | str) or len(values) != len(right):
        return False
    return all(map(_dict_fits, values, right))


def _folded(values: Sequence[Any]) -> list[Any]:
    # "" stands for an argument left out: as a list it is the empty one.
    return [_fold(each) for each in values]


def _fold(value: Any) -> Any:
    """Text without blanks, punctuation and case; anything else as it is."""
    if not isinstance(value, str):
        return value
    return _IGNORED.sub("", value).lower().replace("'", '"')
