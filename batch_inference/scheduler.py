"""Continuous batching: texts of all requests in, forward passes out, futures resolved. Knows no torch and no HTTP.

One worker thread owns the model. Whenever it may launch a pass it takes what the planner picks from all that waits.
There is no timer: what arrives after that is considered for the next one.

What Python touches are requests, not texts: the texts of a group, and those of a pass, are rows of arrays.
"""

from __future__ import annotations

import atexit
import logging
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from itertools import accumulate
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from batch_inference.budget import Budget
from batch_inference.errors import DeviceLostError, EngineStoppedError
from batch_inference.passes_in_flight import PassesInFlight, PassRecord, PassRunner, PreparedT
from batch_inference.planner import PassCost, plan_by_arrival, plan_pass
from batch_inference.text_groups import PassRows, TextGroup
from batch_inference.token_rows import Indices, Outputs, starts_of

logger = logging.getLogger(__name__)

SMALL_PASS_SHARE = 1 / 8
"""Of a pass's budget: what small requests may have of it that go before larger ones. So little that the remainder of a
large request is seldom taken for a small one, which would cost throughput."""


class Scheduler(Generic[PreparedT]):
    """Runs queued texts on one worker thread until closed.

    Args:
        runner: the model.
        cost: budget and fixed cost of a pass.
        on_pass: called after every pass that went well.
        on_device_lost: called once, from the worker, when the device is gone; by then every waiter has its error.
        max_in_flight: passes that are launched before the first of them is read back: 1 for a device that computes
            while it is given work.
    """

    def __init__(
        self,
        runner: PassRunner[PreparedT],
        cost: PassCost,
        on_pass: Callable[[PassRecord], None],
        on_device_lost: Callable[[], None] = lambda: None,
        max_in_flight: int = 1,
    ) -> None:
        self._budget = Budget(cost)
        self._passes = PassesInFlight(runner, self._budget, max_in_flight, on_pass, self._wake)
        self._on_device_lost = on_device_lost
        self._waiting: list[TextGroup] = []
        self._num_waiting = 0
        self._is_turn_of_oldest = False
        self._is_closed = False
        self._has_abandoned = False
        self._changed = threading.Condition()
        self._worker = threading.Thread(target=self._work_or_give_up, name="batch-inference", daemon=True)
        self._worker.start()
        # A thread that still waits when the interpreter is torn down can abort the process.
        atexit.register(self.close)

    @property
    def max_batch_tokens(self) -> int:
        """The budget in force: as given, or less for a while after an out-of-memory."""
        return self._budget.cost.max_batch_tokens

    @property
    def num_waiting(self) -> int:
        """Texts in the queue, those in a pass not counted."""
        return self._num_waiting

    def submit(self, groups: Iterable[TextGroup]) -> None:
        """Queue the texts of groups in one go. Each group's future is resolved exactly once.

        Raises:
            EngineStoppedError: the scheduler is closed.
        """
        with self._changed:
            if self._is_closed:
                raise EngineStoppedError
            for group in groups:
                group.future.add_done_callback(self._note_abandoned)
                if not len(group.rows):
                    group.answer(np.empty((0, 1), np.float32))
                    continue
                self._waiting.append(group)
                self._num_waiting += len(group.rows)
            self._changed.notify()

    def close(self) -> None:
        """Take no more texts, finish those that wait, and stop the worker."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._worker.join()
        atexit.unregister(self.close)

    def _work_or_give_up(self) -> None:
        """Work until closed. A worker that dies of a fault of ours fails every waiting group."""
        try:
            self._work()
        except DeviceLostError as error:
            self._give_up(error)
        except Exception as error:
            logger.exception("The scheduler's worker died.")
            self._give_up(DeviceLostError(f"no pass can be run any more: {error}"))
        self._passes.stop_watching()

    def _work(self) -> None:
        while True:
            while self._passes.has_room and (rows := self._next_rows()):
                self._passes.launch(rows)
            if not self._passes:
                return
            self._passes.collect()

    def _next_rows(self) -> PassRows | None:
        """Take the texts of the next pass, or wait for some. None if there is a pass to collect instead; or, once
        closed, if no text is left."""
        with self._changed:
            while not (rows := self._take_rows()) and not self._passes.is_oldest_over and not self._is_closed:
                self._changed.wait()
            return rows

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _give_up(self, error: DeviceLostError) -> None:
        """Fail whatever waits, and take nothing more."""
        logger.critical("%s", error)
        with self._changed:
            self._is_closed = True
            waiting, self._waiting = self._waiting, []
            self._num_waiting = 0
        self._passes.fail(error)
        for group in waiting:
            group.fail(error)
        self._on_device_lost()

    def _note_abandoned(self, future: Future[Outputs]) -> None:
        """Remember that some queued texts may have nobody to answer: their group was cancelled or has failed."""
        if future.cancelled() or future.exception():
            self._has_abandoned = True

    def _take_rows(self) -> PassRows | None:
        """Take the texts of the next pass from the queue, if any wait. The lock is held."""
        self._drop_abandoned()
        if not self._waiting:
            return None
        waiting = PassRows.waiting_in(self._in_turn())
        taken = _planned(waiting.lengths, self._budget.cost)
        self._num_waiting -= len(taken)
        if not self._num_waiting:
            self._waiting = []
        else:
            is_left = np.ones(len(waiting), bool)
            is_left[taken] = False
            start = 0
            for group in waiting.groups:
                end = start + len(group.waiting)
                group.leave_waiting(is_left[start:end])
                start = end
            self._waiting = [group for group in self._waiting if len(group.waiting)]
        return waiting.part(taken)

    def _in_turn(self) -> list[TextGroup]:
        """The waiting groups that the next pass may take from, the one that it begins with first.

        Every other pass begins with the oldest, so no text starves; those between with the one that has the fewest
        tokens left. So a small request waits for three passes at most, however many large ones came before: two in
        flight, and one of the oldest. And it is not made to wait for a full pass of its own: with more in the queue
        than a pass takes, it shares one with small ones only.
        """
        self._is_turn_of_oldest = not self._is_turn_of_oldest
        if self._is_turn_of_oldest or len(self._waiting) == 1:
            return self._waiting
        by_size = sorted(self._waiting, key=lambda group: group.num_tokens)
        tokens_up_to = list(accumulate(group.num_tokens for group in by_size))
        if tokens_up_to[-1] > self._budget.cost.max_batch_tokens:
            num_small = bisect_right(tokens_up_to, self._budget.cost.max_batch_tokens * SMALL_PASS_SHARE)
            if num_small:
                return by_size[:num_small]
        return [by_size[0], *(group for group in self._waiting if group is not by_size[0])]

    def _drop_abandoned(self) -> None:
        if not self._has_abandoned:
            return
        self._has_abandoned = False
        self._waiting = [group for group in self._waiting if not group.future.done()]
        self._num_waiting = sum(len(group.waiting) for group in self._waiting)


def _planned(lengths: NDArray[np.int32], cost: PassCost) -> Indices:
    """Which of the waiting texts are in the next pass: the first of them, and what goes with it. In the order of the
    queue, or by their lengths, so that like stands beside like, and the first among equals first."""
    if len(lengths) == 1:
        return np.zeros(1, np.intp)
    if cost.is_by_arrival:
        return np.arange(plan_by_arrival(lengths, cost))
    by_length = np.argsort(lengths, kind="stable")
    if not cost.is_padded and int(lengths.sum()) <= cost.max_batch_tokens:
        # As `plan_pass` would have it, and the usual case.
        return by_length
    values, counts = np.unique(lengths, return_counts=True)
    waiting = dict(zip(values.tolist(), counts.tolist(), strict=True))
    plan = plan_pass(waiting, int(lengths[0]), cost)
    limits = np.array([plan.get(length, 0) for length in waiting])
    ranks = np.arange(len(lengths)) - np.repeat(starts_of(counts), counts)
    return by_length[ranks < np.repeat(limits, counts)]
