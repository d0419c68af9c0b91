"""Laws of continuous batching, with a forward pass that the test controls: order comes from events, not sleeping."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from batch_inference.budget import PASSES_BEFORE_GROWTH, Budget
from batch_inference.errors import DeviceLostError, DeviceOutOfMemoryError, EngineStoppedError, ForwardPassError
from batch_inference.passes_in_flight import PassRecord
from batch_inference.planner import PassCost
from batch_inference.scheduled_model import ScheduledModel
from batch_inference.scheduler import Scheduler
from batch_inference.text_groups import TextGroup
from batch_inference.token_rows import Outputs, TokenRows
from batch_inference.waiting_texts import WaitingTexts

POISON = 666
WAIT_S = 30


@dataclass
class Done:
    """A pass that is over when it has been launched, as on a CPU."""

    outputs: Outputs

    def result(self) -> Outputs:
        return self.outputs


class GatedModel:
    """Stands in for the model on a CPU, whose failures and timing a test cannot command: each pass waits to be let
    through."""

    def __init__(self) -> None:
        self.passes: list[list[list[int]]] = []
        self.started = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.rows_that_fit = 1000

    def prepare(self, rows: TokenRows) -> TokenRows:
        return rows

    def launch(self, rows: TokenRows) -> Done:
        self.passes.append(rows.tolists())
        self.started.release()
        assert self.gate.acquire(timeout=WAIT_S)
        if len(rows) > self.rows_that_fit:
            raise DeviceOutOfMemoryError("too many rows")
        if POISON in rows.input_ids:
            raise ValueError("poison")
        return Done(rows.input_ids[rows.starts, None].astype(np.float32))

    def open(self) -> None:
        for _ in range(10_000):
            self.gate.release()


COST = PassCost(max_batch_tokens=100, overhead_tokens=32)


def scheduler_of(
    model: GatedModel, on_pass: Callable[[PassRecord], None], on_device_lost: Callable[[], None] = lambda: None
) -> Scheduler:
    return Scheduler({"": ScheduledModel(model, Budget(COST))}, on_pass, on_device_lost)


@pytest.fixture
def model() -> GatedModel:
    return GatedModel()


@pytest.fixture
def records() -> list[PassRecord]:
    return []


@pytest.fixture
def budget() -> Budget:
    return Budget(COST)


@pytest.fixture
def scheduler(model: GatedModel, budget: Budget, records: list[PassRecord]) -> Iterator[Scheduler]:
    scheduler = Scheduler({"": ScheduledModel(model, budget)}, records.append)
    yield scheduler
    model.open()
    scheduler.close()


def texts(*rows: list[int]) -> TextGroup:
    return TextGroup(TokenRows.of(rows))


def answers(group: TextGroup, wait_s: float = WAIT_S) -> list[list[float]]:
    return group.future.result(wait_s).tolist()


def group(*first_ids: int, length: int = 5) -> TextGroup:
    return texts(*([first_id] * length for first_id in first_ids))


def occupy(scheduler: Scheduler, model: GatedModel) -> TextGroup:
    """Start a pass that holds the worker until the gate opens."""
    blocker = group(0)
    scheduler.submit([blocker])
    assert model.started.acquire(timeout=WAIT_S)
    return blocker


def test_answers_come_back_in_the_order_of_the_texts(scheduler: Scheduler, model: GatedModel) -> None:
    model.open()
    mixed = texts(*([number] * (1 + number * 7 % 20) for number in range(1, 50)))
    scheduler.submit([mixed])
    assert answers(mixed) == [[float(number)] for number in range(1, 50)]


def test_requests_that_wait_share_the_next_pass(scheduler: Scheduler, model: GatedModel) -> None:
    occupy(scheduler, model)
    groups = [group(number) for number in range(1, 9)]
    for one in groups:
        scheduler.submit([one])
    model.open()
    assert [answers(one) for one in groups] == [[[float(number)]] for number in range(1, 9)]
    assert [len(rows) for rows in model.passes] == [1, 8]


def test_a_lone_text_runs_at_once(scheduler: Scheduler, model: GatedModel) -> None:
    model.open()
    lone = group(7)
    scheduler.submit([lone])
    assert answers(lone) == [[7.0]]
    assert len(model.passes) == 1


def test_an_unusual_length_does_not_starve(scheduler: Scheduler, model: GatedModel) -> None:
    occupy(scheduler, model)
    long = group(1, length=90)
    scheduler.submit([long])
    scheduler.submit([group(*range(2, 60))])
    model.open()
    assert answers(long) == [[1.0]]
    assert model.passes[1] == [[1] * 90]


@pytest.mark.parametrize("length", [5, 89, 90], ids=["short", "nearly as long", "as long"])
def test_a_small_request_does_not_wait_for_all_that_came_before(
    scheduler: Scheduler, model: GatedModel, length: int
) -> None:
    """Two passes at most begin before its own, of the twenty that the large request takes."""
    occupy(scheduler, model)
    large, small = group(*range(100, 120), length=90), group(7, length=length)
    scheduler.submit([large])
    scheduler.submit([small])
    model.open()
    assert answers(small) == [[7.0]]
    assert answers(large) == [[float(number)] for number in range(100, 120)]
    assert [7] * length in [rows[0] for rows in model.passes[:3]]


def test_a_small_request_waits_for_no_full_pass_of_its_own(scheduler: Scheduler, model: GatedModel) -> None:
    occupy(scheduler, model)
    large, small = group(*range(100, 120), length=10), [group(7), group(8)]
    scheduler.submit([large, *small])
    model.open()
    assert [answers(one) for one in small] == [[[7.0]], [[8.0]]]
    assert answers(large) == [[float(number)] for number in range(100, 120)]
    assert [[7] * 5, [8] * 5] in model.passes
    assert sorted(len(rows) for rows in model.passes) == [1, 2, 10, 10]


@pytest.mark.parametrize("num_passes", range(4))
def test_a_small_request_alone_among_large_ones_is_in_the_next_pass(
    model: GatedModel, budget: Budget, num_passes: int
) -> None:
    """Whosever turn it is, but not two small passes in a row: they would keep the large ones waiting."""
    waiting = WaitingTexts({"": ScheduledModel(model, budget)})
    large, small, late = group(*range(100, 120), length=90), group(7), group(8)
    waiting.add(large)
    taken = [waiting.take() for _ in range(num_passes)]
    waiting.add(small)
    taken.append(waiting.take())
    waiting.add(late)
    taken += [waiting.take(), waiting.take()]
    assert [rows.groups for rows in taken if rows] == [*[[large]] * num_passes, [small], [large], [late]]


def test_small_requests_do_not_keep_a_large_one_waiting(scheduler: Scheduler, model: GatedModel) -> None:
    occupy(scheduler, model)
    large = group(1, 2, 3, length=90)
    small = [group(number, length=60) for number in range(10, 30)]
    scheduler.submit([large, *small])
    model.open()
    assert answers(large) == [[1.0], [2.0], [3.0]]
    assert [answers(one) for one in small] == [[[float(number)]] for number in range(10, 30)]
    # Every other pass begins with the oldest text.
    assert sum(rows[0][0] < 10 for rows in model.passes[1:7]) == 3


def test_a_cancelled_request_costs_no_pass(scheduler: Scheduler, model: GatedModel) -> None:
    blocker = occupy(scheduler, model)
    gone, stays = group(1, 2, 3), group(4)
    scheduler.submit([gone, stays])
    gone.future.cancel()
    model.open()
    assert answers(stays) == [[4.0]]
    assert answers(blocker) == [[0.0]]
    assert model.passes == [[[0] * 5], [[4] * 5]]
    assert scheduler.num_waiting == 0


def test_only_the_request_at_fault_fails(scheduler: Scheduler, model: GatedModel) -> None:
    occupy(scheduler, model)
    good, bad, also_good = group(1, 2), group(3, POISON), group(4)
    scheduler.submit([good, bad, also_good])
    model.open()
    assert answers(good) == [[1.0], [2.0]]
    assert answers(also_good) == [[4.0]]
    with pytest.raises(ForwardPassError):
        bad.future.result(WAIT_S)


def test_a_failed_request_leaves_the_queue(scheduler: Scheduler, model: GatedModel) -> None:
    occupy(scheduler, model)
    bad = texts([POISON] * 50, [1] * 5, [2] * 5)
    scheduler.submit([bad])
    model.open()
    with pytest.raises(ForwardPassError):
        bad.future.result(WAIT_S)
    after = group(9)
    scheduler.submit([after])
    assert answers(after) == [[9.0]]
    assert len(model.passes) == 3


def test_out_of_memory_halves_the_pass_until_it_fits(
    scheduler: Scheduler, model: GatedModel, budget: Budget, records: list[PassRecord]
) -> None:
    model.rows_that_fit = 3
    model.open()
    large = group(*range(1, 17))
    scheduler.submit([large])
    assert answers(large) == [[float(number)] for number in range(1, 17)]
    assert budget.cost.max_batch_tokens < 100
    assert sum(record.num_rows for record in records) == 16


def test_the_budget_grows_back(scheduler: Scheduler, model: GatedModel, budget: Budget) -> None:
    model.rows_that_fit = 15
    model.open()
    large = group(*range(1, 17))
    scheduler.submit([large])
    large.future.result(WAIT_S)
    shrunk = budget.cost.max_batch_tokens
    assert shrunk == 40
    for number in range(2 * PASSES_BEFORE_GROWTH):
        one = group(number)
        scheduler.submit([one])
        one.future.result(WAIT_S)
    scheduler.close()
    assert budget.cost.max_batch_tokens == 100


def test_one_text_that_does_not_fit_fails_alone(scheduler: Scheduler, model: GatedModel) -> None:
    model.rows_that_fit = 0
    model.open()
    lone = group(1)
    scheduler.submit([lone])
    with pytest.raises(DeviceOutOfMemoryError):
        lone.future.result(WAIT_S)


def test_a_model_that_loses_answers_is_found_out(records: list[PassRecord]) -> None:
    class Loser(GatedModel):
        def launch(self, rows: TokenRows) -> Done:
            return Done(np.zeros((1, 1), np.float32))

    scheduler = scheduler_of(Loser(), records.append)
    pair = group(1, 2)
    scheduler.submit([pair])
    with pytest.raises(ForwardPassError, match="1 answers for 2 texts"):
        pair.future.result(WAIT_S)
    scheduler.close()


def test_a_fault_in_bookkeeping_reaches_the_waiter_and_the_worker_lives(model: GatedModel) -> None:
    def fails_once(record: PassRecord) -> None:
        if not seen:
            seen.append(record)
            raise OSError("no space for statistics")

    seen: list[PassRecord] = []
    scheduler = scheduler_of(model, fails_once)
    model.open()
    first, second = group(1), group(2)
    scheduler.submit([first])
    with pytest.raises(ForwardPassError):
        first.future.result(WAIT_S)
    scheduler.submit([second])
    assert answers(second) == [[2.0]]
    scheduler.close()


def test_closing_answers_what_waits_and_refuses_the_rest(scheduler: Scheduler, model: GatedModel) -> None:
    blocker = occupy(scheduler, model)
    queued = group(1)
    scheduler.submit([queued])
    model.open()
    scheduler.close()
    assert answers(blocker, 0) == [[0.0]]
    assert answers(queued, 0) == [[1.0]]
    with pytest.raises(EngineStoppedError):
        scheduler.submit([group(2)])


def test_usage_counts_the_passes_that_held_a_text(scheduler: Scheduler, model: GatedModel) -> None:
    model.open()
    uneven = texts([1] * 10, [2] * 9, [3] * 90)
    scheduler.submit([uneven])
    uneven.future.result(WAIT_S)
    assert uneven.usage.num_passes == 2
    assert uneven.usage.num_tokens == 2 * 10 + 90
    assert uneven.usage.num_padding_tokens == 1
    assert uneven.usage.padding_ratio == pytest.approx(1 / 110)


def test_a_failure_to_prepare_is_a_failure_of_the_pass(records: list[PassRecord]) -> None:
    class Unprepared(GatedModel):
        def prepare(self, rows: TokenRows) -> TokenRows:
            if POISON in rows.input_ids:
                raise ValueError("cannot be padded")
            return rows

    model = Unprepared()
    scheduler = scheduler_of(model, records.append)
    occupy(scheduler, model)
    bad, good = group(POISON), group(1)
    scheduler.submit([bad, good])
    model.open()
    assert answers(good) == [[1.0]]
    with pytest.raises(ForwardPassError):
        bad.future.result(WAIT_S)
    scheduler.close()


def test_a_group_without_texts_is_answered(scheduler: Scheduler) -> None:
    empty = texts()
    scheduler.submit([empty])
    assert answers(empty, 0) == []


def test_a_lost_device_fails_every_waiter_and_ends_the_scheduler() -> None:
    # A poisoned CUDA context cannot be had here: the error is the one that the model raises for it.
    class Lost(GatedModel):
        def launch(self, rows: TokenRows) -> Done:
            super().launch(rows)
            raise DeviceLostError("cuda:0 answers nothing any more")

    model = Lost()
    told = threading.Event()
    scheduler = scheduler_of(model, lambda record: None, told.set)
    running, waiting = occupy(scheduler, model), group(1)
    scheduler.submit([waiting])
    model.open()
    for one in (running, waiting):
        with pytest.raises(DeviceLostError):
            one.future.result(WAIT_S)
    assert told.wait(WAIT_S)
    assert len(model.passes) == 1
    with pytest.raises(EngineStoppedError):
        scheduler.submit([group(2)])
