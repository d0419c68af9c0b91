"""A client that hangs up: its texts leave the queue, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import psutil

from rehearsal.dev_server import running_server

LONG_TEXTS = [f"{number} " + "word " * 500 for number in range(100)]


def wait_until_idle(client: httpx.Client) -> dict[str, int]:
    for _ in range(600):
        stats = client.get("/batch-stats").json()
        if stats["requests_in_flight"] == stats["queued_texts"] == 0:
            return dict(stats)
        time.sleep(0.1)
    raise AssertionError("the service is still busy")


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
        assert stats["forward_passes"] * stats["mean_texts_per_pass"] < 100
        assert client.post("/process-batch", json={"texts": ["next"]}).status_code == 200


def test_abandoned_streams_cost_nothing_more_and_leave_no_threads(tmp_path: Path) -> None:
    with running_server(tmp_path / "log") as server, httpx.Client(base_url=server.url, timeout=60) as client:

        def abandon_streams(count: int) -> None:
            for _ in range(count):
                request = {"texts": LONG_TEXTS, "batch_size": 1}
                with client.stream("POST", "/process-batch-stream", json=request) as response:
                    next(response.iter_raw())

        process = psutil.Process(server.process.pid)
        abandon_streams(5)
        wait_until_idle(client)
        threads_before = process.num_threads()
        abandon_streams(70)
        stats = wait_until_idle(client)
        assert stats["errors"] == {"client_gone": 75}
        assert stats["forward_passes"] * stats["mean_texts_per_pass"] < 75 * 100 / 2
        # The SDK's pool has 65 threads and makes one only when none is idle.
        assert process.num_threads() <= threads_before + 65
        assert client.post("/process-batch", json={"texts": ["next"]}).status_code == 200
