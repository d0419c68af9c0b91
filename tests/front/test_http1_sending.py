"""The head of an answer over HTTP/1.1: with its body in one piece, and not held back for a body that is not there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.protocol.h11 import H11Protocol

from batch_http.http1_sending import mend_sending
from rehearsal.ports import free_port

WAIT_S = 20


async def ask(method: str, answer: list[dict[str, Any] | asyncio.Event], until: bytes) -> list[bytes]:
    """The pieces in which an answer comes, up to one that ends so; an event in between is set when a piece has come."""
    port, is_over = free_port(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            for message in answer:
                await (message.wait() if isinstance(message, asyncio.Event) else send(message))

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    server = asyncio.create_task(serve(app, config, shutdown_trigger=is_over.wait))  # type: ignore[arg-type]
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except OSError:
            await asyncio.sleep(0.01)
    writer.write(f"{method} / HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    pieces: list[bytes] = []
    async with asyncio.timeout(WAIT_S):
        while not pieces or not pieces[-1].endswith(until):
            pieces.append(await reader.read(2**16))
            for message in answer:
                if isinstance(message, asyncio.Event):
                    message.set()
    writer.close()
    is_over.set()
    await server
    return pieces


@pytest.fixture(autouse=True)
def mended(monkeypatch: pytest.MonkeyPatch) -> None:
    # So that what is mended is put back.
    monkeypatch.setattr(H11Protocol, "_send_h11_event", H11Protocol._send_h11_event)
    mend_sending()


START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]}
BODY = {"type": "http.response.body", "body": b"fine!"}


def test_head_and_body_come_in_one_piece() -> None:
    [piece] = asyncio.run(ask("GET", [START, BODY], b"fine!"))
    assert piece.startswith(b"HTTP/1.1 200")


def test_a_head_does_not_wait_for_a_late_body() -> None:
    head, body = asyncio.run(ask("GET", [START, asyncio.Event(), BODY], b"fine!"))
    assert head.endswith(b"\r\n\r\n")
    assert body == b"fine!"


def test_an_answer_without_a_body_is_its_head() -> None:
    [piece] = asyncio.run(ask("HEAD", [START, BODY], b"\r\n\r\n"))
    assert piece.startswith(b"HTTP/1.1 200")
