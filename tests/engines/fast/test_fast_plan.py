"""The planner against brute force: sets of prefixes, and masks rebuilt token by token."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyr.engines.fast.plan import Budget, Packer, Request, arrange

# Few words and a habit of sharing beginnings: random sequences would share nothing.
SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=14), min_size=1, max_size=12)
BUDGETS = st.builds(
    Budget,
    tokens=st.integers(1, 40),
    scored=st.integers(1, 20),
    cell_rows=st.integers(1, 16),
    cell_overhead=st.sampled_from([0, 5, 30, 1000, 10**9]),
)


def requests_of(sequences: list[list[int]], data: st.DataObject) -> list[Request]:
    return [
        Request(np.asarray(each, np.int32), data.draw(st.integers(1, len(each) - 1)))
        for each in sequences
    ]


def packs_of(stream, budget):
    packer, packs = Packer(stream), []
    while not packer.finished:
        pack = packer.cut(budget)
        packer.advance(pack)
        packs.append(pack)
    return packs


def prefixes_seen(packs, retained=()) -> list[list[tuple[int, ...]]]:
    """For each row of each pack, what its mask lets it see, as (position, token) in order."""
    spine = [(position, token, ()) for position, token in enumerate(retained)]
    seen = []
    for pack in packs:
        own = zip(pack.positions_T.tolist(), pack.tokens_T.tolist(), strict=True)
        axis = [*[each[:2] for each in spine[: pack.spine]], *own]
        rows = [None] * len(pack.tokens_T)
        for cell in pack.cells:
            keys = np.arange(len(axis))[cell.keys]
            for row in range(cell.start, cell.stop):
                if cell.mask is None:
                    visible = keys[: row - cell.start + 1]
                else:
                    visible = keys[cell.mask[row - cell.start]]
                rows[row] = [axis[key] for key in visible]
        seen.append(rows)
        spine = [(*axis[key], ()) for key in pack.keep]
    return seen


@settings(max_examples=80, deadline=None)
@given(SEQUENCES, BUDGETS, st.data())
def test_every_scored_position_sees_exactly_its_own_ancestors(sequences, budget, data) -> None:
    requests = requests_of(sequences, data)
    stream = arrange(requests)
    packs = packs_of(stream, budget)
    seen = prefixes_seen(packs)
    asked = {}
    for pack, rows in zip(packs, seen, strict=True):
        for entry, row in zip(
            range(pack.entries.start, pack.entries.stop), pack.entry_row_E.tolist(), strict=True
        ):
            visible = sorted(rows[pack.rows_N[row]])
            assert [position for position, _ in visible] == list(range(len(visible)))
            owner = int(stream.entry_request_E[entry])
            prefix = tuple(token for _, token in visible)
            asked.setdefault(owner, []).append((*prefix, int(stream.entry_target_E[entry])))
    for index, request in enumerate(requests):
        whole = request.tokens.tolist()
        ends = range(len(whole) - request.num_scored, len(whole))
        assert sorted(asked[index]) == sorted(tuple(whole[: end + 1]) for end in ends)


@settings(max_examples=50, deadline=None)
@given(SEQUENCES, BUDGETS, st.data())
def test_every_distinct_prefix_is_computed_once(sequences, budget, data) -> None:
    stream = arrange(requests_of(sequences, data))
    packs = packs_of(stream, budget)
    distinct = {tuple(each[:end]) for each in sequences for end in range(1, len(each))}
    assert sum(len(pack.tokens_T) for pack in packs) == len(distinct)
    seen = [tuple(sorted(row)) for rows in prefixes_seen(packs) for row in rows]
    assert len(set(seen)) == len(distinct)


@settings(max_examples=50, deadline=None)
@given(SEQUENCES, BUDGETS, st.data())
def test_no_pack_exceeds_its_budget(sequences, budget, data) -> None:
    longest = max(map(len, sequences))
    for pack in packs_of(arrange(requests_of(sequences, data)), budget):
        assert len(pack.tokens_T) <= budget.tokens
        assert len(pack.rows_N) <= budget.scored
        assert max(pack.spine, len(pack.keep)) < longest


@settings(max_examples=50, deadline=None)
@given(SEQUENCES, BUDGETS, st.data(), st.lists(st.integers(0, 2), max_size=14))
def test_a_retained_prefix_is_used_only_where_nothing_in_it_is_scored(
    sequences, budget, data, retained
) -> None:
    requests = requests_of(sequences, data)
    stream = arrange(requests, np.asarray(retained, np.int32))
    first_scored = min(len(each.tokens) - 1 - each.num_scored for each in requests)
    assert stream.retained <= min(first_scored, len(retained))
    packs = packs_of(stream, budget)
    assert packs[0].spine == stream.retained
    for rows in prefixes_seen(packs, retained):
        for row in rows:
            prefix = [token for _, token in sorted(row)]
            assert any(each[: len(prefix)] == prefix for each in sequences)


def test_a_stream_is_cut_between_items_rather_than_inside_one() -> None:
    items = [[item, *range(10, 19), choice, 99] for item in range(4) for choice in (1, 2)]
    stream = arrange([Request(np.asarray(each, np.int32), 2) for each in items])
    packs = packs_of(stream, Budget(tokens=15))
    assert [len(pack.tokens_T) for pack in packs] == [12, 12, 12, 12]
    assert all(pack.spine == 0 for pack in packs)


def test_a_common_beginning_is_kept_for_the_next_call_when_it_is_long() -> None:
    shots = list(range(40))
    long = [Request(np.asarray([*shots, item, 7], np.int32), 1) for item in range(3)]
    short = [Request(np.asarray([*shots[:9], item, 7], np.int32), 1) for item in range(3)]
    assert arrange(long).common.tolist() == shots
    assert arrange(short).common.tolist() == []


def test_ten_thousand_items_with_long_shared_beginnings_keep_one_beginning_at_a_time() -> None:
    draw = np.random.default_rng(0)
    heads = draw.integers(0, 49_000, (5, 3000))
    requests = []
    for item in range(10_000):
        tail = draw.integers(0, 49_000, 12)
        whole = np.concatenate([heads[item % 5], tail]).astype(np.int32)
        requests.append(Request(whole, 2))
    stream = arrange(requests)
    assert len(stream.tokens_U) == pytest.approx(5 * 3000 + 10_000 * 11, rel=0.01)
    packer, most = Packer(stream), 0
    for _ in range(40):
        pack = packer.cut(Budget(tokens=2048))
        most = max(most, pack.spine + len(pack.tokens_T))
        packer.advance(pack)
    assert most <= 3011 + 2048
