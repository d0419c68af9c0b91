"""The gateway's own rules: who is streamed to, what counts against an instance, and what a cold chute answers."""

from __future__ import annotations

import asyncio
import json
import time

import httpx

from rehearsal.answers import UserAnswer
from rehearsal.demand import Demand
from rehearsal.front import cold_chute, running_front
from rehearsal.gateway import MAX_BODY_BYTES, Gateway, through_gateway
from rehearsal.running import Instance

REQUEST = {"texts": ["I love this!"]}
BODY = json.dumps(REQUEST).encode()


def test_a_stream_asked_for_in_the_body_is_refused_by_the_cord_before_anything_counts(instance: Instance) -> None:
    async def scenario(gateway: Gateway) -> None:
        for path, request in [("/process-batch", REQUEST), ("/analyze-single", {"text": "fine"})]:
            for _ in range(8):
                answer = await gateway.post(path, request | {"stream": True})
                assert answer.status == 400
                assert "/process-batch-stream" in answer.json()["detail"]
        # The body's word counts before the query's.
        answer = await gateway.call("POST", "/process-batch", b'{"stream": false, ' + BODY[1:], {"stream": "true"})
        assert answer.status == 200

    through_gateway(instance, scenario)


def test_a_stream_asked_for_in_the_query_counts_against_the_instance(instance: Instance) -> None:
    # The cord never sees a query. Nothing can be done about it but to tell callers: docs/deploying.md does.
    async def scenario() -> None:
        async with Gateway(instance) as gateway:
            assert (await gateway.call("POST", "/process-batch", BODY, {"stream": "true"})).status == 500
            assert "cannot be decrypted" in gateway.faults[0]
            assert gateway.health.failures_in_a_row == 1
            assert (await gateway.call("POST", "/process-batch-stream", BODY, {"stream": "true"})).status == 200
            assert gateway.health.failures_in_a_row == 0

    asyncio.run(scenario())


def test_a_body_of_more_than_128_mib_reaches_nobody(instance: Instance) -> None:
    async def scenario(gateway: Gateway) -> None:
        body = b'{"texts": ["' + b"a" * MAX_BODY_BYTES + b'"]}'
        answer = await gateway.call("POST", "/process-batch", body)
        assert (answer.status, answer.json()["detail"]) == (413, "Request body is too large.")
        assert answer.headers == {"Connection": "close"}

    through_gateway(instance, scenario)


def test_a_cold_chute_answers_503_until_its_instance_has_started(instance: Instance) -> None:
    async def scenario() -> tuple[UserAnswer, UserAnswer]:
        async with Gateway(instance, demand=Demand(cold_for_s=0.5)) as gateway:
            cold = hot = await gateway.post("/process-batch", REQUEST)
            while hot.status == 503:
                await asyncio.sleep(0.05)
                hot = await gateway.post("/process-batch", REQUEST)
            assert gateway.faults == []
            return cold, hot

    cold, hot = asyncio.run(scenario())
    assert cold.status == 503
    assert cold.json()["detail"].startswith("No instances available (yet)")
    assert hot.status == 200


def test_over_http_a_program_sees_what_it_would_see_at_the_platform(instance: Instance) -> None:
    gateway = Gateway(instance)
    with running_front(gateway) as url, httpx.Client(base_url=url, timeout=60) as user:
        answer = user.post("/process-batch", json=REQUEST, headers={"X-Mine": "1"})
        assert answer.json()["results"][0]["sentiment"] == "POSITIVE"
        assert "x-chutes-conn-used" not in answer.headers
        with user.stream("POST", "/process-batch-stream", json=REQUEST) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert json.loads(list(stream.iter_lines())[-1])["status"] == "completed"
        assert user.post("/process-batch", json={"texts": []}).status_code == 400
        assert user.get("/nowhere").status_code == 404
    assert gateway.faults == []


def test_over_http_a_cold_chute_gets_warm(instance: Instance) -> None:
    with cold_chute(instance, cold_for_s=0.3) as url:
        statuses = [httpx.post(f"{url}/process-batch", json=REQUEST, timeout=60).status_code]
        while statuses[-1] == 503:
            statuses.append(httpx.post(f"{url}/process-batch", json=REQUEST, timeout=60).status_code)
    assert statuses[0] == 503
    assert statuses[-1] == 200


def test_capitals_in_a_path_are_another_path(instance: Instance) -> None:
    async def scenario(gateway: Gateway) -> None:
        assert (await gateway.call("POST", "/Process-Batch", BODY)).status == 404

    through_gateway(instance, scenario)


def test_an_instance_says_that_it_is_alive(instance: Instance) -> None:
    # How long it may be silent is a matter of speed, and so of the benchmarks.
    since = time.monotonic()
    while not instance.alive.longest_gap_s(since):
        time.sleep(0.05)
