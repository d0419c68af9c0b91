"""Two passes in flight, on a stand-in for a GPU: a thread that works at passes by itself, in the order of their launch,
and each only when the test lets it. A real GPU's faults cannot be had here: they are the errors that the model raises.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from queue import Queue
from types import SimpleNamespace

import numpy as np
import pytest

from batch_classification.settings import ClassifierSettings
from batch_http.shutdown import exit_after_device_lost
from batch_inference.budget import Budget
from batch_inference.engine import Engine
from batch_inference.errors import (
    DeviceLostError,
    DeviceOutOfMemoryError,
    EngineStoppedError,
    ForwardPassError,
)
from batch_inference.passes_in_flight import PassRecord
from batch_inference.planner import PassCost
from batch_inference.scheduled_model import ScheduledModel
from batch_inference.scheduler import Scheduler
from batch_inference.settings import load_settings
from batch_inference.text_groups import TextGroup
from batch_inference.token_rows import Outputs, TokenRows

POISON, UNPREPARED, LOSES_DEVICE = 666, 667, 668
WAIT_S = 30
COST = PassCost(max_batch_tokens=20, overhead_tokens=32, is_padded=False, is_by_arrival=True)
"""Four texts of `text` a pass."""


class Launched:
    """A pass that the stand-in is at, or will be."""

    def __init__(self, rows: TokenRows, log: list[str]) -> None:
        self.rows = rows
        self.outputs: Future[Outputs] = Future()
        self._log = log

    @property
    def name(self) -> str:
        """The first token of each of its rows."""
        return ",".join(map(str, self.rows.input_ids[self.rows.starts].tolist()))

    def wait(self) -> None:
        self.outputs.exception(WAIT_S)

    def result(self) -> Outputs:
        try:
            return self.outputs.result(WAIT_S)
        finally:
            self._log.append(f"collect {self.name}")


class Gpu:
    """Stands for a GPU and the model on it.

    Attributes:
        log: launches, and collections once they are over, in order.
        rows_that_fit: more are out of memory at their launch.
        most_in_flight: passes that were launched and not over, at most.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.rows_that_fit = 1000
        self.most_in_flight = 0
        self._in_flight = 0
        self._launched: Queue[Launched | None] = Queue()
        self._num_launched = threading.Semaphore(0)
        self._gate = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def prepare(self, rows: TokenRows) -> TokenRows:
        if UNPREPARED in rows.input_ids:
            raise ValueError("a token without an embedding")
        return rows

    def launch(self, rows: TokenRows) -> Launched:
        launched = Launched(rows, self.log)
        if len(rows) > self.rows_that_fit:
            self.log.append(f"no memory for {launched.name}")
            self._num_launched.release()
            raise DeviceOutOfMemoryError("too many rows")
        self.log.append(f"launch {launched.name}")
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        self._launched.put(launched)
        self._num_launched.release()
        return launched

    def wait_for_launches(self, number: int) -> None:
        """Wait until so many more have been launched or found no memory."""
        for _ in range(number):
            assert self._num_launched.acquire(timeout=WAIT_S)

    def launches_within(self, seconds: float) -> bool:
        """Whether one more is launched so soon."""
        return self._num_launched.acquire(timeout=seconds)

    def finish(self, num_passes: int = 10_000) -> None:
        """Let passes be worked at to their end."""
        self._gate.release(num_passes)

    def stop(self) -> None:
        self._launched.put(None)
        self.finish()
        self._thread.join(WAIT_S)

    def _work(self) -> None:
        is_lost = False
        while launched := self._launched.get():
            self._gate.acquire(timeout=WAIT_S)
            self._in_flight -= 1
            ids = launched.rows.input_ids
            is_lost = is_lost or LOSES_DEVICE in ids
            if is_lost:
                launched.outputs.set_exception(DeviceLostError("cuda:0 answers nothing any more"))
            elif POISON in ids:
                launched.outputs.set_exception(ForwardPassError("the forward pass failed: an illegal instruction"))
            else:
                launched.outputs.set_result(ids[launched.rows.starts, None].astype(np.float32))


@pytest.fixture
def budget() -> Budget:
    return Budget(COST)


