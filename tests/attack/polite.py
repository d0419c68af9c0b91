"""A polite caller, timed in a process of its own: among the attackers it would wait for what they do, too."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import multiprocessing
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager

PAUSE_S = 0.2
TIMEOUT_S = 100.0

Address = tuple[str, int]
Answers = list[tuple[int, float]]
"""Status and seconds of each."""


@asynccontextmanager
async def polite_caller(address: Address, seconds: float) -> AsyncIterator[asyncio.Future[Answers]]:
    """Have lone texts sent for so long, beside what is done in the block: one after the other, each a new one."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        # What its process takes to start is none of the attack.
        await loop.run_in_executor(pool, os.getpid)
        yield loop.run_in_executor(pool, _lone_texts, address, seconds)


def _lone_texts(address: Address, seconds: float) -> Answers:
    answers = []
    ends_at = time.monotonic() + seconds
    for number in itertools.count():
        if time.monotonic() > ends_at:
            break
        content = json.dumps({"text": f"a polite caller {os.getpid()} {number}"})
        sent_at = time.perf_counter()
        connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_S)
        connection.request("POST", "/analyze-single", content)
        response = connection.getresponse()
        response.read()
        answers.append((response.status, time.perf_counter() - sent_at))
        connection.close()
        time.sleep(PAUSE_S)
    return answers
