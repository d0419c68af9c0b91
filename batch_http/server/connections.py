"""Repairs of Hypercorn's connections: each is closed at once when it has ended, or when its client reads too slowly;
and an answer's pieces are written together."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed, RawData, Updated

from batch_http.server.patience import abort_in_time, patience_with

_read_data = TCPServer._read_data
_protocol_send = TCPServer.protocol_send
_close = TCPServer._close
_initiate_server_close = TCPServer._initiate_server_close


def repair_connections() -> None:
    """Call before the server starts."""
    TCPServer._read_data = _read_data_and_stop_waiting  # type: ignore[method-assign]
    TCPServer.protocol_send = _send_in_time  # type: ignore[method-assign]
    TCPServer._close = _close_in_time  # type: ignore[method-assign]
    TCPServer._initiate_server_close = _initiate_server_close_in_time  # type: ignore[method-assign]


async def _read_data_and_stop_waiting(self: Any) -> None:
    """Hypercorn's own reading; when the client has closed, its next request is waited for no more.

    Hypercorn does, for the 75 s that an idle connection is kept, and keeps the descriptor for as long.
    """
    await _read_data(self)
    await self.idle_task.stop()


async def _send_in_time(self: Any, event: Any) -> None:
    """Hypercorn's own sending; a client that does not read is cut off, and small pieces are written together.

    Hypercorn waits for it without end, and so does the request, with the thread and the slot that it holds.
    """
    if isinstance(event, Updated) and event.idle and self.reader.at_eof():
        return
    if not isinstance(event, RawData):
        await _protocol_send(self, event)
        return
    unwritten = _unwritten(self)
    if _is_room_for(len(unwritten) + len(event.data), self.writer.transport):
        if not unwritten:
            # After all that is ready in this turn of the event loop: it may send more, such as the body to a head.
            asyncio.get_running_loop().call_later(0, _write, self)
        unwritten += event.data
        return
    _write(self)
    try:
        async with patience_with(self).sending(len(event.data)):
            await _protocol_send(self, event)
    except TimeoutError:
        self.writer.transport.abort()
        await self.protocol.handle(Closed())


def _unwritten(connection: Any) -> bytearray:
    """What is sent at the end of this turn of the event loop."""
    unwritten: bytearray = vars(connection).setdefault("unwritten", bytearray())
    return unwritten


def _write(connection: Any) -> None:
    """Write what has been sent so far."""
    if unwritten := _unwritten(connection):
        # The connection may have been closed meanwhile; Hypercorn's reading finds that.
        with suppress(RuntimeError):
            connection.writer.write(bytes(unwritten))
        unwritten.clear()


def _is_room_for(num_bytes: int, transport: Any) -> bool:
    """Whether asyncio takes so much without waiting, so that no clock need be set."""
    _, high_water = transport.get_write_buffer_limits()
    return bool(transport.get_write_buffer_size() == 0 and num_bytes <= high_water)


async def _close_in_time(self: Any) -> None:
    """The SDK's own closing, which waits without end for a client that does not read the rest of its answer."""
    _write(self)
    abort_in_time(self.writer.transport)
    await _close(self)


async def _initiate_server_close_in_time(self: Any) -> None:
    """Hypercorn's own closing of an idle connection; the same."""
    abort_in_time(self.writer.transport)
    await _initiate_server_close(self)
