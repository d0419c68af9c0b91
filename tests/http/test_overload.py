"""A full queue: 429 with a sentence and `Retry-After`, for whole requests only."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from rehearsal.dev_server import running_server


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


LONG_TEXT = "word " * 900
"""Large by its bytes, and as much work as a text can be."""


def test_small_requests_and_statistics_beside_too_many_large_ones(tmp_path: Path) -> None:
    """More large requests than there are threads: what needs little gets it while they all wait."""
    with running_server(tmp_path / "log") as server:

        async def scenario() -> None:
            async with httpx.AsyncClient(base_url=server.url, timeout=300, limits=httpx.Limits()) as client:
                large = {"texts": [LONG_TEXT]}
                crowd = [asyncio.create_task(client.post("/process-batch", json=large)) for _ in range(100)]
                while (await client.get("/batch-stats")).json()["requests_in_flight"] < 48:
                    await asyncio.sleep(0.01)
                small = await asyncio.gather(
                    *(client.post("/analyze-single", json={"text": f"small {number}"}) for number in range(20)),
                    *(client.post("/process-batch", json={"texts": []}) for _ in range(20)),
                )
                assert [response.status_code for response in small] == [200] * 20 + [400] * 20
                # They went past most of the large ones.
                assert (await client.get("/batch-stats")).json()["requests_in_flight"] > 24
                responses = await asyncio.gather(*crowd)
                statuses = [response.status_code for response in responses]
                assert statuses.count(200) == 48
                assert statuses.count(429) == 52
                refused = next(response for response in responses if response.status_code == 429)
                assert "48 requests are being worked on" in refused.json()["detail"]
                assert int(refused.headers["retry-after"]) >= 1
                assert (await client.get("/batch-stats")).json()["errors"] == {"busy": 52, "invalid_request": 20}

        asyncio.run(scenario())
