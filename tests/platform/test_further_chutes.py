"""The other chutes of this repository go the same way: build, deployment, encrypted calls, the end by SIGTERM."""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from rehearsal.answers import UserAnswer
from rehearsal.chutes import CHUTES
from rehearsal.deployed_instance import instance_of
from rehearsal.end_to_end import call_end_to_end
from rehearsal.gateway import Gateway, through_gateway
from rehearsal.running import running_instance
from tests.helpers import until
from tests.platform.deploying import Deploying


@dataclass(frozen=True)
class FurtherChute:
    """A chute, a request that keeps it busy for a while, and the events of a stream of its results, if it has one."""

    name: str
    path: str
    request: dict[str, object]
    results: str
    events: tuple[str, ...] = ()

    def settings(self) -> dict[str, str]:
        local = CHUTES[self.name]
        prefix = local.settings.env_prefix()
        settings = {"MODEL": local.bundled_model(), "DEVICE": "cpu"}
        if "answer_cache_mib" in local.settings.model_fields:
            # Answers that are kept would keep nobody busy.
            settings["ANSWER_CACHE_MIB"] = "0"
        return {f"{prefix}{name}": value for name, value in settings.items()}


FURTHER = [
    FurtherChute(
        "batch_generator", "/generate-batch", {"prompts": ["Hi"] * 8, "max_new_tokens": 64}, "results",
        events=("started", *["result"] * 8, "completed"),
    ),
    FurtherChute("batch_embedder", "/v1/embeddings", {"input": [f"{n} " + "word " * 250 for n in range(6)]}, "data"),
]  # fmt: skip
NUM_USERS = 4


@pytest.mark.parametrize("chute", FURTHER, ids=lambda chute: chute.name)
def test_built_and_deployed_it_serves(deploy: Deploying, chute: FurtherChute, tmp_path: Path) -> None:
    name = chute.name.replace("_", "-")
    code, printed = deploy("--yes", "--chute", chute.name, **{f"{chute.name.upper()}_USERNAME": "rehearsal"})
    assert code == 0, printed
    assert f"{name} is deployed, at https://rehearsal-{name}.chutes.ai." in printed
    assert f"make watch CHUTE={chute.name}\n" in printed
    [image], [deployed] = deploy.api.images.values(), deploy.api.deployments
    # Its model is on a hub.
    with instance_of(image, deployed, tmp_path, **chute.settings()) as client:
        answer = client.post(chute.path, json=chute.request)
        assert answer.status_code == 200, answer.text
        assert client.get("/batch-stats").json()["total_requests"] == 1


@pytest.mark.parametrize("chute", FURTHER, ids=lambda chute: chute.name)
def test_encrypted_calls_a_stream_and_the_end_by_sigterm(chute: FurtherChute, tmp_path: Path) -> None:
    with running_instance(tmp_path, f"{chute.name}:chute", **chute.settings()) as instance:

        async def are_admitted(gateway: Gateway) -> bool:
            return await gateway.gauge("batch_processor_requests_in_flight") == NUM_USERS

        async def scenario(gateway: Gateway) -> list[UserAnswer]:
            alone = await gateway.post(chute.path, chute.request)
            end_to_end = (await call_end_to_end(gateway, chute.path, chute.request)).json()
            assert end_to_end[chute.results] == alone.json()[chute.results]
            assert (await gateway.call("GET", "/batch-stats")).json()["total_requests"] == 2
            assert (await gateway.post(chute.path, {"unknown": 1})).status == 400
            if chute.events:
                stream = await gateway.post(f"{chute.path}-stream", chute.request)
                events = [json.loads(line)["status"] for line in stream.content.splitlines()]
                assert events == list(chute.events)
            users = [asyncio.create_task(gateway.post(chute.path, chute.request)) for _ in range(NUM_USERS)]
            await until(lambda: are_admitted(gateway))
            instance.process.send_signal(signal.SIGTERM)
            return list(await asyncio.gather(*users))

        answers = through_gateway(instance, scenario)
        assert [answer.status for answer in answers] == [200] * NUM_USERS
        assert instance.process.wait(timeout=60) == 0
