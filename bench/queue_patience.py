"""What a service's own 429 costs on the platform: 64 callers through the gateway, with and without patience.

    python -m bench.queue_patience

The platform takes an instance that answers 429 for full until a 200 says otherwise. Here the model costs nothing: a
request sleeps, in the real queue limit, behind the rehearsal's gateway. The callers try again as the client does, after
a random wait that doubles.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from batch_inference.errors import QueueFullError
from batch_inference.queue_limit import SHARE_OF_LARGE, QueueLimit
from rehearsal.gateway import Gateway
from rehearsal.scripted import Reply, ScriptedInstance

NUM_CALLERS = 64
NUM_REQUESTS = 1_000
TOKENS = 1_000
ROOM_FOR = 16
"""Requests that the queue has room for: a quarter of what the platform lets through."""

SECONDS = 0.02
"""For one request, alone on the GPU: 50 a second is the most that there can be."""

BACKOFF_S = 0.5
MAX_BACKOFF_S = 20.0


@dataclass
class SlowService:
    """One request at a time is worked on; as many as the limit admits wait for that."""

    limit: QueueLimit
    gpu: asyncio.Lock = field(default_factory=asyncio.Lock)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(NUM_CALLERS + 1))

    async def script(self, _: str, __: Any) -> Reply:
        slot = self.limit.slot(TOKENS)
        try:
            await asyncio.get_running_loop().run_in_executor(self.pool, slot.__enter__)
        except QueueFullError as error:
            return Reply(429, {"detail": str(error)})
        try:
            async with self.gpu:
                await asyncio.sleep(SECONDS)
        finally:
            slot.__exit__(None, None, None)
        return Reply(document={})


async def call_until_answered(gateway: Gateway, statuses: Counter[int]) -> None:
    backoff = BACKOFF_S
    while True:
        status = (await gateway.post("/process-batch", {})).status
        statuses[status] += 1
        if status == 200:
            return
        await asyncio.sleep(random.uniform(0, backoff))
        backoff = min(MAX_BACKOFF_S, backoff * 2)


async def measure(patience_s: float) -> str:
    """One line: how long all requests took, and what the callers saw."""
    service = SlowService(QueueLimit(int(ROOM_FOR * TOKENS / SHARE_OF_LARGE) + 1, lambda _: 1.0, patience_s))
    instance = ScriptedInstance(service.script)
    left, statuses = list(range(NUM_REQUESTS)), Counter[int]()
    async with Gateway(instance) as gateway:

        async def caller() -> None:
            while left:
                left.pop()
                await call_until_answered(gateway, statuses)

        began = time.monotonic()
        await asyncio.gather(*(caller() for _ in range(NUM_CALLERS)))
        took_s = time.monotonic() - began
    service.pool.shutdown()
    busy = NUM_REQUESTS * SECONDS / took_s
    return (
        f"{patience_s:4g} s   {NUM_REQUESTS / took_s:6.1f} requests/s   busy {busy:4.0%}   "
        f"429 for callers {statuses[429]:5}   of them by the instance {instance.num_asked - statuses[200]:5}"
    )


def main() -> None:
    print(f"{NUM_CALLERS} callers, {NUM_REQUESTS} requests, room for {ROOM_FOR}, at most {1 / SECONDS:g} a second")
    print("patience")
    for patience_s in (0.0, 1.0, 5.0):
        print(asyncio.run(measure(patience_s)), flush=True)


if __name__ == "__main__":
    main()
