"""A full queue: 429 with a sentence and `Retry-After`, for whole requests only."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from tests.conftest import running_server


def test_a_full_queue_is_a_429(tmp_path: Path, tweets: list[str]) -> None:
    log = tmp_path / "log"
    with running_server(log, BATCH_PROCESSOR_MAX_QUEUED_TOKENS="4000") as server:

        async def flood() -> list[httpx.Response]:
            async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
                request = {"texts": tweets[:100]}
                calls = [client.post("/process-batch", json=request) for _ in range(6)]
                calls += [client.post("/process-batch-stream", json=request) for _ in range(2)]
                return await asyncio.gather(*calls)

        responses = asyncio.run(flood())
        refused = [response for response in responses if response.status_code == 429]
        assert refused
        assert {response.status_code for response in responses} == {200, 429}
        for response in refused:
            assert "queue is full" in response.json()["detail"]
            assert int(response.headers["retry-after"]) >= 1
        with httpx.Client(base_url=server.url, timeout=60) as client:
            assert client.post("/process-batch", json={"texts": tweets[:100]}).status_code == 200
            stats = client.get("/batch-stats").json()
        assert stats["errors"] == {"queue_full": len(refused)}
        assert stats["total_requests"] == 8 - len(refused) + 1
