"""A full queue: 429 with a sentence and `Retry-After`, for whole requests only."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rehearsal.dev_server import Server, running_server


@pytest.fixture(scope="module")
def small_queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with room for 4,000 tokens."""
    log = tmp_path_factory.mktemp("small_queue") / "log"
    with running_server(log, BATCH_PROCESSOR_MAX_QUEUED_TOKENS="4000") as server:
        yield server


def test_a_full_queue_is_a_429(small_queue: Server, tweets: list[str]) -> None:
    async def flood() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=small_queue.url, timeout=60) as client:
            request = {"texts": tweets[:100]}
            calls = [client.post("/process-batch", json=request) for _ in range(6)]
            calls += [client.post("/process-batch-stream", json=request) for _ in range(2)]
            return await asyncio.gather(*calls)

    with httpx.Client(base_url=small_queue.url, timeout=60) as client:
        before = client.get("/batch-stats").json()
        responses = asyncio.run(flood())
        refused = [response for response in responses if response.status_code == 429]
        assert refused
        assert {response.status_code for response in responses} == {200, 429}
        for response in refused:
            assert "queue is full" in response.json()["detail"]
            assert int(response.headers["retry-after"]) >= 1
        assert client.post("/process-batch", json={"texts": tweets[:100]}).status_code == 200
        stats = client.get("/batch-stats").json()
    assert stats["errors"]["queue_full"] - before["errors"].get("queue_full", 0) == len(refused)
    assert stats["total_requests"] - before["total_requests"] == 8 - len(refused) + 1


def test_a_large_body_is_refused_unread_while_the_queue_is_full(small_queue: Server) -> None:
    """Two of these bodies are no JSON, so that the answer says whether they were parsed."""
    large, not_json = {"texts": ["word " * 140] * 100}, b'{"texts": [' + b'"word", ' * 10_000
    giant = {"texts": ["word " * 1900] * 100, "max_length": 50, "on_long_text": "window"}

    def statuses(client: httpx.Client) -> list[int]:
        bodies = [not_json, not_json + b"max_length", json.dumps(large | {"stream": True}).encode()]
        return [client.post("/process-batch", content=body).status_code for body in bodies]

    with httpx.Client(base_url=small_queue.url, timeout=60) as client:
        with client.stream("POST", "/process-batch-stream", json=giant | {"batch_size": 1}) as stream:
            lines = stream.iter_lines()
            assert "started" in next(lines)
            assert statuses(client) == [429, 400, 429]
            refused = client.post("/process-batch", content=not_json)
            assert "queue is full" in refused.json()["detail"]
            assert int(refused.headers["retry-after"]) >= 1
            assert client.post("/analyze-single", json={"text": "small"}).status_code == 200
        while client.get("/batch-stats").json()["requests_in_flight"]:
            time.sleep(0.05)
        assert statuses(client) == [400, 400, 400]


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
                    assert not all(request.done() for request in crowd), "they never waited all at once"
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