@pytest.fixture
def models(gpu: Gpu, budget: Budget) -> dict[str, ScheduledModel]:
    return {"": ScheduledModel(gpu, budget)}


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    gpu = Gpu()
    yield gpu
    gpu.stop()


@pytest.fixture
def records() -> list[PassRecord]:
    return []


@pytest.fixture
def was_lost() -> threading.Event:
    return threading.Event()


@pytest.fixture
def scheduler(
    gpu: Gpu, models: dict[str, ScheduledModel], records: list[PassRecord], was_lost: threading.Event
) -> Iterator[Scheduler]:
    scheduler = Scheduler(models, records.append, was_lost.set, max_in_flight=2)
    yield scheduler
    gpu.finish()
    scheduler.close()


def texts(*first_ids: int) -> TextGroup:
    """Texts of five tokens each."""
    return TextGroup(TokenRows.of([[first_id] * 5 for first_id in first_ids]))


def answers(group: TextGroup, wait_s: float = WAIT_S) -> list[float]:
    return group.future.result(wait_s)[:, 0].tolist()


def two_in_flight(scheduler: Scheduler, gpu: Gpu, first: TextGroup, second: TextGroup) -> None:
    """Launch a pass for each of these, the second while the GPU is at the first."""
    for group in (first, second):
        scheduler.submit([group])
        gpu.wait_for_launches(1)


def test_the_next_pass_is_launched_before_the_last_is_read_back(scheduler: Scheduler, gpu: Gpu) -> None:
    groups = [texts(*range(start, start + 4)) for start in (1, 11, 21, 31)]
    scheduler.submit(groups)
    gpu.wait_for_launches(2)
    # The GPU has not finished anything, and yet has its next orders; a third pass has to wait.
    assert scheduler.num_waiting == 8
    gpu.finish()
    assert [answers(group) for group in groups] == [[float(start + n) for n in range(4)] for start in (1, 11, 21, 31)]
    assert gpu.log == [
        "launch 1,2,3,4", "launch 11,12,13,14",
        "collect 1,2,3,4", "launch 21,22,23,24",
        "collect 11,12,13,14", "launch 31,32,33,34",
        "collect 21,22,23,24", "collect 31,32,33,34",
    ]  # fmt: skip


def test_there_are_never_more_than_two_in_flight(scheduler: Scheduler, gpu: Gpu) -> None:
    gpu.finish()
    groups = [texts(*range(100 * number, 100 * number + 30)) for number in range(1, 20)]
    for group in groups:
        scheduler.submit([group])
    for number, group in enumerate(groups, start=1):
        assert answers(group) == [float(100 * number + n) for n in range(30)]
    assert gpu.most_in_flight <= 2


def test_what_arrives_during_a_pass_is_launched_before_its_end(scheduler: Scheduler, gpu: Gpu) -> None:
    first, second = texts(1), texts(11)
    two_in_flight(scheduler, gpu, first, second)
    assert gpu.log == ["launch 1", "launch 11"]
    gpu.finish()
    assert [answers(first), answers(second)] == [[1.0], [11.0]]
    assert gpu.log[2:] == ["collect 1", "collect 11"]


def test_little_that_waits_is_not_worth_a_pass_beside_another(gpu: Gpu) -> None:
    scheduler = Scheduler(
        {"": ScheduledModel(gpu, Budget(replace(COST, min_second_tokens=10)))}, lambda record: None, max_in_flight=2
    )
    first, little, more = texts(1, 2, 3, 4), texts(11), texts(12)
    scheduler.submit([first])
    gpu.wait_for_launches(1)
    scheduler.submit([little])
    assert not gpu.launches_within(0.2)
    scheduler.submit([more])
    gpu.wait_for_launches(1)
    last = texts(21)
    gpu.finish(1)
    assert answers(first) == [1.0, 2.0, 3.0, 4.0]
    scheduler.submit([last])
    gpu.finish()
    assert [answers(group) for group in (little, more, last)] == [[11.0], [12.0], [21.0]]
    assert gpu.log[:3] == ["launch 1,2,3,4", "launch 11,12", "collect 1,2,3,4"]
    scheduler.close()


