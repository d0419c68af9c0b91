"""A client that hangs up: its texts leave the queue, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from rehearsal.dev_server import Server
from tests.helpers import wait_until_idle

LONG_TEXTS = [f"{number} " + "word " * 500 for number in range(50)]
NUM_STREAMED = 20


def counted_since(before: dict[str, Any], after: dict[str, Any]) -> tuple[int, int, float]:
    """Between two looks at the statistics: clients that left, texts that were answered, and texts that were run."""
    clients = [stats["errors"].get("client_gone", 0) for stats in (before, after)]
    assert {**after["errors"], "client_gone": clients[0]} == {**before["errors"], "client_gone": clients[0]}
    texts = [stats["total_texts_processed"] for stats in (before, after)]
    run = [stats["forward_passes"] * stats["mean_texts_per_pass"] for stats in (before, after)]
    return clients[1] - clients[0], texts[1] - texts[0], run[1] - run[0]


def test_a_batch_whose_client_left_is_dropped(server: Server, client: httpx.Client) -> None:
    before = wait_until_idle(client)

    async def hang_up() -> None:
        async with httpx.AsyncClient(base_url=server.url) as leaving:
            call = asyncio.create_task(leaving.post("/process-batch", json={"texts": LONG_TEXTS}))
            while client.get("/batch-stats").json()["queued_texts"] == 0:
                await asyncio.sleep(0.05)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    asyncio.run(hang_up())
    num_left, num_answered, num_run = counted_since(before, wait_until_idle(client))
    assert (num_left, num_answered) == (1, 0)
    assert num_run < len(LONG_TEXTS)
    assert client.post("/process-batch", json={"texts": ["next"]}).status_code == 200


def test_abandoned_streams_cost_nothing_more_and_leave_no_threads(server: Server, client: httpx.Client) -> None:
    def abandon_streams(count: int) -> None:
        for _ in range(count):
            request = {"texts": LONG_TEXTS[:NUM_STREAMED], "batch_size": 1}
            with client.stream("POST", "/process-batch-stream", json=request) as response:
                next(response.iter_raw())

    before = wait_until_idle(client)
    process = psutil.Process(server.process.pid)
    abandon_streams(5)
    wait_until_idle(client)
    threads_before = process.num_threads()
    abandon_streams(70)
    num_left, _, num_run = counted_since(before, wait_until_idle(client))
    assert num_left == 75
    assert num_run < 75 * NUM_STREAMED / 2
    # The SDK's pool has 65 threads and makes one only when none is idle.
    assert process.num_threads() <= threads_before + 65
    assert client.post("/process-batch", json={"texts": ["next"]}).status_code == 200


def raw_request(server: Server, path: str, texts: list[str]) -> socket.socket:
    """Send a request on a connection of its own, which is left open."""
    content = json.dumps({"texts": texts}).encode()
    address = urlsplit(server.url)
    connection = socket.create_connection((address.hostname, address.port), timeout=60)
    connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
    return connection


def test_a_stream_hung_up_before_its_first_line_is_a_client_that_has_gone(server: Server, client: httpx.Client) -> None:
    before = wait_until_idle(client)
    for _ in range(10):
        raw_request(server, "/process-batch-stream", LONG_TEXTS).close()
    for _ in range(600):
        after = wait_until_idle(client)
        if after["errors"].get("client_gone", 0) == before["errors"].get("client_gone", 0) + 10:
            break
        time.sleep(0.1)
    assert after["errors"] == {**before["errors"], "client_gone": before["errors"].get("client_gone", 0) + 10}
    assert after["total_requests"] == before["total_requests"]
    assert b"Traceback" not in server.log.read_bytes()


@pytest.mark.parametrize("path", ["/process-batch", "/process-batch-stream"])
@pytest.mark.parametrize("texts", [["hello"], LONG_TEXTS], ids=["small", "large"])
def test_a_client_that_closes_its_side_reads_its_answer_or_that_it_left(
    server: Server, client: httpx.Client, path: str, texts: list[str]
) -> None:
    before = wait_until_idle(client)
    for _ in range(5):
        with raw_request(server, path, texts) as connection:
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(2**16)
        assert not answer or int(answer.split()[1]) in (200, 499)
    # Each is counted once, as answered or as gone.
    for _ in range(600):
        after = wait_until_idle(client)
        num_answered = after["total_requests"] - before["total_requests"]
        num_gone = after["errors"].get("client_gone", 0) - before["errors"].get("client_gone", 0)
        if num_answered + num_gone == 5:
            break
        time.sleep(0.1)
    assert num_answered + num_gone == 5
    after["errors"].pop("client_gone", None)
    before["errors"].pop("client_gone", None)
    assert after["errors"] == before["errors"]
