"""Notices a device that never ends a pass. CUDA does not: a call that waits for such a device never returns."""

from __future__ import annotations

import threading
from collections.abc import Callable

NUM_STEPS = 10
"""Into which the time limit is cut."""


class PassWatchdog:
    """Calls `on_stuck` once, from a thread of its own, if no pass ends for `limit_s` seconds while one is under way.

    The seconds are counted in steps for which this process was awake: one that was frozen blames no device.
    """

    def __init__(self, limit_s: float, on_stuck: Callable[[], None]) -> None:
        self._step_s = limit_s / NUM_STEPS
        self._on_stuck = on_stuck
        self._lock = threading.Lock()
        self._num_steps: int | None = None
        self._is_stopped = threading.Event()
        threading.Thread(target=self._watch, name="pass-watchdog", daemon=True).start()

    def begin(self) -> None:
        """A pass begins. The time goes on for those under way already."""
        with self._lock:
            if self._num_steps is None:
                self._num_steps = 0

    def end(self, has_more: bool) -> None:
        """A pass has ended, however it did. The time of those that are left begins now."""
        with self._lock:
            self._num_steps = 0 if has_more else None

    def stop(self) -> None:
        """No pass begins any more."""
        self._is_stopped.set()

    def _watch(self) -> None:
        while not self._is_stopped.wait(self._step_s):
            if self._is_out_of_time():
                self._on_stuck()
                return

    def _is_out_of_time(self) -> bool:
        with self._lock:
            if self._num_steps is None:
                return False
            self._num_steps += 1
            # The first step may have begun long before its pass did.
            return self._num_steps > NUM_STEPS
