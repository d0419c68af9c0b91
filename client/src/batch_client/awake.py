"""A clock that stands still while this process does: stopped with Ctrl-Z, or on a laptop that sleeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_BEAT_S = 0.5
_LONGEST_BEAT_S = 2.0
"""A beat that comes later than this means that the process did not run, or was kept from running."""


class AwakeClock:
    """Seconds since some moment, without those between two beats that are too far apart. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._asleep_s = 0.0
        self._num_users = 0
        self._beats: asyncio.Task[None] | None = None

    def now(self) -> float:
        """Seconds. The first call after a stop finds it out, be it a beat or that of a timer that was due meanwhile."""
        moment = self._clock()
        gap_s = moment - self._last
        if self._is_beating and gap_s > _LONGEST_BEAT_S:
            self._asleep_s += gap_s
        self._last = moment
        return moment - self._asleep_s

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Notice stops within the block; blocks may overlap."""
        if not self._is_beating:
            self._num_users = 0
            self._last = self._clock()
            self._beats = asyncio.create_task(self._beat())
        self._num_users += 1
        try:
            yield
        finally:
            self._num_users -= 1
            if not self._num_users and self._beats is not None:
                self._beats.cancel()

    @property
    def _is_beating(self) -> bool:
        return self._beats is not None and not self._beats.done()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            self.now()
