"""What goes out on an HTTP/2 connection of the SDK's server, Hypercorn 0.17, in as few writes as it takes.

Hypercorn writes three times for each answer: headers, body, end of the stream. Of a request with one text, that is more
work than the text. Here the answers that are ready at a time are written together.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from h2.exceptions import ProtocolError
from hypercorn.protocol.events import InformationalResponse, Response
from hypercorn.protocol.h2 import H2Protocol
from priority.priority import DeadlockError, DuplicateStreamError, MissingStreamError

WRITE_BYTES = 64 * 1024
"""So much is written at a time at least, if there is so much."""

_begin = H2Protocol.__init__
_stream_send = H2Protocol.stream_send


class Turns:
    """The streams of a connection that have something to send, each in its turn.

    Stands where Hypercorn has a tree of the clients' priorities, which RFC 9113, section 5.3, has done away with.
    """

    def __init__(self) -> None:
        self._streams: set[int] = set()
        self._ready: dict[int, None] = {}

    def insert_stream(self, stream_id: int) -> None:
        """Begin a stream; it is ready until it is blocked."""
        if stream_id in self._streams:
            raise DuplicateStreamError(f"stream {stream_id} is there already")
        self._streams.add(stream_id)
        self._ready[stream_id] = None

    def remove_stream(self, stream_id: int) -> None:
        """End a stream."""
        self.block(stream_id)
        self._streams.remove(stream_id)

    def block(self, stream_id: int) -> None:
        """Take a stream's turns away; it has nothing to send, or may not send it."""
        if stream_id not in self._streams:
            raise MissingStreamError(f"there is no stream {stream_id}")
        self._ready.pop(stream_id, None)

    def unblock(self, stream_id: int) -> None:
        """Let a stream have its turns."""
        if stream_id not in self._streams:
            raise MissingStreamError(f"there is no stream {stream_id}")
        self._ready[stream_id] = None

    def __next__(self) -> int:
        """The stream whose turn it is.

        Raises:
            DeadlockError: none has anything to send.
        """
        if not self._ready:
            raise DeadlockError("all streams are blocked")
        stream_id = next(iter(self._ready))
        # To the end of the line.
        self._ready[stream_id] = self._ready.pop(stream_id)
        return stream_id


def mend_sending() -> None:
    """Call before the server starts."""
    H2Protocol.__init__ = _begin_with_turns  # type: ignore[method-assign]
    H2Protocol.send_task = _send_together  # type: ignore[method-assign]
    H2Protocol._priority_updated = _ignore_priority  # type: ignore[method-assign]


def _begin_with_turns(self: Any, *args: Any, **kwargs: Any) -> None:
    _begin(self, *args, **kwargs)
    self.priority = Turns()


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
    """Drop what a stream still has to send, and its turns."""
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


async def _ignore_priority(self: Any, event: Any) -> None:
    """Hypercorn keeps the clients' wishes even for streams that never come."""
