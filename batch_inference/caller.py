"""The one sign that nobody waits for an answer any more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError


class Caller:
    """The caller of a request, who may leave before the answer is there. Any thread may use it."""

    def __init__(self) -> None:
        self._has_left = False
        self._callbacks: list[Callable[[], object]] = []
        self._lock = threading.Lock()

    @property
    def has_left(self) -> bool:
        """Whether nobody waits any more."""
        return self._has_left

    def leave(self) -> None:
        """Give the sign. Work for this caller ends soon; giving it again changes nothing."""
        with self._lock:
            self._has_left = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def on_leaving(self, callback: Callable[[], object]) -> None:
        """Call back once the caller leaves, on that thread; at once if the caller has left."""
        with self._lock:
            if not self._has_left:
                self._callbacks.append(callback)
                return
        callback()

    def check(self) -> None:
        """Return if somebody waits.

        Raises:
            CancelledError: the caller has left.
        """
        if self._has_left:
            raise CancelledError
