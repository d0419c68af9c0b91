"""One HTTP/2 connection carries everything between the platform and an instance: nothing may end it or hold it up."""

from __future__ import annotations

import asyncio
import json
import random
import time

from h2.errors import ErrorCodes

from rehearsal.dev_server import Server
from rehearsal.gateway import Gateway, through_gateway
from rehearsal.running import Instance
from tests.http2_client import connection

NUM_LEAVING = 1_500

NOWHERE = "/nowhere"
"""A path that is answered, with 404, before anybody asks for the request's body."""


def test_a_connection_outlives_a_thousand_requests(server: Server) -> None:
    # By default Hypercorn closes it then, and the server's HTTP client fails whatever is in flight on it.
    with connection(server) as client:
        for _ in range(55):
            streams = [client.request("GET", "/health") for _ in range(20)]
            for stream in streams:
                client.state.end_stream(stream)
            client.send()
            assert {client.status(stream) for stream in streams} == {200}


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
