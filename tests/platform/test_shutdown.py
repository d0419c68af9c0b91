"""The platform ends an instance with SIGTERM: its users get their answers, and nothing counts against it."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from tests.platform.gateway import Gateway, UserAnswer, through_gateway
from tests.platform.running import running_instance
from tests.platform.test_load import until

TEXTS = ["I love this!", "What a waste of money.", "The parcel came on Monday."] * 20
NUM_USERS = 12


@pytest.mark.parametrize("http2", [True, False], ids=["HTTP/2", "HTTP/1.1"])
def test_sigterm_under_load(tmp_path: Path, http2: bool) -> None:
    with running_instance(tmp_path) as instance:

        async def are_admitted(gateway: Gateway) -> bool:
            return await gateway.gauge("batch_processor_requests_in_flight") == NUM_USERS

        async def scenario(gateway: Gateway) -> list[UserAnswer]:
            paths = ["/process-batch", "/process-batch-stream"] * (NUM_USERS // 2)
            users = [asyncio.create_task(gateway.post(path, {"texts": TEXTS})) for path in paths]
            await until(lambda: are_admitted(gateway))
            instance.process.send_signal(signal.SIGTERM)
            while (late := await gateway.post("/analyze-single", {"text": "too late"})).status == 200:
                pass
            assert late.status == 429
            return list(await asyncio.gather(*users))

        answers = through_gateway(instance, scenario, http2)
        assert [answer.status for answer in answers] == [200] * NUM_USERS
        for batch, stream in zip(answers[::2], answers[1::2], strict=True):
            last_event = json.loads(stream.content.splitlines()[-1])
            assert last_event["status"] == "completed"
            assert len(batch.json()["results"]) == len(last_event["final_results"]) == len(TEXTS)
        assert instance.process.wait(timeout=60) == 0
