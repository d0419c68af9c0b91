"""Many users, huge requests, users who leave: the instance keeps answering, and nothing counts against it."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from rehearsal.answers import Refused
from rehearsal.gateway import Gateway, through_gateway
from rehearsal.running import Instance
from tests.helpers import is_idle, until

LONG_TEXT = "ok " * 600
"""Longer than the model can take: the most work that one text can be."""

TEXTS = 'batch_processor_texts_total{analysis="sentiment"}'

NUM_ABANDONED = [100, pytest.param(500, marks=pytest.mark.slow)]
"""Many times the 9 threads, one of which each would block."""


def test_a_hundred_texts_of_ten_thousand_four_byte_characters(instance: Instance) -> None:
    # Letters of Gothic, which are soon tokenized.
    texts = [chr(0x10330 + number % 27) * 10_000 for number in range(100)]
    body = json.dumps({"texts": texts, "max_length": 50}).encode()
    assert len(body) > 12_000_000

    async def scenario(gateway: Gateway) -> None:
        answer = await gateway.call("POST", "/process-batch", body)
        assert answer.status == 200
        assert [result["text"] for result in answer.json()["results"]] == texts
        stream = await gateway.call("POST", "/process-batch-stream", body)
        assert stream.status == 200
        assert max(map(len, stream.content.splitlines())) < 64 * 1024
        assert json.loads(stream.content.splitlines()[-1])["texts_omitted"]

    through_gateway(instance, scenario)


def test_64_users_at_once(instance: Instance) -> None:
    async def user(gateway: Gateway, number: int) -> None:
        text = f"User {number} loves this!"
        path = ["/process-batch", "/process-batch-stream", "/analyze-single"][number % 3]
        request = {"text": text} if path == "/analyze-single" else {"texts": [text] * (1 + number % 10)}
        answer = await gateway.post(path, request)
        assert answer.status == 200
        assert f"User {number} loves".encode() in answer.content

    async def scenario(gateway: Gateway) -> None:
        await asyncio.gather(*(user(gateway, number) for number in range(64)))

    through_gateway(instance, scenario)


def test_beyond_its_concurrency_an_instance_says_busy(narrow_instance: Instance) -> None:
    async def scenario(gateway: Gateway) -> None:
        work = {"texts": [LONG_TEXT] * 10}
        users = [asyncio.create_task(gateway.post("/process-batch", work)) for _ in range(8)]
        await until(lambda: _all_in_flight(gateway, 8))
        # Most of such a body is still to come when it is refused.
        late = await gateway.post("/process-batch", {"texts": [random.randbytes(5_000).hex() for _ in range(40)]})
        assert (late.status, late.json()["detail"]) == (
            429,
            "Infrastructure is at maximum capacity, try again later",
        )
        assert [answer.status for answer in await asyncio.gather(*users)] == [200] * 8

    # The platform's own count would refuse it before: only a burst gets past that.
    through_gateway(narrow_instance, scenario, overshoots=True)


async def _all_in_flight(gateway: Gateway, number: int) -> bool:
    return bool((await gateway.connection_stats())["in_flight"] == number)


def test_users_who_leave_a_batch_cost_nothing(narrow_instance: Instance) -> None:
    async def is_queue_empty(gateway: Gateway) -> bool:
        return bool((await gateway.call("GET", "/batch-stats")).json()["queued_texts"] == 0)

    async def are_admitted(gateway: Gateway) -> bool:
        return await gateway.gauge("batch_processor_requests_in_flight") == 8

    async def scenario(gateway: Gateway) -> None:
        before = await gateway.gauge(TEXTS)
        work = {"texts": [LONG_TEXT] * 100}
        users = [asyncio.create_task(gateway.post("/process-batch", work)) for _ in range(8)]
        await until(lambda: are_admitted(gateway))
        for user in users:
            user.cancel()
        await until(lambda: is_idle(gateway))
        await until(lambda: is_queue_empty(gateway))
        assert (await gateway.post("/analyze-single", {"text": "I love this!"})).status == 200
        # Minutes of work have been dropped: nothing was classified but the text of the one who stayed.
        assert await gateway.gauge(TEXTS) == before + 1

    through_gateway(narrow_instance, scenario, http2=False)


@pytest.mark.parametrize(("http2", "num_texts"), [(False, 40), (True, 10)], ids=["told of it", "not told of it"])
@pytest.mark.parametrize("num_abandoned", NUM_ABANDONED)
def test_abandoned_streams_leave_no_thread_behind(
    narrow_instance: Instance, http2: bool, num_texts: int, num_abandoned: int
) -> None:
    """The SDK's 9 threads exist from the start; a few requests first bring out the others that come with use."""
    # One text a chunk: most of the stream is still to be written when its user leaves.
    request = {"texts": ["I love this!"] * num_texts, "batch_size": 1}

    async def abandon(gateway: Gateway) -> bool:
        try:
            async with gateway.stream("/process-batch-stream", request) as stream:
                assert json.loads((await anext(stream.chunks)).splitlines()[0])["status"] == "started"
                return True
        except Refused as refusal:
            # The stream abandoned before it still holds its place.
            if refusal.answer.status != 429:
                raise
            return False

    async def abandon_many(gateway: Gateway, number: int) -> None:
        while number > 0:
            number -= sum(await asyncio.gather(*(abandon(gateway) for _ in range(min(8, number)))))

    async def scenario(gateway: Gateway) -> tuple[int, int]:
        await abandon_many(gateway, 40)
        await until(lambda: is_idle(gateway))
        before = narrow_instance.num_threads()
        await abandon_many(gateway, num_abandoned)
        await until(lambda: is_idle(gateway))
        answers = await asyncio.gather(*(gateway.post("/process-batch", {"texts": ["still there"]}) for _ in range(8)))
        assert [answer.status for answer in answers] == [200] * 8
        return before, narrow_instance.num_threads()

    # The instance's own limit is what these users shall meet, not the platform's count.
    before, after = through_gateway(narrow_instance, scenario, http2, overshoots=True)
    print(f"threads before {num_abandoned} abandoned streams: {before}, after: {after}")
    assert after <= before
