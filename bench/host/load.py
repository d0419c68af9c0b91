"""Load on an instance of `bench.host`, a process of its own: `python -m bench.host.load < job.json > result.json`.

In dev mode over HTTP/1.1. Encrypted as the platform's API server does it: one HTTP/2 connection, bodies encrypted and
signed before the clock starts.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import httpx
import orjson

from rehearsal.session import Session

GATEWAY_ADDRESS = "127.0.0.2"
"""The SDK takes 127.0.0.1 for a health check and lets it pass unencrypted."""

Send = Callable[[bytes, dict[str, str]], Awaitable[int]]


async def _run(send: Send, requests: list[tuple[bytes, dict[str, str]]], clients: int) -> dict[str, float]:
    """Send all requests from so many clients, each sending its next one when the last is answered."""
    jobs: Iterator[tuple[bytes, dict[str, str]]] = iter(requests)

    async def client() -> None:
        for body, headers in jobs:
            status = await send(body, headers)
            if status != 200:
                raise RuntimeError(f"the instance answered {status}")

    started_at = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return {"elapsed_s": time.perf_counter() - started_at}


async def run_dev(job: dict[str, Any]) -> dict[str, float]:
    """Plain requests."""
    headers = {"Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=job["clients"])
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def send(body: bytes, headers: dict[str, str]) -> int:
            async with session.post(job["url"] + job["path"], data=body) as response:
                await response.read()
                return response.status

        return await _run(send, [(body.encode(), {}) for body in job["bodies"]], job["clients"])


async def run_encrypted(job: dict[str, Any]) -> dict[str, float]:
    """What the platform makes of the same requests."""
    session = Session.from_json(job["session"])
    cipher = session.transport
    path = "/" + cipher.encrypt(job["path"].ljust(24, "?").encode()).hex()
    requests = []
    for body in job["bodies"]:
        content = base64.b64encode(cipher.encrypt(gzip.compress(orjson.dumps(json.loads(body)))))
        requests.append((content, session.signed_headers(content)))
    transport = httpx.AsyncHTTPTransport(http1=False, http2=True, local_address=GATEWAY_ADDRESS)
    async with httpx.AsyncClient(base_url=job["url"], transport=transport, timeout=120) as client:

        async def send(body: bytes, headers: dict[str, str]) -> int:
            return (await client.post(path, content=body, headers=headers)).status_code

        return await _run(send, requests, job["clients"])


def main() -> None:
    job = json.load(sys.stdin)
    json.dump(asyncio.run(run_encrypted(job) if job["session"] else run_dev(job)), sys.stdout)


if __name__ == "__main__":
    main()
