"""How many requests may be in flight: more while that helps, half when the service says it is too many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_REQUESTS_PER_ROUND = 3
"""Answers per request in flight before a level is judged."""
_NEEDED_GAIN = 0.05
"""Share of the proportional gain that a step must bring: 5 % more texts per second for twice as many in flight.

Little, because a request too many only waits at the service, and one too few leaves it idle.
"""
_ROUNDS_AT_REST = 4
"""Rounds at a level after a step that did not help or a 429, before growth is tried again."""


class AdaptiveLimit:
    """A limit on concurrency that finds its own level.

    Begins at `start` and doubles while each doubling brings more texts per second, then goes on in steps of one; a step
    that does not help is taken back. `clock` gives seconds.
    """

    def __init__(self, maximum: int, start: int = 8, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = min(start, maximum)
        self._maximum = maximum
        self._clock = clock
        self._in_flight = 0
        self._freed = asyncio.Condition()
        self._paused_until = self._last_halving = clock()
        self._is_doubling = True
        self._before_step: tuple[int, float] | None = None
        self._rounds_at_rest = 0
        self._start_round()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Hold one of the slots; gives the time it was got, which `report_overload` wants back."""
        async with self._freed:
            await self._freed.wait_for(lambda: self._in_flight < self.limit)
            self._in_flight += 1
        try:
            while (pause_s := self._paused_until - self._clock()) > 0:
                await asyncio.sleep(pause_s)
            yield self._clock()
        finally:
            self._in_flight -= 1
            async with self._freed:
                self._freed.notify_all()

    def report_answer(self, num_texts: int) -> None:
        """Count an answered request; the last one of a round decides about the next level."""
        self._round_texts += num_texts
        self._round_answers += 1
        if self._round_answers < _REQUESTS_PER_ROUND * self.limit:
            return
        elapsed_s = self._clock() - self._round_started
        self._judge(self._round_texts / elapsed_s if elapsed_s > 0 else 0.0)
        self._start_round()

    def report_overload(self, started: float, retry_after_s: float | None) -> None:
        """Halve the limit, once for all requests that were in flight together, and send nothing for `retry_after_s`."""
        now = self._clock()
        self._paused_until = max(self._paused_until, now + (retry_after_s or 0.0))
        if started < self._last_halving:
            return
        self.limit = max(1, self.limit // 2)
        self._last_halving = now
        self._rest()
        self._start_round()

    def _start_round(self) -> None:
        self._round_started = self._clock()
        self._round_texts = self._round_answers = 0

    def _judge(self, rate: float) -> None:
        if self._rounds_at_rest:
            self._rounds_at_rest -= 1
            return
        if self._before_step is not None:
            limit_before, rate_before = self._before_step
            needed = rate_before * (1 + _NEEDED_GAIN * (self.limit / limit_before - 1))
            if rate < needed:
                self.limit = limit_before
                self._rest()
                return
        step = self.limit if self._is_doubling else 1
        grown = min(self._maximum, self.limit + step)
        self._before_step = (self.limit, rate) if grown > self.limit else None
        self.limit = grown

    def _rest(self) -> None:
        self._is_doubling = False
        self._before_step = None
        self._rounds_at_rest = _ROUNDS_AT_REST
