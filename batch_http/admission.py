"""How many requests are worked on at a time. Decided on the event loop: a refusal waits for nothing."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from batch_http.refusals import Refused

SMALL_BODY_BYTES = 4 * 1024
SMALL_BODY_QUOTES = 40
"""A request of one or a few texts has no more: each text has two quotation marks, and so has each field's name."""


class Places:
    """Places for requests at work: each needs a thread of the SDK's pool until it has its answer.

    Large requests may hold three quarters of them. Small ones may hold them all, and as many more may wait in line: so
    no number of large ones keeps a small one out.
    """

    def __init__(self, num_places: int) -> None:
        self._num_places = num_places
        self._num_for_large = max(1, num_places * 3 // 4)
        self._num_taken = 0
        self._num_large = 0
        self._line: deque[asyncio.Future[None]] = deque()
        self._held_s = 0.0

    @asynccontextmanager
    async def place(self, body: bytes) -> AsyncIterator[None]:
        """Hold a place for the request with this JSON as its body, for as long as the block lasts.

        Raises:
            Refused: none is free.
        """
        is_large = len(body) > SMALL_BODY_BYTES or body.count(b'"') > SMALL_BODY_QUOTES
        await self._take(is_large)
        taken_at = time.monotonic()
        try:
            yield
        finally:
            # Over the last sixteen requests or so.
            self._held_s += (time.monotonic() - taken_at - self._held_s) / 16
            self._free(is_large)

    async def _take(self, is_large: bool) -> None:
        if self._num_taken < self._num_places and not (is_large and self._num_large == self._num_for_large):
            self._num_taken += 1
            self._num_large += is_large
        elif is_large or len(self._line) >= self._num_places:
            raise self._refusal()
        else:
            turn = asyncio.get_running_loop().create_future()
            self._line.append(turn)
            try:
                # Whoever gives up the place hands it over, so it is never free in between.
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._free(is_large=False)
                raise

    def _free(self, is_large: bool) -> None:
        self._num_large -= is_large
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._num_taken -= 1

    def _refusal(self) -> Refused:
        retry_after_s = min(60, max(1, math.ceil(self._held_s)))
        msg = f"{self._num_taken} requests are being worked on, which is all there is room for"
        return Refused("busy", 429, f"{msg}; try again in {retry_after_s} s", {"retry-after": str(retry_after_s)})
