"""Mends of the SDK's server, Hypercorn 0.17, on connections: each is let go of at once when it has ended, and when its
client reads too slowly; what a client sends beyond its last request does not cost it the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import h11
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol

GRACE_S = 30.0
MIN_BYTES_PER_S = 8 * 1024
"""A client may keep what it asked for waiting for half a minute in all, and a second more for each 8 KiB of it."""

_read_data = TCPServer._read_data
_protocol_send = TCPServer.protocol_send
_close = TCPServer._close
_initiate_server_close = TCPServer._initiate_server_close
_begin = H11Protocol.__init__
_send_error_response = H11Protocol._send_error_response


class Patience:
    """How long a client may keep an answer waiting. Whoever takes much in little time gets what it has used back."""

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
    """The patience with whoever reads from this connection or stream."""
    patience: Patience = vars(owner).setdefault("patience", Patience())
    return patience


def mend_connections() -> None:
    """Call before the server starts."""
    TCPServer._read_data = _read_data_and_stop_waiting  # type: ignore[method-assign]
    TCPServer.protocol_send = _send_in_time  # type: ignore[method-assign]
    TCPServer._close = _close_in_time  # type: ignore[method-assign]
    TCPServer._initiate_server_close = _initiate_server_close_in_time  # type: ignore[method-assign]
    H11Protocol.__init__ = _begin_forgivingly  # type: ignore[method-assign]
    H11Protocol._send_error_response = _send_400  # type: ignore[assignment]


async def _read_data_and_stop_waiting(self: Any) -> None:
    """Hypercorn's own reading; when the client has closed, nobody waits any more for its next request.

    Hypercorn does, for the 75 s that an idle connection is kept, and keeps the descriptor for as long.
    """
    await _read_data(self)
    await self.idle_task.stop()


async def _send_in_time(self: Any, event: Any) -> None:
    """Hypercorn's own sending; a client that does not read is cut off.

    Hypercorn waits for it for ever, and so does the request, with the thread and the place that it holds.
    """
    if isinstance(event, Updated) and event.idle and self.reader.at_eof():
        return
    if not isinstance(event, RawData) or _is_room_for(event.data, self.writer.transport):
        await _protocol_send(self, event)
        return
    try:
        async with patience_with(self).sending(len(event.data)):
            await _protocol_send(self, event)
    except TimeoutError:
        self.writer.transport.abort()
        await self.protocol.handle(Closed())


def _is_room_for(data: bytes, transport: Any) -> bool:
    """Whether asyncio takes a piece without waiting, so that no clock need be set."""
    _, high_water = transport.get_write_buffer_limits()
    return bool(transport.get_write_buffer_size() == 0 and len(data) <= high_water)


async def _close_in_time(self: Any) -> None:
    """The SDK's own closing, which waits for ever for a client that does not read the rest of its answer."""
    _abort_in_time(self.writer.transport)
    await _close(self)


async def _initiate_server_close_in_time(self: Any) -> None:
    """Hypercorn's own closing of an idle connection; the same."""
    _abort_in_time(self.writer.transport)
    await _initiate_server_close(self)


def _abort_in_time(transport: Any) -> None:
    num_bytes = transport.get_write_buffer_size()
    if num_bytes:
        asyncio.get_running_loop().call_later(GRACE_S + num_bytes / MIN_BYTES_PER_S, transport.abort)


class ForgivingConnection(h11.Connection):
    """A connection of HTTP/1.1 whose client may send more after a request that it called its last, such as a line end.

    RFC 9112, section 9.6: that is not to be looked at. h11 takes it for an error, and answers it in place of the
    request.
    """

    def receive_data(self, data: bytes) -> None:
        """As h11 does, but for what comes too late."""
        if not data or self.their_state is not h11.MUST_CLOSE:
            super().receive_data(data)

    def next_event(self) -> Any:
        """As h11 does, but for what comes too late."""
        return h11.NEED_DATA if self.their_state is h11.MUST_CLOSE else super().next_event()


def _begin_forgivingly(self: Any, app: Any, config: Config, *args: Any, **kwargs: Any) -> None:
    _begin(self, app, config, *args, **kwargs)
    self.connection = ForgivingConnection(h11.SERVER, max_incomplete_event_size=config.h11_max_incomplete_size)


async def _send_400(self: Any, _status: int) -> None:
    """Hypercorn's own answer to what is no HTTP, which it has h11 choose: also 431 and 501, say for two codings.

    A caller's mistake is a 400 here, whatever its kind.
    """
    await _send_error_response(self, 400)