def test_a_watch_that_fails_holds_up_nobody(scheduler: Scheduler, gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(launched: Launched) -> None:
        raise OSError("no event")

    monkeypatch.setattr(Launched, "wait", failing)
    lone = texts(7)
    scheduler.submit([lone])
    gpu.finish()
    assert answers(lone) == [7.0]


def test_if_nothing_waits_a_pass_is_collected_at_once(scheduler: Scheduler, gpu: Gpu) -> None:
    lone = texts(7)
    scheduler.submit([lone])
    gpu.finish(1)
    assert answers(lone) == [7.0]
    assert gpu.log == ["launch 7", "collect 7"]


def test_out_of_memory_at_a_launch_lets_the_pass_in_flight_end_first(
    scheduler: Scheduler, gpu: Gpu, budget: Budget, records: list[PassRecord]
) -> None:
    first = texts(1)
    scheduler.submit([first])
    gpu.wait_for_launches(1)
    gpu.rows_that_fit = 2
    second = texts(11, 12, 13, 14)
    scheduler.submit([second])
    gpu.wait_for_launches(1)
    gpu.finish()
    assert answers(first) == [1.0]
    assert answers(second) == [11.0, 12.0, 13.0, 14.0]
    # The halves have the device to themselves.
    assert gpu.log == [
        "launch 1", "no memory for 11,12,13,14",
        "collect 1", "launch 11,12", "collect 11,12", "launch 13,14", "collect 13,14",
    ]  # fmt: skip
    assert budget.cost.max_batch_tokens == 10
    assert sorted(record.num_rows for record in records) == [1, 2, 2]


def test_a_failed_pass_is_repeated_after_the_one_in_flight(scheduler: Scheduler, gpu: Gpu) -> None:
    good, bad, later = texts(1, 2), texts(3, POISON), texts(11, 12, 13, 14)
    scheduler.submit([good, bad, later])
    gpu.wait_for_launches(2)
    gpu.finish()
    assert answers(good) == [1.0, 2.0]
    assert answers(later) == [11.0, 12.0, 13.0, 14.0]
    with pytest.raises(ForwardPassError, match="illegal instruction"):
        bad.future.result(WAIT_S)
    assert gpu.log == [
        f"launch 1,2,3,{POISON}", "launch 11,12,13,14",
        f"collect 1,2,3,{POISON}", "collect 11,12,13,14",
        "launch 1,2", "collect 1,2", f"launch 3,{POISON}", f"collect 3,{POISON}",
    ]  # fmt: skip


def test_two_failed_passes_fail_only_the_requests_at_fault(scheduler: Scheduler, gpu: Gpu) -> None:
    groups = [texts(1, 2), texts(3, POISON), texts(POISON, 12), texts(13, 14)]
    scheduler.submit(groups)
    gpu.wait_for_launches(2)
    gpu.finish()
    assert answers(groups[0]) == [1.0, 2.0]
    assert answers(groups[3]) == [13.0, 14.0]
    for bad in groups[1:3]:
        with pytest.raises(ForwardPassError):
            bad.future.result(WAIT_S)


def test_a_request_in_both_passes_fails_once(scheduler: Scheduler, gpu: Gpu, records: list[PassRecord]) -> None:
    bad, after = texts(1, 2, 3, POISON, 5, 6), texts(11)
    scheduler.submit([bad])
    gpu.wait_for_launches(2)
    scheduler.submit([after])
    gpu.finish()
    with pytest.raises(ForwardPassError):
        bad.future.result(WAIT_S)
    assert answers(after) == [11.0]
    assert scheduler.num_waiting == 0


def test_a_pass_that_cannot_be_prepared_leaves_the_one_in_flight_alone(scheduler: Scheduler, gpu: Gpu) -> None:
    first, bad, last = texts(1, 2, 3, 4), texts(UNPREPARED), texts(11)
    scheduler.submit([first])
    gpu.wait_for_launches(1)
    scheduler.submit([bad, last])
    gpu.finish()
    assert answers(first) == [1.0, 2.0, 3.0, 4.0]
    assert answers(last) == [11.0]
    with pytest.raises(ForwardPassError):
        bad.future.result(WAIT_S)


def test_who_leaves_during_a_pass_does_not_disturb_the_others(scheduler: Scheduler, gpu: Gpu) -> None:
    stays, leaves, waits, left_in_queue = texts(1, 2), texts(3, 4), texts(11, 12, 13, 14), texts(21, 22, 23, 24, 25)
    scheduler.submit([stays, leaves, waits, left_in_queue])
    gpu.wait_for_launches(2)
    leaves.future.cancel()
    left_in_queue.future.cancel()
    gpu.finish()
    assert answers(stays) == [1.0, 2.0]
    assert answers(waits) == [11.0, 12.0, 13.0, 14.0]
    assert not [entry for entry in gpu.log if "21" in entry]


def test_a_pass_is_not_repeated_for_who_has_left(scheduler: Scheduler, gpu: Gpu) -> None:
    leaves, bad = texts(1, 2), texts(3, POISON)
    scheduler.submit([leaves, bad])
    gpu.wait_for_launches(1)
    leaves.future.cancel()
    gpu.finish()
    with pytest.raises(ForwardPassError):
        bad.future.result(WAIT_S)
    assert "launch 1,2" not in gpu.log


@pytest.mark.parametrize("is_at_fault", ["first", "second"])
def test_a_lost_device_fails_both_passes_and_whatever_waits(
    scheduler: Scheduler, gpu: Gpu, was_lost: threading.Event, is_at_fault: str
) -> None:
    first = texts(LOSES_DEVICE if is_at_fault == "first" else 1, 2, 3, 4)
    second = texts(LOSES_DEVICE if is_at_fault == "second" else 11, 12, 13, 14)
    waiting, more = texts(21, 22, 23, 24), texts(31)
    scheduler.submit([first, second, waiting, more])
    gpu.wait_for_launches(2)
    gpu.finish()
    if is_at_fault == "second":
        assert answers(first) == [1.0, 2.0, 3.0, 4.0]
    for group in [second, waiting, more] + ([first] if is_at_fault == "first" else []):
        with pytest.raises(DeviceLostError):
            group.future.result(WAIT_S)
    assert was_lost.wait(WAIT_S)
    with pytest.raises(EngineStoppedError):
        scheduler.submit([texts(41)])


def test_a_device_lost_while_a_failed_pass_waits_for_its_turn_fails_that_one_too(
    scheduler: Scheduler, gpu: Gpu, was_lost: threading.Event
) -> None:
    good, bad, loses = texts(1, 2), texts(3, POISON), texts(LOSES_DEVICE, 12, 13, 14)
    scheduler.submit([good, bad, loses])
    gpu.wait_for_launches(2)
    gpu.finish()
    for group in (good, bad, loses):
        with pytest.raises(DeviceLostError):
            group.future.result(WAIT_S)
    assert was_lost.wait(WAIT_S)


class HangingGpu:
    """Stands for a model on a GPU, some of whose calls hang for as long as the test lasts."""

    head = SimpleNamespace(name="")
    device = "cuda:0"
    max_in_flight = 2
    inner_size = 64

    def __init__(self, *hangs_in: str) -> None:
        self._hangs_in = hangs_in
        self.is_over = threading.Event()

    def prepare(self, rows: TokenRows) -> TokenRows:
        self._call("prepare")
        return rows

    def launch(self, rows: TokenRows) -> SimpleNamespace:
        self._call("launch")
        answers = rows.input_ids[rows.starts, None].astype(np.float32)
        return SimpleNamespace(wait=lambda: self._call("wait"), result=lambda: self._call("result") or answers)

    def _call(self, name: str) -> None:
        if name in self._hangs_in:
            assert self.is_over.wait(WAIT_S)


def models_of(gpu: HangingGpu | Gpu) -> dict[str, ScheduledModel]:
    return {"": ScheduledModel(gpu, Budget(COST))}


@pytest.mark.parametrize("hangs_in", [("prepare",), ("launch",), ("result",), ("wait", "result")])
def test_a_device_that_hangs_is_lost_after_the_time_limit(hangs_in: tuple[str, ...], was_lost: threading.Event) -> None:
    gpu = HangingGpu(*hangs_in)
    scheduler = Scheduler(models_of(gpu), lambda record: None, was_lost.set, max_in_flight=2, pass_timeout_s=0.5)
    groups = [texts(*range(start, start + 4)) for start in (1, 11, 21, 31)]
    scheduler.submit(groups)
    for group in groups:
        with pytest.raises(DeviceLostError, match=r"has not ended for 0\.5 s"):
            group.future.result(WAIT_S)
    assert was_lost.wait(WAIT_S)
    with pytest.raises(EngineStoppedError):
        scheduler.submit([texts(41)])
    # It does not wait for the worker, which still hangs.
    scheduler.close()
    gpu.is_over.set()


def test_a_device_without_work_is_not_lost(gpu: Gpu, was_lost: threading.Event) -> None:
    scheduler = Scheduler(models_of(gpu), lambda record: None, was_lost.set, max_in_flight=2, pass_timeout_s=0.05)
    gpu.finish()
    for number in range(1, 4):
        # Longer than the limit passes between them.
        assert not was_lost.wait(0.2)
        group = texts(number)
        scheduler.submit([group])
        assert answers(group) == [float(number)]
    scheduler.close()


@pytest.mark.parametrize("device", ["cuda:0", "cpu"])
def test_an_engine_on_a_gpu_that_hangs_ends_the_process_with_70(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exits: Queue[int] = Queue()
    monkeypatch.setattr("batch_http.shutdown.os", SimpleNamespace(_exit=exits.put))
    settings = load_settings(ClassifierSettings, pass_timeout_s=0.2)
    gpu = HangingGpu("result")
    gpu.device = device
    engine = Engine([(settings, gpu, COST)], exit_after_device_lost)
    group = texts(7)
    engine._scheduler.submit([group])
    if device == "cpu":
        # It cannot hang, but a slow one may take long.
        with pytest.raises(TimeoutError):
            group.future.result(0.5)
        gpu.is_over.set()
        assert answers(group) == [7.0]
    else:
        assert exits.get(timeout=WAIT_S) == 70
        assert not engine.is_ready
        gpu.is_over.set()
    engine.close()


def test_a_fault_in_bookkeeping_is_that_pass_s_alone(gpu: Gpu, models: dict[str, ScheduledModel]) -> None:
    def fails_once(record: PassRecord) -> None:
        if not seen:
            seen.append(record)
            raise OSError("no space for statistics")

    seen: list[PassRecord] = []
    scheduler = Scheduler(models, fails_once, max_in_flight=2)
    first, second = texts(1, 2, 3, 4), texts(11)
    two_in_flight(scheduler, gpu, first, second)
    gpu.finish()
    with pytest.raises(ForwardPassError):
        first.future.result(WAIT_S)
    assert answers(second) == [11.0]
    scheduler.close()


def test_closing_answers_both_passes_and_what_waits(scheduler: Scheduler, gpu: Gpu) -> None:
    groups = [texts(*range(start, start + 4)) for start in (1, 11, 21)]
    scheduler.submit(groups)
    gpu.wait_for_launches(2)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    gpu.finish()
    closing.join(WAIT_S)
    assert [answers(group, 0)[0] for group in groups] == [1.0, 11.0, 21.0]


def test_the_device_s_time_is_counted_once(
    scheduler: Scheduler, gpu: Gpu, records: list[PassRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("batch_inference.passes_in_flight.time", SimpleNamespace(monotonic=clock))
    first, second, third = (texts(start) for start in (1, 11, 21))
    clock.now_s = 100.0
    two_in_flight(scheduler, gpu, first, second)
    clock.now_s = 103.0
    gpu.finish(1)
    answers(first)
    clock.now_s = 104.0
    gpu.finish(1)
    answers(second)
    clock.now_s = 110.0
    scheduler.submit([third])
    gpu.wait_for_launches(1)
    clock.now_s = 115.0
    gpu.finish(1)
    answers(third)
    # Two passes kept the device busy for four seconds; it was idle for six.
    assert [record.duration_s for record in records] == [3.0, 1.0, 5.0]
    assert [group.usage.started_at for group in (first, second, third)] == [100.0, 103.0, 110.0]


class Clock:
    """Stands for `time.monotonic`, so that durations are the test's."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s
