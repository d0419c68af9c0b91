"""What tests of several modules do: raw connections, answers read in one way for all endpoints, waiting for a state."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from rehearsal.gateway import Gateway


def problems_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The problems in a 400, each in the form that docs/openapi.json has."""
    assert response.status_code == 400, response.text[:500]
    detail = response.json()["detail"]
    assert detail
    for problem in detail:
        assert problem.keys() == {"loc", "msg", "type"}
        assert problem["msg"]
        assert problem["type"]
    return detail


@contextmanager
def raw_connection(url: str) -> Iterator[socket.socket]:
    """A connection to the server of a URL, for what no HTTP client would send."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        yield connection


def bomb(num_mib: int) -> bytes:
    """A JSON text of so many MiB, compressed to a thousandth."""
    compressor = zlib.compressobj(wbits=31)
    parts = [compressor.compress(b'{"texts": ["')]
    parts += [compressor.compress(b" " * 2**20) for _ in range(num_mib)]
    return b"".join([*parts, compressor.compress(b'"]}'), compressor.flush()])


def answers_of(client: httpx.Client, endpoint: str, texts: list[Any], **fields: Any) -> list[dict[str, Any]]:
    """The results of any of the endpoints; from `/analyze-single` one after the other."""
    if endpoint == "/analyze-single":
        bodies = [json.dumps({"text": text} | fields) for text in texts]
        responses = [client.post(endpoint, content=body) for body in bodies]
        assert {response.status_code for response in responses} == {200}
        singles = [response.json() for response in responses]
        assert all(single.pop("processing_time") >= 0 for single in singles)
        return [single | {"processing_order": place} for place, single in enumerate(singles)]
    response = client.post(endpoint, content=json.dumps({"texts": texts} | fields))
    assert response.status_code == 200, response.text
    if endpoint == "/process-batch":
        assert response.json()["total_texts"] == len(texts)
        results: list[dict[str, Any]] = response.json()["results"]
        return results
    events = [json.loads(line) for line in response.text.splitlines()]
    partial = [result for event in events if event["status"] == "batch_complete" for result in event["partial_results"]]
    assert events[-1]["final_results"] == partial
    return partial


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that the instance does by itself. The test's own time limit ends a wait in vain."""
    while not await condition():
        await asyncio.sleep(0.02)


async def is_idle(gateway: Gateway) -> bool:
    return (await gateway.connection_stats())["in_flight"] == 0


def wait_until_idle(client: httpx.Client) -> dict[str, Any]:
    """Wait until the service works on nothing; its statistics then."""
    for _ in range(600):
        stats = client.get("/batch-stats").json()
        if stats["requests_in_flight"] == stats["queued_texts"] == 0:
            return dict(stats)
        time.sleep(0.1)
    raise AssertionError("the service is still busy")
