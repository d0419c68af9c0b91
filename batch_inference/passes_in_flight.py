"""Forward passes from launch to answer, in the order of their launch, and what becomes of those that fail."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from batch_inference.errors import BatchInferenceError, DeviceLostError, DeviceOutOfMemoryError, ForwardPassError
from batch_inference.pass_watchdog import PassWatchdog
from batch_inference.scheduled_model import RunningPass, ScheduledModel
from batch_inference.text_groups import PassRows
from batch_inference.token_rows import Outputs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PassRecord:
    """A forward pass that went well.

    Attributes:
        num_rows: texts.
        num_tokens: those that were computed, padding included.
        num_padding_tokens: of these, padding.
        duration_s: seconds for which it was the first in flight: from its launch, or from the end of the pass before if
            that came later, to its own end. So the seconds of all passes together are those of a device at work.
        model: the name of the model that ran it.
    """

    num_rows: int
    num_tokens: int
    num_padding_tokens: int
    duration_s: float
    model: str = ""


@dataclass(slots=True)
class PassInFlight:
    """A pass that was launched at some `time.monotonic()`, and not read back.

    Attributes:
        is_over: it can be read back without waiting. Not noted if only one pass may be in flight.
    """

    rows: PassRows
    running: RunningPass
    launched_at: float
    is_over: bool = False


class PassesInFlight:
    """Passes that were launched, the oldest first. Every waiting group gets its outputs or one error, exactly once.

    A pass that fails is run again in parts, so that only the groups at fault fail: after those in flight are over, and
    one part at a time.

    Args:
        models: by the names that passes have.
        max_in_flight: how many may be in flight: 1 for a device that computes while it is given work.
        on_pass: called with every pass that went well.
        on_over: called, from another thread, when a pass can be read back; not if only one may be in flight.
        watchdog: is notified when a pass begins and ends; None where a device cannot hang.
    """

    def __init__(
        self,
        models: Mapping[str, ScheduledModel],
        max_in_flight: int,
        on_pass: Callable[[PassRecord], None],
        on_over: Callable[[], None],
        watchdog: PassWatchdog | None = None,
    ) -> None:
        self._models = models
        self._max_in_flight = max_in_flight
        self._on_pass = on_pass
        self._on_over = on_over
        self._watchdog = watchdog
        self._in_flight: deque[PassInFlight] = deque()
        self._in_hand: list[PassRows] = []
        self._last_ended_at = 0.0
        self._watcher = ThreadPoolExecutor(1, "pass-watcher") if max_in_flight > 1 else None

    def __len__(self) -> int:
        return len(self._in_flight)

    @property
    def has_room(self) -> bool:
        """Whether another pass may be launched."""
        return len(self) < self._max_in_flight

    @property
    def is_oldest_over(self) -> bool:
        """Whether there is a pass that can be read back without waiting for it, as far as is known."""
        return bool(self._in_flight) and self._in_flight[0].is_over

    def launch(self, rows: PassRows) -> None:
        """Launch a pass.

        Raises:
            DeviceLostError: the groups of this pass have got it.
        """
        with self._in_hand_of_worker(rows):
            launched_at = time.monotonic()
            if self._watchdog:
                self._watchdog.begin()
            try:
                runner = self._models[rows.model].runner
                running = runner.launch(runner.prepare(rows.token_rows()))
            except Exception as error:
                self._note_end()
                self._repeat_in_parts(rows, error)
            else:
                one = PassInFlight(rows, running, launched_at)
                self._in_flight.append(one)
                self._have_watched(one)

    def collect(self) -> None:
        """Wait for the oldest pass, and deliver its answers.

        Raises:
            DeviceLostError: the groups of this pass have got it.
        """
        one = self._in_flight.popleft()
        with self._in_hand_of_worker(one.rows):
            started_at = max(one.launched_at, self._last_ended_at)
            try:
                outputs = self._outputs(one)
            except Exception as error:
                self._repeat_in_parts(one.rows, error)
            else:
                self._deliver(one.rows, outputs, started_at)
                self._models[one.rows.model].budget.count_good_pass()

    def fail(self, error: DeviceLostError) -> None:
        """Wait for none of them any more: their groups get this error, also those of a pass that the worker is at."""
        for rows in [*self._in_hand, *(one.rows for one in self._in_flight)]:
            _fail(rows, error)
        self._in_flight.clear()

    def stop_watching(self) -> None:
        """No pass is launched any more."""
        if self._watcher:
            self._watcher.shutdown(wait=False)
        if self._watchdog:
            self._watchdog.stop()

    @contextmanager
    def _in_hand_of_worker(self, rows: PassRows) -> Iterator[None]:
        """A pass that is launched or collected. A fault of ours must not leave anybody waiting, nor end the worker."""
        self._in_hand.append(rows)
        try:
            yield
        except DeviceLostError as error:
            _fail(rows, error)
            raise
        except Exception:
            logger.exception("The scheduler failed on a pass of %d texts.", len(rows))
            _fail(rows, ForwardPassError("the forward pass failed"))
        finally:
            self._in_hand.pop()

    def _note_end(self) -> None:
        if self._watchdog:
            self._watchdog.end(has_more=bool(self._in_flight))

    def _have_watched(self, one: PassInFlight) -> None:
        if self._watcher:
            # While the interpreter shuts down it takes nothing: then `Scheduler.close` has the pass collected.
            with suppress(RuntimeError):
                self._watcher.submit(self._watch, one)

    def _watch(self, one: PassInFlight) -> None:
        try:
            one.running.wait()
        finally:
            one.is_over = True
            self._on_over()

    def _outputs(self, one: PassInFlight) -> Outputs:
        try:
            outputs = one.running.result()
        finally:
            self._last_ended_at = time.monotonic()
            self._note_end()
        if len(outputs) != len(one.rows):
            raise ForwardPassError(f"the model gave {len(outputs)} answers for {len(one.rows)} texts")
        return outputs

    def _repeat_in_parts(self, rows: PassRows, error: Exception) -> None:
        match error:
            case DeviceLostError():
                raise error
            case DeviceOutOfMemoryError():
                self._models[rows.model].budget.shrink(self._count_tokens(rows)[1])
                parts = rows.halves()
            case _:
                logger.error("A forward pass of %d texts failed.", len(rows), exc_info=error)
                parts = rows.by_group()
        if not parts:
            _fail(rows, error if isinstance(error, ForwardPassError) else ForwardPassError("the forward pass failed"))
        for part in parts:
            self._collect_all()
            live = part.live()
            if len(live):
                self.launch(live)
        self._collect_all()

    def _collect_all(self) -> None:
        while self._in_flight:
            self.collect()

    def _deliver(self, rows: PassRows, outputs: Outputs, started_at: float) -> None:
        duration_s = self._last_ended_at - started_at
        num_useful_tokens, num_tokens = self._count_tokens(rows)
        num_padding_tokens = num_tokens - num_useful_tokens
        self._on_pass(PassRecord(len(rows), num_tokens, num_padding_tokens, duration_s, rows.model))
        for group, positions, indices in rows.by_owner():
            usage = group.usage
            usage.started_at = started_at if usage.started_at is None else usage.started_at
            usage.num_passes += 1
            usage.inference_time_s += duration_s
            usage.num_tokens += num_tokens
            usage.num_padding_tokens += num_padding_tokens
            group.collect(indices, outputs[positions])

    def _count_tokens(self, rows: PassRows) -> tuple[int, int]:
        """Tokens of the texts, and those that a pass of them computes."""
        num_tokens = int(rows.lengths.sum())
        cost = self._models[rows.model].budget.cost
        return num_tokens, cost.computed_tokens(num_tokens, len(rows), int(rows.lengths.max()))


def _fail(rows: PassRows, error: BatchInferenceError) -> None:
    for group in rows.groups:
        group.fail(error)
