"""An HTTP/2 client that decides itself what it sends when, and what it reads."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamReset,
    WindowUpdated,
)

from rehearsal.dev_server import Server
from rehearsal.running import Instance

ANSWER_TIMEOUT_S = 20.0


class Connection:
    """A client's end of a connection. It comes from 127.0.0.1, and so needs no encryption.

    Args:
        acknowledges: what comes of answers, so that more may come. Otherwise no more than a window of 64 KiB does.
    """

    def __init__(self, instance: Instance | Server, connected: socket.socket, acknowledges: bool) -> None:
        self._authority = urlsplit(instance.url).netloc
        self._socket = connected
        self._acknowledges = acknowledges
        self.state = H2Connection(
            H2Configuration(client_side=True, header_encoding="utf-8", validate_outbound_headers=False)
        )
        self._statuses: dict[int, int] = {}
        self._reset: set[int] = set()
        self._seen: set[type] = set()
        self.state.initiate_connection()
        self.send()
        while not {RemoteSettingsChanged, WindowUpdated} <= self._seen:
            self._receive()

    def request(self, method: str, path: str) -> int:
        """Prepare a request's headers; its body may follow. Answers with the stream's number."""
        stream: int = self.state.get_next_available_stream_id()
        headers = {":method": method, ":path": path, ":scheme": "http", ":authority": self._authority}
        self.state.send_headers(stream, list(headers.items()))
        return stream

    def send(self) -> None:
        """Send all that is prepared, at once."""
        self._socket.sendall(self.state.data_to_send())

    def status(self, stream: int) -> int:
        """Wait for the stream's answer.

        Raises:
            TimeoutError: if none comes.
        """
        while stream not in self._statuses:
            assert stream not in self._reset
            self._receive()
        return self._statuses[stream]

    def wait_until_reset(self, stream: int) -> None:
        """Wait for the instance to give the stream up.

        Raises:
            TimeoutError: if it does not.
        """
        while stream not in self._reset:
            self._receive()

    def _receive(self) -> None:
        data = self._socket.recv(2**16)
        assert data, "the instance closed the connection"
        for event in self.state.receive_data(data):
            assert not isinstance(event, ConnectionTerminated), event
            self._seen.add(type(event))
            if isinstance(event, DataReceived) and self._acknowledges:
                self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if isinstance(event, StreamReset):
                self._reset.add(event.stream_id)
            if isinstance(event, ResponseReceived):
                headers = dict(event.headers or [])
                self._statuses[event.stream_id or 0] = int(headers[":status"])
        self.send()


@contextmanager
def connection(instance: Instance | Server, acknowledges: bool = True) -> Iterator[Connection]:
    address = urlsplit(instance.url)
    with socket.create_connection((address.hostname, address.port), timeout=ANSWER_TIMEOUT_S) as connected:
        yield Connection(instance, connected, acknowledges)
