"""Backpressure: how many tokens may have been admitted and not answered yet."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batch_inference.errors import EngineStoppedError, QueueFullError


class QueueLimit:
    """Admits requests by their tokens, from any thread, until it is closed.

    Args:
        max_tokens: of all requests that are admitted at a time. A larger one is admitted when nothing else is.
        seconds_for: how long so many tokens are likely to take.
    """

    def __init__(self, max_tokens: int, seconds_for: Callable[[int], float]) -> None:
        self._max_tokens = max_tokens
        self._seconds_for = seconds_for
        self._num_tokens = 0
        self._is_open = True
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether a request would be admitted if there was room."""
        return self._is_open

    @property
    def num_tokens(self) -> int:
        """Tokens of the requests that are admitted now."""
        return self._num_tokens

    def close(self) -> None:
        """Refuse all requests from now on; those admitted keep their places."""
        self._is_open = False

    def check_open(self) -> None:
        """Say before any work for a request whether it would be in vain.

        Raises:
            EngineStoppedError: it is closed.
        """
        if not self._is_open:
            raise EngineStoppedError

    @contextmanager
    def place(self, num_tokens: int) -> Iterator[None]:
        """Hold a request's place until it has been answered.

        Raises:
            QueueFullError: there is no room; nothing was admitted.
        """
        with self._lock:
            if self._num_tokens and self._num_tokens + num_tokens > self._max_tokens:
                raise self._queue_full(num_tokens)
            self._num_tokens += num_tokens
        try:
            yield
        finally:
            with self._lock:
                self._num_tokens -= num_tokens

    def _queue_full(self, num_tokens: int) -> QueueFullError:
        """The refusal of a request of so many tokens; a place is likely once those in its way have been run."""
        in_the_way = min(self._num_tokens, self._num_tokens + num_tokens - self._max_tokens)
        retry_after_s = max(1, math.ceil(self._seconds_for(in_the_way)))
        return QueueFullError(
            f"the queue is full: this request has {num_tokens} tokens, {self._num_tokens} of {self._max_tokens} are "
            f"taken; try again in {retry_after_s} s",
            retry_after_s,
        )
