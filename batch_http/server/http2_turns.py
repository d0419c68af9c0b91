"""Whose turn it is to send on an HTTP/2 connection: each stream's that has something, one after the other.

Hypercorn asks a tree of the clients' priorities, which RFC 9113, section 5.3, has done away with. With 64 requests in
flight the tree took a twelfth of a lone text's CPU.
"""

from __future__ import annotations

from priority.priority import DeadlockError, DuplicateStreamError, MissingStreamError


class StreamTurns:
    """Stands in for `priority.PriorityTree`, as far as Hypercorn uses it."""

    def __init__(self) -> None:
        self._streams: set[int] = set()
        # In the order of their turns.
        self._ready: dict[int, None] = {}

    def insert_stream(self, stream_id: int) -> None:
        """Begin a stream; it is ready until it is blocked.

        Raises:
            DuplicateStreamError: it has begun already.
        """
        if stream_id in self._streams:
            raise DuplicateStreamError(f"stream {stream_id} is there already")
        self._streams.add(stream_id)
        self._ready[stream_id] = None

    def remove_stream(self, stream_id: int) -> None:
        """End a stream.

        Raises:
            MissingStreamError: it is not there.
        """
        self.block(stream_id)
        self._streams.remove(stream_id)

    def block(self, stream_id: int) -> None:
        """A stream has nothing to send, or may not send it.

        Raises:
            MissingStreamError: it is not there.
        """
        self._check(stream_id)
        self._ready.pop(stream_id, None)

    def unblock(self, stream_id: int) -> None:
        """A stream has something to send.

        Raises:
            MissingStreamError: it is not there.
        """
        self._check(stream_id)
        self._ready[stream_id] = None

    def reprioritize(self, stream_id: int, **_: object) -> None:
        """A client's wish, which changes nothing."""

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

    def _check(self, stream_id: int) -> None:
        if stream_id not in self._streams:
            raise MissingStreamError(f"there is no stream {stream_id}")
