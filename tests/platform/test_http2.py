"""One HTTP/2 connection carries everything between the platform and an instance: nothing may end it or hold it up."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, RemoteSettingsChanged, ResponseReceived, StreamReset, WindowUpdated

from rehearsal.dev_server import Server
from rehearsal.gateway import Gateway, through_gateway
from rehearsal.running import Instance

ANSWER_TIMEOUT_S = 20.0
NUM_LEAVING = 3_000

NOWHERE = "/nowhere"
"""A path that is answered, with 404, before anybody asks for the request's body."""


class Connection:
    """An HTTP/2 client that decides itself what it sends when. It comes from 127.0.0.1, and so needs no encryption."""

    def __init__(self, instance: Instance | Server, connected: socket.socket) -> None:
        self._authority = urlsplit(instance.url).netloc
        self._socket = connected
        self.state = H2Connection(
            H2Configuration(client_side=True, header_encoding="utf-8", validate_outbound_headers=False)
        )
        self._statuses: dict[int, int] = {}
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
            self._receive()
        return self._statuses[stream]

    def _receive(self) -> None:
        data = self._socket.recv(2**16)
        assert data, "the instance closed the connection"
        for event in self.state.receive_data(data):
            assert not isinstance(event, ConnectionTerminated | StreamReset), event
            self._seen.add(type(event))
            if isinstance(event, ResponseReceived):
                headers = dict(event.headers or [])
                self._statuses[event.stream_id or 0] = int(headers[":status"])
        self.send()


@contextmanager
def connection(instance: Instance | Server) -> Iterator[Connection]:
    address = urlsplit(instance.url)
    with socket.create_connection((address.hostname, address.port), timeout=ANSWER_TIMEOUT_S) as connected:
        yield Connection(instance, connected)


def test_a_connection_outlives_a_thousand_requests(instance: Instance) -> None:
    # By default Hypercorn closes it then, and the server's HTTP client fails whatever is in flight on it.
    async def user(gateway: Gateway) -> None:
        for _ in range(140):
            assert (await gateway.call("GET", "/batch-stats")).status == 200

    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(*(user(gateway) for _ in range(8)))

    through_gateway(instance, scenario)


def test_a_body_that_nobody_reads_does_not_hold_up_the_others(instance: Instance) -> None:
    with connection(instance) as client:
        unread = client.request("POST", NOWHERE)
        # In one go, so that all of it is there before the answer is.
        for _ in range(30):
            client.state.send_data(unread, b"x")
        other = client.request("GET", "/_metrics")
        client.state.end_stream(other)
        client.send()
        assert client.status(unread) == 404
        assert client.status(other) == 200


def test_a_large_body_is_sent_without_waiting_for_leave(instance: Instance) -> None:
    """A client waiting for several streams' windows can miss that one has opened: httpcore does, and waits for ever."""
    num_bytes = 12_000_000
    with connection(instance) as client:
        stream = client.request("POST", NOWHERE)
        assert client.state.local_flow_control_window(stream) > num_bytes
        for _ in range(num_bytes // client.state.max_outbound_frame_size):
            client.state.send_data(stream, bytes(client.state.max_outbound_frame_size))
            client.send()
        client.state.end_stream(stream)
        client.send()
        assert client.status(stream) == 404
        another = client.request("GET", "/_metrics")
        client.state.end_stream(another)
        client.send()
        assert client.status(another) == 200


def test_large_bodies_of_many_users(instance: Instance) -> None:
    request = json.dumps({"texts": [random.randbytes(5_000).hex() for _ in range(40)], "max_length": 50}).encode()

    async def user(gateway: Gateway) -> None:
        assert (await gateway.call("POST", "/process-batch", request)).status == 200

    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(*(user(gateway) for _ in range(16)))

    through_gateway(instance, scenario)


def test_thousands_of_callers_who_leave_before_their_answers(server: Server) -> None:
    # Hypercorn keeps the place of each among the streams, and closes the connection for want of more.
    with connection(server) as client:
        for first in range(0, NUM_LEAVING, 20):
            for number in range(first, first + 20):
                stream = client.request("POST", "/process-batch")
                client.state.send_data(stream, b'{"texts": ["bye %d"]}' % number, end_stream=True)
                client.state.reset_stream(stream, ErrorCodes.CANCEL)
            client.send()
            time.sleep(0.002)
        other = client.request("GET", "/batch-stats")
        client.state.end_stream(other)
        client.send()
        assert client.status(other) == 200
