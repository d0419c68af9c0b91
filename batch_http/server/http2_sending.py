"""What goes out on an HTTP/2 connection of the SDK's server, Hypercorn 0.17, in as few writes as it takes.

Hypercorn writes three times for each answer: headers, body, end of the stream. Here the answers that are ready at a
time are written together.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from h2.exceptions import ProtocolError
from hypercorn.protocol.events import InformationalResponse, Response
from hypercorn.protocol.h2 import H2Protocol
from priority.priority import DeadlockError, MissingStreamError

WRITE_BYTES = 64 * 1024
"""So much is written at a time at least, if there is so much."""

_stream_send = H2Protocol.stream_send


def repair_sending() -> None:
    """Call before the server starts."""
    H2Protocol.send_task = _send_together  # type: ignore[method-assign]


async def _send_together(self: Any) -> None:
    """Send what the streams have, a piece in turn, and write it when there is no more, or much."""
    num_bytes = 0
    while not self.closed:
        try:
            stream_id = next(self.priority)
        except DeadlockError:
            await self._flush()
            num_bytes = 0
            await self.has_data.wait()
            await self.has_data.clear()
        else:
            num_bytes += await _send_piece(self, stream_id)
            if num_bytes >= WRITE_BYTES:
                await self._flush()
                num_bytes = 0


async def _send_piece(self: Any, stream_id: int) -> int:
    """Send a frame of what a stream has, its last one with the end of the stream, but write nothing.

    Returns:
        Bytes of the frame's data.
    """
    try:
        buffer = self.stream_buffers[stream_id]
        window = min(self.connection.local_flow_control_window(stream_id), self.connection.max_outbound_frame_size)
        data = await buffer.pop(max(0, window))
        if data or buffer.complete:
            self.connection.send_data(stream_id, data, end_stream=buffer.complete)
        if buffer.complete:
            del self.stream_buffers[stream_id]
            self.priority.remove_stream(stream_id)
        elif not data:
            self.priority.block(stream_id)
        return len(data)
    except (KeyError, ProtocolError):
        # The client has reset the stream.
        await forget_stream(self, stream_id)
        return 0


async def forget_stream(self: Any, stream_id: int) -> None:
    """Drop what a stream still has to send, and its priority."""
    if buffer := self.stream_buffers.pop(stream_id, None):
        await buffer.close()
    with suppress(MissingStreamError):
        self.priority.remove_stream(stream_id)


async def stream_send(self: Any, event: Any) -> None:
    """Hypercorn's own sending, but headers wait until this turn of the event loop is over for what may follow them."""
    if not isinstance(event, Response | InformationalResponse):
        await _stream_send(self, event)
        return
    status = (b":status", b"%d" % event.status_code)
    with suppress(ProtocolError):  # as Hypercorn does: the client has reset the stream
        self.connection.send_headers(event.stream_id, [status, *event.headers, *self.config.response_headers("h2")])
    await self.has_data.set()
