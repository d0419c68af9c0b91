"""A client that hangs up: its texts leave the queue, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from rehearsal.dev_server import Server, running_server
from tests.helpers import wait_until_idle

LONG_TEXTS = [f"{number} " + "word " * 500 for number in range(50)]
NUM_STREAMED = 20


def test_a_batch_whose_client_left_is_dropped(tmp_path: Path) -> None:
    with running_server(tmp_path / "log") as server, httpx.Client(base_url=server.url, timeout=60) as client:

        async def hang_up() -> None:
            async with httpx.AsyncClient(base_url=server.url) as leaving:
                call = asyncio.create_task(leaving.post("/process-batch", json={"texts": LONG_TEXTS}))
                while client.get("/batch-stats").json()["queued_texts"] == 0:
                    await asyncio.sleep(0.05)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)

        asyncio.run(hang_up())
        stats = wait_until_idle(client)
        assert stats["errors"] == {"client_gone": 1}
        assert stats["total_texts_processed"] == 0
        assert stats["forward_passes"] * stats["mean_texts_per_pass"] < len(LONG_TEXTS)
        assert client.post("/process-batch", json={"texts": ["next"]}).status_code == 200


def test_abandoned_streams_cost_nothing_more_and_leave_no_threads(tmp_path: Path) -> None:
    with running_server(tmp_path / "log") as server, httpx.Client(base_url=server.url, timeout=60) as client:

        def abandon_streams(count: int) -> None:
            for _ in range(count):
                request = {"texts": LONG_TEXTS[:NUM_STREAMED], "batch_size": 1}
                with client.stream("POST", "/process-batch-stream", json=request) as response:
                    next(response.iter_raw())

        process = psutil.Process(server.process.pid)
        abandon_streams(5)
        wait_until_idle(client)
        threads_before = process.num_threads()
        abandon_streams(70)
        stats = wait_until_idle(client)
        assert stats["errors"] == {"client_gone": 75}
        assert stats["forward_passes"] * stats["mean_texts_per_pass"] < 75 * NUM_STREAMED / 2
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
