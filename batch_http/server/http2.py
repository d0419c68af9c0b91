"""Repairs of Hypercorn's HTTP/2, for the one connection that the platform keeps open.

Most of its faults fail every request in flight on that connection, and each failure counts against the instance.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from h2.errors import ErrorCodes
from h2.events import DataReceived, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hypercorn.config import Config
from hypercorn.events import Updated
from hypercorn.protocol.events import Body, EndBody
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H2ProtocolAssumedError, H11Protocol

from batch_http.server.http2_turns import StreamTurns
from batch_http.server.patience import patience_with

DEFAULT_WINDOW_BYTES = 2**16 - 1
"""What a connection may send before the first window update: RFC 9113, section 6.9.2."""

WINDOW_BYTES = 2**31 - 1
"""The widest flow-control window: RFC 9113, section 6.9.1. Hypercorn acknowledges whatever it reads at once, so that a
narrow one holds no caller back, but costs a round trip for every 64 KiB of a body."""

_initiate = H2Protocol.initiate
_handle_events = H2Protocol._handle_events
_stream_send = H2Protocol.stream_send


def repair_http2() -> None:
    """Call before the server starts."""
    # After 1,000 requests Hypercorn says goodbye, and the platform's HTTP client gives up what is in flight.
    Config.keep_alive_max_requests = sys.maxsize
    # Hypercorn puts at most 10 frames of a body in line for the request's handler, and meanwhile reads nothing more
    # from the connection: nobody's, and never again if the handler answers (429, say) without reading its body.
    Config.max_app_queue_size = 0
    H2Protocol.initiate = _initiate_with_wide_windows  # type: ignore[method-assign]
    H2Protocol._handle_events = _handle_events_of_open_streams  # type: ignore[method-assign]
    H2Protocol.stream_send = _stream_send_in_time  # type: ignore[method-assign]
    H11Protocol._check_protocol = _check_protocol_but_no_upgrade  # type: ignore[method-assign]


async def _initiate_with_wide_windows(self: Any, *args: Any, **kwargs: Any) -> None:
    """Hypercorn's own start of a connection, with windows that no body fills, and without priorities.

    The platform's HTTP client, httpcore 1.0, can miss that a full window has opened, if it learns of it while it waits
    for several requests. Such a request then hangs until another answer comes, or until the idle connection is closed.
    """
    self.priority = StreamTurns()
    initial = {**self.connection.local_settings, SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES}
    self.connection.local_settings = Settings(client=False, initial_values=initial)
    await _initiate(self, *args, **kwargs)
    self.connection.increment_flow_control_window(WINDOW_BYTES - DEFAULT_WINDOW_BYTES)
    await self._flush()


async def _handle_events_of_open_streams(self: Any, events: list[Any]) -> None:
    """Hypercorn's own handler, but a body that comes after its request's answer (a 429, say) is dropped, and so is all
    that is kept of a stream that its client has reset.

    Hypercorn looks up the former's stream, which is gone, and the KeyError closes the connection. It keeps the
    latter's buffer, and its priority among the streams of the connection: once its own tree of priorities holds 1,000
    of callers who left before their answers began, the next request closes the connection, with all that is in flight.
    """
    for event in events:
        if isinstance(event, DataReceived) and event.stream_id not in self.streams:
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            continue
        await _handle_events(self, [event])
        if isinstance(event, StreamReset):
            await _give_up_stream(self, event.stream_id)
            await self.send(Updated(idle=self.idle))
    await self._flush()


async def _check_protocol_but_no_upgrade(self: Any, event: Any) -> None:
    """Change to HTTP/2 for a client that begins with it, but not for one that asks in HTTP/1.1 (`curl --http2`).

    Hypercorn 0.17 grants the wish and then fails with h2 4.4. RFC 9113, section 3.1, has done away with it: such a
    request is answered as it came, in HTTP/1.1.
    """
    if (event.method, event.target, event.http_version) == (b"PRI", b"*", b"2.0"):
        raise H2ProtocolAssumedError(b"PRI * HTTP/2.0\r\n\r\n" + self.connection.trailing_data[0])


async def _stream_send_in_time(self: Any, event: Any) -> None:
    """Hypercorn's own sending; a stream whose client takes nothing of it is reset, and its request is over.

    Hypercorn waits without end for the stream's window to open, and the request keeps its thread and its slot.
    """
    if not isinstance(event, Body | EndBody):
        # Nothing else waits for a window.
        await _stream_send(self, event)
        return
    try:
        buffer = self.stream_buffers.get(event.stream_id)
        async with patience_with(buffer or self).sending(len(event.data) if isinstance(event, Body) else 0):
            await _stream_send(self, event)
    except TimeoutError:
        with suppress(ProtocolError):
            self.connection.reset_stream(event.stream_id, ErrorCodes.CANCEL)
        await _give_up_stream(self, event.stream_id)
        await self._flush()
        await self._close_stream(event.stream_id)


async def _give_up_stream(self: Any, stream_id: int) -> None:
    """Have Hypercorn's sending find that a stream which was reset is closed, and drop what it keeps of it.

    It looks only at streams that have something to send, or their end.
    """
    if buffer := self.stream_buffers.get(stream_id):
        buffer.set_complete()
        self.priority.unblock(stream_id)
        await self.has_data.set()
