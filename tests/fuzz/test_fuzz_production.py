"""The same for an instance in production, through the platform and past its checks: nothing counts against it."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hypothesis import given

from rehearsal.gateway import Gateway
from rehearsal.running import Instance, running_instance
from tests.fuzz import NUM_REQUESTS, fuzzing
from tests.fuzz.answers import check_answer
from tests.fuzz.raw import damaged_bytes, exchange
from tests.fuzz.requests import Request, requests
from tests.fuzz.watch import Holdings

ALLOWED_GROWTH_MIB = 24


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance of its own: what it holds is looked at."""
    with running_instance(tmp_path_factory.mktemp("fuzzed")) as instance:
        yield instance


def test_any_request_through_the_platform(fuzzed: Instance) -> None:
    seen: Counter[int] = Counter()
    holdings: list[Holdings] = []

    def fuzz(runner: asyncio.Runner, gateway: Gateway, num_requests: int) -> None:
        @fuzzing(num_requests)
        @given(requests())
        def try_one(request: Request) -> None:
            answer = runner.run(gateway.call(request.method, request.path, request.body))
            seen[answer.status] += 1
            assert gateway.faults == []
            if answer.status == 200:
                check_answer(request.path, request.decoded, 200, answer.content)
            # What the server refuses to pass on, an end-to-end-encrypted request would bring all the same.
            if request.method == "POST" and isinstance(request.decoded, (list, str, int)):
                status = runner.run(gateway.deliver("/process-batch", request.body))
                seen[status] += 1
                assert status in {200, 400, 429}, request
            assert gateway.faults == []

        try_one()

    with asyncio.Runner() as runner:
        gateway = runner.run(Gateway(fuzzed).__aenter__())
        for _ in range(2):
            fuzz(runner, gateway, NUM_REQUESTS // 10)
            holdings.append(Holdings.of(fuzzed.process.pid))
        runner.run(gateway.__aexit__())
    print(f"through the platform: {sum(seen.values())} requests, {dict(seen)}, {holdings}")
    assert seen[200] > 0
    assert seen[400] > 0
    assert holdings[1].num_threads <= holdings[0].num_threads
    assert holdings[1].resident_mib < holdings[0].resident_mib + ALLOWED_GROWTH_MIB


def test_any_bytes_leave_the_instance_alive(fuzzed: Instance) -> None:
    parts = urlsplit(fuzzed.url)
    address = (parts.hostname or "", parts.port or 0)
    seen: Counter[int] = Counter()
    for seed in range(NUM_REQUESTS // 10):
        rng = random.Random(10**12 + seed)
        statuses = exchange(address, damaged_bytes(rng), rng, patience_s=0.1)
        seen.update(statuses or [0])
        assert all(status < 500 for status in statuses), (seed, statuses)
    print(f"raw, in production: {dict(seen)} (0: no answer)")

    async def still_answers() -> int:
        async with Gateway(fuzzed) as gateway:
            return (await gateway.call("POST", "/process-batch", json.dumps({"texts": ["fine"]}).encode())).status

    assert asyncio.run(still_answers()) == 200
