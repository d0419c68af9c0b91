"""The platform ends an instance with SIGTERM: its users get their answers, and nothing counts against it."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path

import pytest

from rehearsal.answers import UserAnswer
from rehearsal.gateway import Gateway, through_gateway
from rehearsal.running import running_instance
from tests.helpers import until

TEXTS = ["I love this!", "What a waste of money.", "The parcel came on Monday."] * 20
NUM_USERS = 12

LONG_TEXTS = ["so good " * 1_200] * 100
"""The most that one request may ask for: a hundred texts that fill the model's window."""

LONG_SHUTDOWN_S = 40
"""More than the 30 s after which the SDK's own server cuts off what it still answers."""


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


@pytest.mark.slow
def test_streams_that_take_longer_than_the_sdks_grace(tmp_path: Path) -> None:
    with running_instance(tmp_path, BATCH_PROCESSOR_MAX_QUEUED_TOKENS=str(10**9)) as instance:

        async def scenario(gateway: Gateway) -> tuple[list[UserAnswer], float]:
            body = {"texts": LONG_TEXTS}
            alone = (await gateway.post("/process-batch", body)).json()["processing_time"]
            num_users = int(LONG_SHUTDOWN_S / alone) + 1
            assert num_users <= 50, "a machine that fast needs another way to be kept busy"

            async def are_admitted() -> bool:
                return await gateway.gauge("batch_processor_requests_in_flight") == num_users

            users = [asyncio.create_task(gateway.post("/process-batch-stream", body)) for _ in range(num_users)]
            await until(are_admitted)
            instance.process.send_signal(signal.SIGTERM)
            started_at = time.monotonic()
            answers = await asyncio.gather(*users)
            return list(answers), time.monotonic() - started_at

        answers, took_s = through_gateway(instance, scenario)
        print(f"{len(answers)} streams were finished within {took_s:.0f} s of SIGTERM")
        assert [answer.status for answer in answers] == [200] * len(answers)
        for answer in answers:
            assert len(json.loads(answer.content.splitlines()[-1])["final_results"]) == len(LONG_TEXTS)
        # Else this shows nothing.
        assert took_s > 30
        assert instance.process.wait(timeout=60) == 0
