"""Mends of the SDK's server, Hypercorn 0.17, on connections: each is let go of at once when it has ended, and when its
client reads too slowly.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol

GRACE_S = 30.0
MIN_BYTES_PER_S = 8 * 1024
"""An answer's piece has half a minute to leave, and a second more for each 8 KiB of it."""

_read_data = TCPServer._read_data
_protocol_send = TCPServer.protocol_send
_send_error_response = H11Protocol._send_error_response


def seconds_to_send(num_bytes: int) -> float:
    """How long a client may take to read so much."""
    return GRACE_S + num_bytes / MIN_BYTES_PER_S


def mend_connections() -> None:
    """Call before the server starts."""
    TCPServer._read_data = _read_data_and_stop_waiting  # type: ignore[method-assign]
    TCPServer.protocol_send = _send_in_time  # type: ignore[method-assign]
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
        async with asyncio.timeout(seconds_to_send(len(event.data))):
            await _protocol_send(self, event)
    except TimeoutError:
        self.writer.transport.abort()
        await self.protocol.handle(Closed())


def _is_room_for(data: bytes, transport: Any) -> bool:
    """Whether asyncio takes a piece without waiting, so that no clock need be set."""
    _, high_water = transport.get_write_buffer_limits()
    return bool(transport.get_write_buffer_size() == 0 and len(data) <= high_water)


async def _send_400(self: Any, _status: int) -> None:
    """Hypercorn's own answer to what is no HTTP, which it has h11 choose: also 431 and 501, say for two codings.

    A caller's mistake is a 400 here, whatever its kind.
    """
    await _send_error_response(self, 400)
