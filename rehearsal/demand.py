"""When a private chute has an instance, as the server's bounties, autoscaler and idle shutdown have it.

A call or a warm-up that finds none asks for one: the wish lives for an hour and is not prolonged by further calls, but
the next call after that makes a new one. A machine takes its time, and comes only while somebody wishes for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

WISH_LIFETIME_S = 3600.0
"""The server's `BOUNTY_LIFETIME_PRIVATE`."""

UNWISHED_FOR_S = 120.0
"""The autoscaler looks every two minutes: for so long a wish may lapse and be renewed without starting over."""


@dataclass
class Demand:
    """The life of a chute's only instance.

    Attributes:
        cold_for_s: from the wish to an instance that answers.
        shutdown_after_s: how long it is kept after its last request; None is for good.
        scale: how many seconds of the platform's pass in one of `clock`: 60 rehearses an hour in a minute.
        num_starts: how many instances were asked for so far.
    """

    cold_for_s: float = 0.0
    shutdown_after_s: float | None = None
    clock: Callable[[], float] = time.monotonic
    scale: float = 1.0
    num_starts: int = 0
    _wished_at: float | None = None
    _wish_ends: float = 0.0
    _up_since: float | None = None
    _last_used: float = 0.0
    _paid_s: float = 0.0

    @property
    def now(self) -> float:
        """The platform's time, in seconds."""
        return self.clock() * self.scale

    @property
    def is_hot(self) -> bool:
        """Whether there is an instance."""
        self._catch_up()
        return self._up_since is not None

    @property
    def paid_s(self) -> float:
        """Seconds that instances have been up so far: all of them are paid for."""
        self._catch_up()
        return self._paid_s + (self.now - self._up_since if self._up_since is not None else 0.0)

    def wish(self) -> None:
        """Ask for an instance, unless there is one or an earlier wish for it still lives."""
        self._catch_up()
        if self._up_since is not None:
            return
        if self._wished_at is None:
            self._wished_at = self.now
            self.num_starts += 1
            self._wish_ends = self.now + WISH_LIFETIME_S
        elif self.now >= self._wish_ends:
            self._wish_ends = self.now + WISH_LIFETIME_S
        self._catch_up()

    def used(self) -> None:
        """A request was answered: the instance is kept for a while longer."""
        self._last_used = self.now

    def deleted(self) -> None:
        """The instance is gone, whatever it was doing."""
        self._catch_up()
        self._end(self.now)

    def _catch_up(self) -> None:
        """What has happened by itself since the last look."""
        now = self.now
        if self._up_since is None and self._wished_at is not None:
            ready_at = self._wished_at + self.cold_for_s
            if ready_at <= now and ready_at <= self._wish_ends:
                self._up_since = self._last_used = ready_at
            elif now >= self._wish_ends + UNWISHED_FOR_S:
                self._wished_at = None
        if self._up_since is not None and self.shutdown_after_s is not None:
            ends = self._last_used + self.shutdown_after_s
            if now >= ends:
                self._end(ends)

    def _end(self, moment: float) -> None:
        if self._up_since is not None:
            self._paid_s += moment - self._up_since
        self._up_since = self._wished_at = None
