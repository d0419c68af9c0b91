"""In production, too, no caller reads another's text: plain and end-to-end-encrypted requests on one connection."""

from __future__ import annotations

import asyncio
import json

import pytest

from rehearsal.end_to_end import call_end_to_end
from rehearsal.gateway import Gateway, through_gateway
from rehearsal.running import Instance

NUM_REQUESTS = 120
AT_ONCE = 48


@pytest.mark.parametrize("http2", [True, False], ids=["one connection", "many connections"])
def test_marked_texts(instance: Instance, http2: bool) -> None:
    async def texts_answered(gateway: Gateway, number: int) -> list[str]:
        texts = [f"caller {number} text {index} is great" for index in range(1 + number % 3)]
        path = ["/process-batch", "/process-batch-stream"][number % 2]
        extra = {"stream": True} if path.endswith("stream") else {}
        send = call_end_to_end if number % 3 else Gateway.post
        answer = await send(gateway, path, {"texts": texts} | extra)
        assert answer.status == 200, answer
        last = json.loads(answer.content.splitlines()[-1])
        answered = [result["text"] for result in last.get("results") or last["final_results"]]
        return [] if answered == texts else [f"{texts} was answered {answered}"]

    async def scenario(gateway: Gateway) -> list[str]:
        places = asyncio.Semaphore(AT_ONCE)

        async def caller(number: int) -> list[str]:
            async with places:
                return await texts_answered(gateway, number)

        wrong = await asyncio.gather(*(caller(number) for number in range(NUM_REQUESTS)))
        return [sentence for sentences in wrong for sentence in sentences]

    assert through_gateway(instance, scenario, http2) == []
