"""Hypercorn's private methods are replaced where they are known, and left alone elsewhere; what some of them repair."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.typing import ConnectionState

from batch_http.server import patience
from batch_http.server.repairs import repair_hypercorn

HEADERS = [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "x")]
STREAMS = range(1, 21, 2)


@pytest.mark.parametrize("version", ["0.19.0", "0.16.1", "1.17.0", "0.170.1"])
def test_another_hypercorn_is_left_as_it_is(
    version: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # What its methods are called is not known: importing the repairs must not even be tried.
    monkeypatch.setitem(sys.modules, "batch_http.server.http2", None)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    with caplog.at_level(logging.WARNING):
        assert not repair_hypercorn()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert version in record.getMessage()


def test_the_hypercorn_of_the_image_is_repaired() -> None:
    assert repair_hypercorn()


class Exchange:
    """Both ends of an HTTP/2 connection to an application, in this process. Use within an event loop."""

    def __init__(self, tasks: TaskGroup, app: Callable[..., Awaitable[None]]) -> None:
        async def send(_: Event) -> None:
            """What the client gets is of no account."""

        self.client = H2Connection(H2Configuration(client_side=True))
        self.client.initiate_connection()
        self.server = H2Protocol(
            ASGIWrapper(app), Config(), WorkerContext(None), tasks, ConnectionState({}), False, None, None, send
        )

    async def send(self) -> None:
        """Have the server handle all that the client has prepared, and do all that it can do then."""
        await self.server.handle(RawData(self.client.data_to_send()))
        for _ in range(100):
            await asyncio.sleep(0)


def exchange(app: Callable[..., Awaitable[None]], scenario: Callable[[Exchange], Awaitable[None]]) -> None:
    async def run() -> None:
        async with TaskGroup(asyncio.get_running_loop()) as tasks:
            both = Exchange(tasks, app)
            await both.server.initiate()
            try:
                await scenario(both)
            finally:
                await both.server.handle(Closed())

    assert repair_hypercorn()
    asyncio.run(run())


def test_nothing_is_kept_of_streams_that_their_client_has_reset() -> None:
    async def never_answers(_: Any, receive: Any, __: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def scenario(both: Exchange) -> None:
        for stream in STREAMS:
            both.client.send_headers(stream, HEADERS, end_stream=True)
        await both.send()
        assert both.server.stream_buffers.keys() == set(STREAMS)
        for stream in STREAMS:
            both.client.reset_stream(stream)
        await both.send()
        assert both.server.stream_buffers == {}

    exchange(never_answers, scenario)


def test_a_body_that_comes_after_its_answer_is_dropped() -> None:
    async def refuses(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def scenario(both: Exchange) -> None:
        both.client.send_headers(1, HEADERS)
        await both.send()
        assert both.server.streams == {}
        both.client.send_data(1, b"late")
        await both.send()

    exchange(refuses, scenario)


@pytest.mark.parametrize("wish", [b"keep-alive", b"close"])
def test_a_connection_is_closed_though_its_client_has_not_read_the_last_answer(
    wish: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Little enough for asyncio's buffer, so that the request is done with, and more than the system's buffers take.
    num_bytes = 60_000
    monkeypatch.setattr(patience, "GRACE_S", 0.1)
    monkeypatch.setattr(patience, "MIN_BYTES_PER_S", 10 * num_bytes)

    async def answers(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % num_bytes)]})
        await send({"type": "http.response.body", "body": b" " * num_bytes})

    async def scenario() -> None:
        loop, has_ended, config = asyncio.get_running_loop(), asyncio.Event(), Config()
        config.keep_alive_timeout = 0.1

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await TCPServer(ASGIWrapper(answers), loop, config, WorkerContext(None), {}, reader, writer)
            has_ended.set()

        with socket.socket() as listening, socket.socket() as client:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            listening.bind(("127.0.0.1", 0))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            async with await asyncio.start_server(serve, sock=listening):
                client.connect(listening.getsockname())
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: " + wish + b"\r\n\r\n")
                async with asyncio.timeout(30):
                    await has_ended.wait()

    assert repair_hypercorn()
    asyncio.run(scenario())
