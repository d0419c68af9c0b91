"""Continuous batching: texts of all requests in, forward passes out, futures resolved. Knows no torch and no HTTP.

One worker thread owns the model. Whenever it is free it runs what the planner picks from all that waits. There is no
timer: what arrives during a pass is considered for the next one.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from batch_inference.errors import (
    BatchInferenceError,
    DeviceLostError,
    DeviceOutOfMemoryError,
    EngineStoppedError,
    ForwardPassError,
)
from batch_inference.planner import PassCost, plan_pass

logger = logging.getLogger(__name__)

PreparedT = TypeVar("PreparedT")


class PassRunner(Protocol[PreparedT]):
    """What the scheduler needs of a model."""

    def prepare(self, rows: Sequence[Sequence[int]]) -> PreparedT:
        """Pad rows of token ids and start moving them to the device."""
        ...

    def run(self, prepared: PreparedT, meanwhile: Callable[[], None]) -> list[list[float]]:
        """Run one forward pass; a row of probabilities for each row.

        A runner whose device works by itself calls `meanwhile` once it has handed the pass over.
        """
        ...


PASSES_BEFORE_GROWTH = 50
"""Passes that must go well before a budget that was halved by an out-of-memory doubles again."""


@dataclass(slots=True)
class PassUsage:
    """What the forward passes that held a group's texts cost. Times in seconds.

    A pass shared with other requests counts in full: `inference_time_s` is time spent waiting for the device to
    finish, not a share of it, and padding is that of the whole pass.
    """

    started_at: float | None = None
    num_passes: int = 0
    inference_time_s: float = 0.0
    num_tokens: int = 0
    num_padding_tokens: int = 0

    @property
    def padding_ratio(self) -> float:
        """Padding tokens over all tokens of those passes, from 0 to 1."""
        return self.num_padding_tokens / self.num_tokens if self.num_tokens else 0.0


@dataclass(slots=True, eq=False)
class TextGroup:
    """Texts whose answers are delivered together: the future gets one row of probabilities per text, in order.

    Cancelling the future takes those texts out of the queue that are not in a pass yet.
    """

    rows: list[list[int]]
    future: Future[list[list[float]]] = field(default_factory=Future)
    usage: PassUsage = field(default_factory=PassUsage)
    answers: list[list[float]] = field(default_factory=list)
    num_unanswered: int = 0


@dataclass(slots=True, eq=False)
class QueuedText:
    """One text on its way: its token ids, where its answer goes, and its place in the order of arrival."""

    input_ids: list[int]
    group: TextGroup
    index: int
    arrival: int


@dataclass(frozen=True, slots=True)
class PassRecord:
    """A forward pass that went well."""

    num_rows: int
    num_tokens: int
    num_padding_tokens: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class PlannedPass(Generic[PreparedT]):
    """Texts taken from the queue and, if there was time, the same texts as the runner wants them."""

    texts: list[QueuedText]
    prepared: PreparedT | None = None


class Scheduler(Generic[PreparedT]):
    """Runs queued texts on one worker thread until closed. While a device works by itself, the next pass is prepared.

    Args:
        runner: the model.
        cost: budget and fixed cost of a pass.
        on_pass: told of every pass that went well.
        on_device_lost: told once, from the worker, when the device is gone; by then every waiter has its error.
    """

    def __init__(
        self,
        runner: PassRunner[PreparedT],
        cost: PassCost,
        on_pass: Callable[[PassRecord], None],
        on_device_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._runner = runner
        self._ahead: PlannedPass[PreparedT] | None = None
        self._cost = cost
        self._full_budget = cost.max_batch_tokens
        self._on_pass = on_pass
        self._on_device_lost = on_device_lost
        self._passes_since_out_of_memory = 0
        self._waiting: dict[int, deque[QueuedText]] = {}
        self._num_arrivals = 0
        self._num_waiting = 0
        self._is_closed = False
        self._has_abandoned = False
        self._changed = threading.Condition()
        self._worker = threading.Thread(target=self._work, name="batch-inference", daemon=True)
        self._worker.start()
        # A thread that still waits when the interpreter is torn down can abort the process.
        atexit.register(self.close)

    @property
    def max_batch_tokens(self) -> int:
        """The budget in force: as given, or less for a while after an out-of-memory."""
        return self._cost.max_batch_tokens

    @property
    def num_waiting(self) -> int:
        """Texts in the queue, those in the running pass not counted."""
        return self._num_waiting

    def submit(self, groups: Iterable[TextGroup]) -> None:
        """Queue the texts of groups in one go. Each group's future is resolved exactly once.

        Raises:
            EngineStoppedError: the scheduler is closed.
        """
        with self._changed:
            if self._is_closed:
                raise EngineStoppedError("the service is shutting down; send the request to another instance")
            for group in groups:
                group.num_unanswered = len(group.rows)
                group.answers = [[] for _ in group.rows]
                group.future.add_done_callback(self._note_abandoned)
                for index, input_ids in enumerate(group.rows):
                    text = QueuedText(input_ids, group, index, self._num_arrivals)
                    self._waiting.setdefault(len(input_ids), deque()).append(text)
                    self._num_arrivals += 1
                    self._num_waiting += 1
                if not group.rows:
                    _succeed(group)
            self._changed.notify()

    def close(self) -> None:
        """Take no more texts, finish those that wait, and stop the worker."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._worker.join()
        atexit.unregister(self.close)

    def _work(self) -> None:
        while (planned := self._take_ahead() or PlannedPass(self._wait_for_texts())).texts:
            try:
                self._run(planned, self._plan_ahead)
            except DeviceLostError as error:
                self._give_up(planned.texts, error)
            except Exception:
                # A fault of ours. Whoever waits must still hear of it, and the worker must live.
                logger.exception("The scheduler failed on a pass of %d texts.", len(planned.texts))
                for text in planned.texts:
                    _fail(text.group, ForwardPassError("the forward pass failed"))

    def _plan_ahead(self) -> None:
        with self._changed:
            texts = self._take_texts()
        if not texts:
            return
        self._ahead = PlannedPass(texts)
        # If this fails, so it will when it is the pass's turn, where the failure is dealt with.
        with suppress(Exception):
            self._ahead = PlannedPass(texts, self._prepare(texts))

    def _prepare(self, texts: list[QueuedText]) -> PreparedT:
        return self._runner.prepare([text.input_ids for text in texts])

    def _take_ahead(self) -> PlannedPass[PreparedT] | None:
        ahead, self._ahead = self._ahead, None
        return ahead

    def _give_up(self, texts: list[QueuedText], error: DeviceLostError) -> None:
        """Fail whatever waits, and take nothing more."""
        logger.critical("%s", error)
        with self._changed:
            self._is_closed = True
            waiting = [text for texts in self._waiting.values() for text in texts]
            self._waiting = {}
            self._num_waiting = 0
        ahead = self._take_ahead()
        for text in [*texts, *(ahead.texts if ahead else []), *waiting]:
            _fail(text.group, error)
        self._on_device_lost()

    def _note_abandoned(self, future: Future[list[list[float]]]) -> None:
        """Remember that some queued texts may have nobody to answer: their group was cancelled or has failed."""
        if future.cancelled() or future.exception():
            self._has_abandoned = True

    def _wait_for_texts(self) -> list[QueuedText]:
        """Wait for texts, then take those of the next pass. Empty once closed and drained."""
        with self._changed:
            while not (texts := self._take_texts()) and not self._is_closed:
                self._changed.wait()
            return texts

    def _take_texts(self) -> list[QueuedText]:
        """Take the texts of the next pass from the queue, if any wait. The lock is held."""
        self._drop_abandoned()
        if not self._waiting:
            return []
        oldest = min(self._waiting, key=lambda length: self._waiting[length][0].arrival)
        lengths = {length: len(texts) for length, texts in self._waiting.items()}
        plan = plan_pass(lengths, oldest, self._cost)
        # In the order of their lengths, so that like stands beside like.
        taken = [self._waiting[length].popleft() for length in sorted(plan) for _ in range(plan[length])]
        self._num_waiting -= len(taken)
        self._forget_empty_lengths()
        return taken

    def _drop_abandoned(self) -> None:
        if not self._has_abandoned:
            return
        self._has_abandoned = False
        for length, texts in self._waiting.items():
            self._waiting[length] = deque(text for text in texts if not text.group.future.done())
        self._forget_empty_lengths()
        self._num_waiting = sum(map(len, self._waiting.values()))

    def _forget_empty_lengths(self) -> None:
        self._waiting = {length: texts for length, texts in self._waiting.items() if texts}

    def _run(self, planned: PlannedPass[PreparedT], meanwhile: Callable[[], None]) -> None:
        """Run one pass; on failure run its parts, so that only the groups at fault fail."""
        texts = planned.texts
        started_at = time.monotonic()
        try:
            prepared = self._prepare(texts) if planned.prepared is None else planned.prepared
            answers = self._runner.run(prepared, meanwhile)
            if len(answers) != len(texts):
                raise ForwardPassError(f"the model gave {len(answers)} answers for {len(texts)} texts")
        except DeviceLostError:
            raise
        except DeviceOutOfMemoryError as error:
            self._shrink_budget(texts)
            parts = [texts[: len(texts) // 2], texts[len(texts) // 2 :]] if len(texts) > 1 else []
            self._run_parts(parts, texts, error)
        except Exception as error:
            logger.exception("A forward pass of %d texts failed.", len(texts))
            groups = {id(text.group): text.group for text in texts}
            parts = [[text for text in texts if text.group is group] for group in groups.values()]
            self._run_parts(parts if len(parts) > 1 else [], texts, error)
        else:
            self._deliver(texts, answers, started_at)
            self._regrow_budget()

    def _run_parts(self, parts: list[list[QueuedText]], texts: list[QueuedText], error: Exception) -> None:
        if not parts:
            reason = error if isinstance(error, ForwardPassError) else ForwardPassError("the forward pass failed")
            for text in texts:
                _fail(text.group, reason)
        for part in parts:
            live = [text for text in part if not text.group.future.done()]
            if live:
                self._run(PlannedPass(live), lambda: None)

    def _deliver(self, texts: list[QueuedText], answers: list[list[float]], started_at: float) -> None:
        duration_s = time.monotonic() - started_at
        num_useful_tokens, num_tokens = self._count_tokens(texts)
        num_padding_tokens = num_tokens - num_useful_tokens
        self._on_pass(PassRecord(len(texts), num_tokens, num_padding_tokens, duration_s))
        for group in {id(text.group): text.group for text in texts}.values():
            usage = group.usage
            usage.started_at = started_at if usage.started_at is None else usage.started_at
            usage.num_passes += 1
            usage.inference_time_s += duration_s
            usage.num_tokens += num_tokens
            usage.num_padding_tokens += num_padding_tokens
        for text, answer in zip(texts, answers, strict=True):
            text.group.answers[text.index] = answer
            text.group.num_unanswered -= 1
            if text.group.num_unanswered == 0:
                _succeed(text.group)

    def _count_tokens(self, texts: list[QueuedText]) -> tuple[int, int]:
        """Tokens of the texts, and those that a pass of them computes."""
        lengths = [len(text.input_ids) for text in texts]
        return sum(lengths), self._cost.computed_tokens(sum(lengths), len(lengths), max(lengths))

    def _shrink_budget(self, texts: list[QueuedText]) -> None:
        failed_tokens = self._count_tokens(texts)[1]
        self._cost = replace(self._cost, max_batch_tokens=max(1, min(failed_tokens, self.max_batch_tokens) // 2))
        self._passes_since_out_of_memory = 0
        logger.warning("Out of memory: the budget of a pass is now %d tokens.", self.max_batch_tokens)

    def _regrow_budget(self) -> None:
        if self.max_batch_tokens == self._full_budget:
            return
        self._passes_since_out_of_memory += 1
        if self._passes_since_out_of_memory == PASSES_BEFORE_GROWTH:
            self._passes_since_out_of_memory = 0
            budget = min(self._full_budget, 2 * self.max_batch_tokens)
            self._cost = replace(self._cost, max_batch_tokens=budget)


def _succeed(group: TextGroup) -> None:
    # False if the caller has gone: nobody waits for the answers.
    if group.future.set_running_or_notify_cancel():
        group.future.set_result(group.answers)


def _fail(group: TextGroup, error: BatchInferenceError) -> None:
    if not group.future.done() and group.future.set_running_or_notify_cancel():
        group.future.set_exception(error)
