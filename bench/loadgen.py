"""The HTTP load generator, a process of its own: `python -m bench.loadgen < job.json > result.json`.

Bodies arrive serialised, and answers are looked at only after the clock has stopped, so that what it costs is little
more than the sockets. Its own CPU time is part of the result.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp


@dataclass
class LoadResult:
    """What one run measured: seconds in all, seconds of each request, CPU seconds spent here, and the answers."""

    elapsed_s: float
    latencies_s: list[float]
    cpu_s: float
    answers: list[Any]


async def _client(
    session: aiohttp.ClientSession, url: str, jobs: Iterator[tuple[int, bytes]], took_s: list[float], raw: list[bytes]
) -> None:
    for index, body in jobs:
        sent_at = time.perf_counter()
        async with session.post(url, data=body) as response:
            raw[index] = await response.read()
        took_s[index] = time.perf_counter() - sent_at
        if response.status != 200:
            raise RuntimeError(f"{url} answered {response.status}: {raw[index][:500]!r}")


async def run_load(url: str, bodies: list[bytes], clients: int) -> LoadResult:
    """Send all bodies from `clients` connections, each sending its next one when the last is answered."""
    took_s, raw = [0.0] * len(bodies), [b""] * len(bodies)
    jobs = iter(enumerate(bodies))
    connector = aiohttp.TCPConnector(limit=clients)
    timeout = aiohttp.ClientTimeout(total=None)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
        cpu_before, started_at = time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(_client(session, url, jobs, took_s, raw))
        elapsed_s, cpu_s = time.perf_counter() - started_at, time.process_time() - cpu_before
    return LoadResult(elapsed_s, took_s, cpu_s, [json.loads(answer) for answer in raw])


def main() -> None:
    job = json.load(sys.stdin)
    bodies = [base64.b64decode(body) for body in job["bodies"]]
    json.dump(asdict(asyncio.run(run_load(job["url"], bodies, job["clients"]))), sys.stdout)


if __name__ == "__main__":
    main()
