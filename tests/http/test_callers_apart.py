"""No caller ever reads another's text, however requests share connections."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator

import httpx
import pytest

from rehearsal.dev_server import Server, running_server
from tests.helpers import raw_connection, wait_until_idle

NUM_REQUESTS = int(os.environ.get("MARKED_REQUESTS", "120"))
AT_ONCE = 50
LEAVES_EVERY, REPEATS_EVERY = 11, 7
"""Of the marked requests, one in eleven is hung up on, and one in seven has texts that others send, too."""


async def texts_answered(client: httpx.AsyncClient, number: int) -> list[str]:
    """Send marked texts to one of the endpoints; what of the answer is not about them."""
    mark = number % 5 if number % REPEATS_EVERY == 0 else number
    texts = [f"caller {mark} text {index} is great" for index in range(1 + number % 3)]
    endpoint = ["/process-batch", "/process-batch-stream", "/analyze-single"][number % 3]
    body = {"text": texts[0]} if endpoint == "/analyze-single" else {"texts": texts}
    if number % LEAVES_EVERY == 0:
        call = asyncio.create_task(client.post(endpoint, json=body))
        await asyncio.sleep(number % 10 / 1000)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return []
    response = await client.post(endpoint, json=body)
    assert response.status_code == 200, response.text
    last = json.loads(response.text.splitlines()[-1])
    results = last.get("results") or last.get("final_results") or [last]
    assert len(results) == (1 if "text" in body else len(texts))
    return [] if [result["text"] for result in results] == texts[: len(results)] else [response.text]


@pytest.fixture(scope="module")
def caching_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("caching")
    with running_server(folder / "log", BATCH_PROCESSOR_ANSWER_CACHE_MIB="16") as server:
        yield server


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cache", [False, True], ids=["uncached", "cached"])
@pytest.mark.parametrize(
    ("http2", "num_connections"), [(True, 1), (True, 10), (False, AT_ONCE)], ids=lambda value: str(value)
)
def test_marked_texts(request: pytest.FixtureRequest, cache: bool, http2: bool, num_connections: int) -> None:
    """`MARKED_REQUESTS=20000` is the long profile."""
    server: Server = request.getfixturevalue("caching_server" if cache else "server")

    async def scenario() -> list[str]:
        limits = httpx.Limits(max_connections=1) if http2 else httpx.Limits(max_connections=num_connections)
        clients = [
            httpx.AsyncClient(base_url=server.url, http1=not http2, http2=http2, limits=limits, timeout=120)
            for _ in range(num_connections if http2 else 1)
        ]
        places = asyncio.Semaphore(AT_ONCE)

        async def caller(number: int) -> list[str]:
            async with places:
                return await texts_answered(clients[number % len(clients)], number)

        wrong = await asyncio.gather(*(caller(number) for number in range(NUM_REQUESTS)))
        await asyncio.gather(*(client.aclose() for client in clients))
        return [text for texts in wrong for text in texts]

    assert asyncio.run(scenario()) == []
    with httpx.Client(base_url=server.url, timeout=60) as client:
        assert "internal_error" not in wait_until_idle(client)["errors"]


def test_a_bad_body_and_a_good_one_on_one_connection(server: Server) -> None:
    """What a refused request leaves behind is not the next one's."""

    async def scenario() -> None:
        async with httpx.AsyncClient(base_url=server.url, http1=False, http2=True, timeout=60) as client:
            for number in range(50):
                bad, empty, good = await asyncio.gather(
                    client.post("/process-batch", content=b"{"),
                    client.post("/process-batch", content=b"{}"),
                    client.post("/process-batch", json={"texts": [f"good {number}"]}),
                )
                assert (bad.status_code, empty.status_code) == (400, 400)
                assert good.json()["results"][0]["text"] == f"good {number}"

    asyncio.run(scenario())


def test_a_wish_for_http2_is_answered_in_http1(server: Server) -> None:
    """What `curl --http2` sends."""
    with raw_connection(server.url) as connection:
        for _ in range(2):
            connection.sendall(
                b"GET /batch-stats HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n"
            )
            answer = connection.recv(2**16)
            assert answer.startswith(b"HTTP/1.1 200")
            while b"max_batch_tokens" not in answer:
                answer += connection.recv(2**16)
