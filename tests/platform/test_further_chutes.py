"""The other chutes of this repository go the same way: build, deployment, encrypted calls, the end by SIGTERM."""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from rehearsal.account import Account
from rehearsal.answers import UserAnswer
from rehearsal.api_server import running_fake_api
from rehearsal.chutes import CHUTES
from rehearsal.deployed_instance import instance_of
from rehearsal.deployment import Deployer
from rehearsal.end_to_end import call_end_to_end
from rehearsal.gateway import Gateway, through_gateway
from rehearsal.running import running_instance
from tests.helpers import until


@dataclass(frozen=True)
class FurtherChute:
    """A chute, and a request that keeps it busy for a while."""

    name: str
    path: str
    request: dict[str, object]
    results: str

    def settings(self) -> dict[str, str]:
        local = CHUTES[self.name]
        prefix = local.settings.env_prefix()
        settings = {"MODEL": local.bundled_model(), "DEVICE": "cpu"}
        if "answer_cache_mib" in local.settings.model_fields:
            # Answers that are kept would keep nobody busy.
            settings["ANSWER_CACHE_MIB"] = "0"
        return {f"{prefix}{name}": value for name, value in settings.items()}


FURTHER = [
    FurtherChute("batch_generator", "/generate-batch", {"prompts": ["Hi"] * 8, "max_new_tokens": 64}, "results"),
    FurtherChute("batch_embedder", "/v1/embeddings", {"input": [f"{n} " + "word " * 250 for n in range(60)]}, "data"),
]
NUM_USERS = 4


@pytest.mark.parametrize("chute", FURTHER, ids=lambda chute: chute.name)
def test_built_and_deployed_it_serves(chute: FurtherChute, tmp_path: Path) -> None:
    prefix = CHUTES[chute.name].settings.env_prefix()
    account = Account.create("rehearsal")
    with running_fake_api(account) as api:
        settings = chute.settings() | {f"{prefix}USERNAME": account.username}
        deployer = Deployer(tmp_path / "deployer", api, **settings)
        built = deployer.chutes("build", f"{chute.name}:chute")
        assert len(api.images) == 1, built
        deployed = deployer.chutes("deploy", f"{chute.name}:chute", "--accept-fee")
        assert len(api.deployments) == 1, deployed
        image = next(iter(api.images.values()))
        with instance_of(image, api.deployments[0], tmp_path / "instance") as client:
            answer = client.post(chute.path, json=chute.request)
            assert answer.status_code == 200, answer.text
            assert client.get("/batch-stats").json()["total_requests"] == 1


@pytest.mark.parametrize("chute", FURTHER, ids=lambda chute: chute.name)
def test_encrypted_calls_and_the_end_by_sigterm(chute: FurtherChute, tmp_path: Path) -> None:
    with running_instance(tmp_path, f"{chute.name}:chute", **chute.settings()) as instance:

        async def are_admitted(gateway: Gateway) -> bool:
            return await gateway.gauge("batch_processor_requests_in_flight") == NUM_USERS

        async def scenario(gateway: Gateway) -> list[UserAnswer]:
            alone = await gateway.post(chute.path, chute.request)
            end_to_end = (await call_end_to_end(gateway, chute.path, chute.request)).json()
            assert end_to_end[chute.results] == alone.json()[chute.results]
            assert (await gateway.call("GET", "/batch-stats")).json()["total_requests"] == 2
            assert (await gateway.post(chute.path, {"unknown": 1})).status == 400
            users = [asyncio.create_task(gateway.post(chute.path, chute.request)) for _ in range(NUM_USERS)]
            await until(lambda: are_admitted(gateway))
            instance.process.send_signal(signal.SIGTERM)
            return list(await asyncio.gather(*users))

        answers = through_gateway(instance, scenario)
        assert [answer.status for answer in answers] == [200] * NUM_USERS
        assert instance.process.wait(timeout=60) == 0


def test_a_stream_of_the_generator_reaches_the_user(tmp_path: Path) -> None:
    chute = FURTHER[0]
    with running_instance(tmp_path, "batch_generator:chute", **chute.settings()) as instance:

        async def scenario(gateway: Gateway) -> None:
            answer = await gateway.post("/generate-batch-stream", chute.request)
            events = [json.loads(line) for line in answer.content.splitlines()]
            assert [event["status"] for event in events] == ["started", *["result"] * 8, "completed"]

        through_gateway(instance, scenario)
