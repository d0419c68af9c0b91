"""Laws of the planner. It is pure, so hypothesis may try what it likes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_inference.planner import PassCost, plan_by_arrival, plan_pass
from rehearsal.texts import OWN_SHORT_TEXTS

QUEUES = st.dictionaries(st.integers(1, 512), st.integers(1, 40), min_size=1, max_size=60)
COSTS = st.builds(
    PassCost,
    max_batch_tokens=st.integers(1, 20_000),
    overhead_tokens=st.integers(0, 9_000),
    is_padded=st.booleans(),
)


@given(QUEUES, COSTS, st.data())
def test_the_oldest_text_is_always_in_the_pass(waiting: dict[int, int], cost: PassCost, data: st.DataObject) -> None:
    oldest = data.draw(st.sampled_from(sorted(waiting)))
    assert plan_pass(waiting, oldest, cost)[oldest] >= 1


@given(QUEUES, COSTS, st.data())
def test_a_pass_takes_what_waits_and_no_more(waiting: dict[int, int], cost: PassCost, data: st.DataObject) -> None:
    plan = plan_pass(waiting, data.draw(st.sampled_from(sorted(waiting))), cost)
    assert all(0 < count <= waiting[length] for length, count in plan.items())


@given(QUEUES, COSTS, st.data())
def test_a_pass_keeps_to_the_budget(waiting: dict[int, int], cost: PassCost, data: st.DataObject) -> None:
    plan = plan_pass(waiting, data.draw(st.sampled_from(sorted(waiting))), cost)
    rows = sum(plan.values())
    useful_tokens = sum(length * count for length, count in plan.items())
    assert rows == 1 or (rows * max(plan) if cost.is_padded else useful_tokens) <= cost.max_batch_tokens


@given(QUEUES, COSTS)
def test_every_text_is_run_once(waiting: dict[int, int], cost: PassCost) -> None:
    left, done = Counter(waiting), Counter[int]()
    while left:
        plan = plan_pass(left, next(iter(left)), cost)
        done.update(plan)
        left -= Counter(plan)
    assert done == Counter(waiting)


def test_there_is_little_padding_among_tweets() -> None:
    cost = PassCost(max_batch_tokens=1024, overhead_tokens=32)
    lengths = [2 + 4 * len(line.split()) // 3 for line in OWN_SHORT_TEXTS.read_text(encoding="utf-8").splitlines()]
    left, computed_tokens = Counter(lengths), 0
    while left:
        plan = plan_pass(left, next(iter(left)), cost)
        computed_tokens += sum(plan.values()) * max(plan)
        left -= Counter(plan)
    padding_ratio = 1 - sum(lengths) / computed_tokens
    in_order = [lengths[start : start + 16] for start in range(0, len(lengths), 16)]
    assert padding_ratio < 0.1 < 0.3 < 1 - sum(lengths) / sum(len(chunk) * max(chunk) for chunk in in_order)


@given(st.lists(st.integers(1, 512), min_size=1, max_size=200))
def test_planned_passes_cost_less_than_chunks_of_16_in_order_of_arrival(lengths: list[int]) -> None:
    cost = PassCost(max_batch_tokens=16 * 512, overhead_tokens=32)
    chunks = [lengths[start : start + 16] for start in range(0, len(lengths), 16)]
    naive = sum(cost.overhead_tokens + len(chunk) * max(chunk) for chunk in chunks)
    left, planned = Counter(lengths), 0
    while left:
        plan = plan_pass(left, next(iter(left)), cost)
        planned += cost.overhead_tokens + sum(plan.values()) * max(plan)
        left -= Counter(plan)
    # Greedy planning may lose a little where lengths fall just right for the chunks; it never loses much.
    assert planned <= 1.1 * naive


@pytest.mark.parametrize(
    ("waiting", "oldest", "overhead", "expected"),
    [
        pytest.param({400: 1, 30: 20}, 400, 32, {400: 1}, id="a long text does not pad short ones to its length"),
        pytest.param({400: 1, 30: 20}, 30, 32, {30: 20}, id="short texts leave a long one for its own pass"),
        pytest.param({29: 3, 30: 2, 31: 3}, 30, 32, {29: 3, 30: 2, 31: 3}, id="neighbours in length share a pass"),
        pytest.param({10: 1, 60: 1}, 10, 8192, {10: 1, 60: 1}, id="where a pass costs much, padding is cheap"),
        pytest.param({700: 1}, 700, 32, {700: 1}, id="a text over the budget still runs, alone"),
    ],
)
def test_examples(waiting: dict[int, int], oldest: int, overhead: int, expected: dict[int, int]) -> None:
    assert plan_pass(waiting, oldest, PassCost(max_batch_tokens=640, overhead_tokens=overhead)) == expected


def test_without_padding_lengths_do_not_matter() -> None:
    cost = PassCost(max_batch_tokens=640, overhead_tokens=32, is_padded=False)
    assert plan_pass({400: 1, 30: 5, 90: 1}, 30, cost) == {400: 1, 30: 5, 90: 1}
    assert plan_pass({400: 1, 30: 20, 90: 1}, 90, cost) == {90: 1, 30: 18}


ARRIVALS = st.lists(st.integers(1, 512), min_size=1, max_size=300)
BUDGETS = st.integers(1, 20_000).map(lambda budget: PassCost(budget, 32, is_padded=False, is_by_arrival=True))


@given(ARRIVALS, BUDGETS)
def test_by_arrival_a_pass_is_the_first_texts_that_fill_the_budget(lengths: list[int], cost: PassCost) -> None:
    count = plan_by_arrival(np.array(lengths, np.int32), cost)
    assert 1 <= count <= len(lengths)
    assert count == 1 or sum(lengths[:count]) <= cost.max_batch_tokens
    # One more would not fit.
    assert count == len(lengths) or sum(lengths[: count + 1]) > cost.max_batch_tokens


@given(ARRIVALS, BUDGETS)
def test_by_arrival_no_text_waits_for_a_later_one(lengths: list[int], cost: PassCost) -> None:
    left, done = lengths, list[int]()
    while left:
        count = plan_by_arrival(np.array(left, np.int32), cost)
        done, left = done + left[:count], left[count:]
    assert done == lengths


@given(ARRIVALS, BUDGETS)
def test_by_arrival_passes_are_at_least_half_full(lengths: list[int], cost: PassCost) -> None:
    num_passes, left = 0, lengths
    while left:
        left = left[plan_by_arrival(np.array(left, np.int32), cost) :]
        num_passes += 1
    # Of any two neighbours, the second begins with a text that did not fit into the first.
    assert (num_passes // 2) * cost.max_batch_tokens < sum(lengths)


@pytest.mark.parametrize(
    ("lengths", "count"),
    [
        pytest.param([400, 30, 90, 200], 3, id="whatever their lengths"),
        pytest.param([700, 1], 1, id="a text over the budget runs, alone"),
        pytest.param([320, 320, 1], 2, id="up to the last token"),
    ],
)
def test_examples_by_arrival(lengths: list[int], count: int) -> None:
    cost = PassCost(max_batch_tokens=640, overhead_tokens=32, is_padded=False, is_by_arrival=True)
    assert plan_by_arrival(np.array(lengths, np.int32), cost) == count
