"""How long a client may take to read what it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from batch_http.body import GRACE_S, MIN_BYTES_PER_S


class Patience:
    """How long a client may take to read an answer: `GRACE_S`, and a second more for each `MIN_BYTES_PER_S`; fast reads
    refill what slow ones used up.
    """

    def __init__(self) -> None:
        self._left_s = GRACE_S

    @asynccontextmanager
    async def sending(self, num_bytes: int) -> AsyncIterator[None]:
        """Send so much within the block.

        Raises:
            TimeoutError: it took too long.
        """
        loop = asyncio.get_running_loop()
        started_at, allowed_s = loop.time(), self._left_s + num_bytes / MIN_BYTES_PER_S
        async with asyncio.timeout(allowed_s):
            yield
        self._left_s = min(GRACE_S, allowed_s - (loop.time() - started_at))


def patience_with(owner: object) -> Patience:
    """The patience with the client of this connection or stream."""
    patience: Patience = vars(owner).setdefault("patience", Patience())
    return patience


def abort_in_time(transport: asyncio.WriteTransport) -> None:
    """End a connection that is to be closed, once its client has had the time to read what is still to be written."""
    if num_bytes := transport.get_write_buffer_size():
        asyncio.get_running_loop().call_later(GRACE_S + num_bytes / MIN_BYTES_PER_S, transport.abort)
