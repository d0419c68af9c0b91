"""How many requests are worked on at a time. Decided on the event loop: a refusal waits for nothing."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from batch_http.body import ClientLeft
from batch_http.refusals import Refused
from batch_http.served_engine import ServedEngine
from batch_inference.errors import QueueFullError

SMALL_BODY_BYTES = 4 * 1024
SMALL_BODY_QUOTES = 40
"""A request of one or a few texts has no more: each text has two quotation marks, and so has each field's name."""

SIZED_BODY_BYTES = 64 * 1024
"""A larger body is looked at for room in the queue before it is parsed."""

MAX_BYTES_PER_CHARACTER, MAX_BYTES_PER_ESCAPE = 4, 6
"""Of UTF-8 and of JSON."""

SHORTENS_TEXTS = b"max_length"
"""A request with this field may have fewer tokens than its size says."""


def check_room(body: bytes, engine: ServedEngine | None) -> None:
    """Refuse a large request for which the queue has no room, before anything is parsed: by its number of strings and
    bytes. Half of what such a refusal costs later is spent by then.

    Args:
        body: the request's JSON.
        engine: where it would wait; None before it is loaded.

    Raises:
        Refused: the queue is full.
    """
    if engine is None or len(body) <= SIZED_BODY_BYTES or SHORTENS_TEXTS in body:
        return
    num_bytes = len(body) - MAX_BYTES_PER_ESCAPE * body.count(b"\\")
    num_characters = num_bytes if body.isascii() else num_bytes // MAX_BYTES_PER_CHARACTER
    try:
        engine.check_room(body.count(b'"') // 2, num_characters)
    except QueueFullError as error:
        raise Refused("queue_full", 429, str(error), {"retry-after": str(error.retry_after_s)}) from None


class Slots:
    """Slots for requests at work: each needs a thread of the SDK's pool, and holds its slot until that thread is free.

    Large requests may hold three quarters of them. Small ones may hold them all, and as many more may wait in line: so
    no number of large ones keeps a small one out.
    """

    def __init__(self, num_slots: int) -> None:
        self._num_slots = num_slots
        self._num_for_large = max(1, num_slots * 3 // 4)
        self._num_taken = 0
        self._num_large = 0
        self._line: deque[asyncio.Future[None]] = deque()
        self._held_s = 0.0

    async def take(self, body: bytes, left: Callable[[], Awaitable[None]]) -> Slot:
        """Take a slot for the request with this JSON as its body; a small one may wait in line for it.

        Args:
            body: the request's body.
            left: waits until the client has left: then it leaves the line.

        Raises:
            Refused: none is free.
            ClientLeft: the client has left.
        """
        is_large = len(body) > SMALL_BODY_BYTES or body.count(b'"') > SMALL_BODY_QUOTES
        if self._num_taken < self._num_slots and not (is_large and self._num_large == self._num_for_large):
            self._num_taken += 1
            self._num_large += is_large
        elif is_large or len(self._line) >= self._num_slots:
            raise self._refusal()
        else:
            await self._wait_in_line(left)
        return Slot(self, is_large, time.monotonic())

    async def _wait_in_line(self, left: Callable[[], Awaitable[None]]) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        leaving = asyncio.ensure_future(left())
        try:
            # Who gives up a slot hands it over, so it is never free in between.
            await asyncio.wait((turn, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not turn.done():
                raise ClientLeft
        except asyncio.CancelledError:
            if turn.done():
                self._hand_over()
            raise
        finally:
            leaving.cancel()
            if not turn.done():
                self._line.remove(turn)

    def give_back(self, slot: Slot) -> None:
        """As `Slot.give_back`."""
        # Over the last sixteen requests or so.
        self._held_s += (time.monotonic() - slot.taken_at - self._held_s) / 16
        self._num_large -= slot.is_large
        self._hand_over()

    def _hand_over(self) -> None:
        if self._line:
            self._line.popleft().set_result(None)
        else:
            self._num_taken -= 1

    def _refusal(self) -> Refused:
        retry_after_s = min(60, max(1, math.ceil(self._held_s)))
        msg = f"{self._num_taken} requests are being worked on, which is all there is room for"
        return Refused("busy", 429, f"{msg}; try again in {retry_after_s} s", {"retry-after": str(retry_after_s)})


@dataclass(frozen=True)
class Slot:
    """A slot that was taken; to be given back once."""

    slots: Slots
    is_large: bool
    taken_at: float

    def give_back(self) -> None:
        """Let the next request in line have it. On the event loop only."""
        self.slots.give_back(self)
