"""Which prompts begin alike, and the order in which each common beginning is computed once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

# A pass of its own for a beginning costs about what 30 tokens cost inside a larger pass
# (135M parameters on a CPU); below twice that, sharing is not worth it.
MIN_SAVED_TOKENS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Beginning:
    """Tokens that several prompts begin with; `parent` is a shorter beginning of the same."""

    tokens: tuple[int, ...]
    parent: Beginning | None

    def path(self) -> list[Beginning]:
        """From the shortest beginning down to this one."""
        nodes: list[Beginning] = []
        node: Beginning | None = self
        while node:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]


@dataclass(frozen=True, slots=True)
class Placed:
    """Prompt number `index`, and the longest beginning that it shares."""

    index: int
    beginning: Beginning | None


def arrange(prompts: Sequence[Sequence[int]]) -> list[Placed]:
    """All prompts, in an order in which at most one path of beginnings is needed at a time.

    A beginning's own prompts come before those of longer beginnings; among them the longest
    first, so that neighbours are padded little and no long answer is left alone at the end.
    """
    leaves: dict[Beginning | None, list[int]] = defaultdict(list)
    order = sorted(range(len(prompts)), key=lambda index: tuple(prompts[index]))
    stack: list[tuple[list[int], Beginning | None]] = [(order, None)]
    visited: list[Beginning | None] = [None]
    while stack:
        members, parent = stack.pop()
        num_shared = _num_common(prompts[members[0]], prompts[members[-1]]) if members else 0
        node = _beginning(prompts, members, num_shared, parent)
        if node is not parent:
            visited.append(node)
        branches = _branches(prompts, members, num_shared)
        leaves[node] += [branch[0] for branch in branches if len(branch) == 1]
        several = [branch for branch in branches if len(branch) > 1]
        several.sort(key=lambda branch: max(len(prompts[index]) for index in branch))
        stack += [(branch, node) for branch in several]
    return [
        Placed(index, node)
        for node in visited
        for index in sorted(leaves[node], key=lambda index: -len(prompts[index]))
    ]


def _beginning(
    prompts: Sequence[Sequence[int]], members: list[int], num_shared: int, parent: Beginning | None
) -> Beginning | None:
    """The members' common beginning if it is worth a pass of its own, else their parent's."""
    num_new = num_shared - (len(parent.tokens) if parent else 0)
    if (len(members) - 1) * num_new < MIN_SAVED_TOKENS:
        return parent
    return Beginning(tuple(prompts[members[0]][:num_shared]), parent)


def _branches(
    prompts: Sequence[Sequence[int]], members: list[int], num_shared: int
) -> list[list[int]]:
    """Members by the token after the common ones; each that ends there is a branch alone."""
    branches: list[list[int]] = []
    for following, group in groupby(members, key=lambda i: prompts[i][num_shared : num_shared + 1]):
        branch = list(group)
        branches += [branch] if following else [[index] for index in branch]
    return branches


def _num_common(first: Sequence[int], last: Sequence[int]) -> int:
    """Tokens common to the two, and so to all that sort between them."""
    for number, (left, right) in enumerate(zip(first, last, strict=False)):
        if left != right:
            return number
    return min(len(first), len(last))
