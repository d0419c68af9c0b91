"""Hypercorn's private methods are replaced where they are known, and left alone elsewhere; what some of them repair."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.typing import ConnectionState

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
