"""Continuous batching: texts of all requests in, forward passes out, futures resolved. Knows no torch and no HTTP.

One worker thread owns the models. Whenever it may launch a pass it takes what is next of all that waits.
There is no timer: what arrives after that is considered for the next one.

What Python touches are requests, not texts: the texts of a group, and those of a pass, are rows of arrays.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future

import numpy as np

from batch_inference.errors import DeviceLostError, EngineStoppedError
from batch_inference.pass_watchdog import PassWatchdog
from batch_inference.passes_in_flight import PassesInFlight, PassRecord
from batch_inference.scheduled_model import ScheduledModel
from batch_inference.text_groups import PassRows, TextGroup
from batch_inference.token_rows import Outputs
from batch_inference.waiting_texts import WaitingTexts

logger = logging.getLogger(__name__)


class Scheduler:
    """Runs queued texts on one worker thread until closed.

    Args:
        models: by the names that groups of texts have.
        on_pass: called after every pass that went well.
        on_device_lost: called once, when the device is gone; by then every waiter has its error.
        max_in_flight: passes that are launched before the first of them is read back: 1 for a device that computes
            while it is given work.
        pass_timeout_s: a device that ends no pass for so long is gone; None for one that cannot hang.
    """

    def __init__(
        self,
        models: Mapping[str, ScheduledModel],
        on_pass: Callable[[PassRecord], None],
        on_device_lost: Callable[[], None] = lambda: None,
        max_in_flight: int = 1,
        pass_timeout_s: float | None = None,
    ) -> None:
        watchdog = PassWatchdog(pass_timeout_s, self._lose_stuck_device) if pass_timeout_s else None
        self._pass_timeout_s = pass_timeout_s
        self._passes = PassesInFlight(models, max_in_flight, on_pass, self._wake, watchdog)
        self._on_device_lost = on_device_lost
        self._waiting = WaitingTexts(models)
        self._is_closed = False
        self._is_lost = False
        self._is_stuck = False
        self._has_abandoned = False
        self._changed = threading.Condition()
        self._worker = threading.Thread(target=self._work_or_give_up, name="batch-inference", daemon=True)
        self._worker.start()
        # A thread that still waits when the interpreter is torn down can abort the process.
        atexit.register(self.close)

    @property
    def num_waiting(self) -> int:
        """Texts in the queue, those in a pass not counted."""
        return len(self._waiting)

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
                if len(group.rows):
                    self._waiting.add(group)
                else:
                    group.answer(np.empty((0, 1), np.float32))
            self._changed.notify()

    def close(self) -> None:
        """Take no more texts, finish those that wait, and stop the worker, unless it is stuck in a pass."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if not self._is_stuck:
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

    def _take_rows(self) -> PassRows | None:
        """Take the texts of the next pass from the queue, if any wait. The lock is held."""
        if self._has_abandoned:
            self._has_abandoned = False
            self._waiting.drop_abandoned()
        if self._passes and not self._waiting.are_worth_a_second_pass:
            return None
        return self._waiting.take()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _lose_stuck_device(self) -> None:
        self._is_stuck = True
        self._give_up(DeviceLostError(f"a forward pass has not ended for {self._pass_timeout_s:g} s: the device hangs"))

    def _give_up(self, error: DeviceLostError) -> None:
        """Fail whatever waits, and take nothing more."""
        with self._changed:
            if self._is_lost:
                return
            self._is_closed = self._is_lost = True
            self._changed.notify()
            waiting = self._waiting.clear()
        logger.critical("%s", error)
        self._passes.fail(error)
        for group in waiting:
            group.fail(error)
        self._on_device_lost()

    def _note_abandoned(self, future: Future[Outputs]) -> None:
        """Remember that some queued texts may have nobody to answer: their group was cancelled or has failed."""
        if future.cancelled() or future.exception():
            self._has_abandoned = True
