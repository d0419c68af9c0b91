"""Every endpoint, called as a user of the platform calls it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from rehearsal.gateway import Gateway, through_gateway
from rehearsal.running import Instance
from rehearsal.session import Session

TEXTS = ["I love this!", "What a waste of money.", "The parcel came on Monday."]
SENTIMENTS = ["POSITIVE", "NEGATIVE", "NEUTRAL"]


def test_a_batch(instance: Instance) -> None:
    async def scenario(gateway: Gateway) -> None:
        answer = await gateway.post("/process-batch", {"texts": TEXTS})
        assert (answer.status, answer.media_type) == (200, "application/json")
        assert [result["sentiment"] for result in answer.json()["results"]] == SENTIMENTS

    through_gateway(instance, scenario)


def test_a_stream_reaches_the_user_as_json_lines(instance: Instance) -> None:
    async def scenario(gateway: Gateway) -> None:
        answer = await gateway.post("/process-batch-stream", {"texts": TEXTS * 30, "batch_size": 1})
        # The platform's own media type for streams, whatever the cord declares.
        assert (answer.status, answer.media_type) == (200, "text/event-stream")
        lines = answer.content.splitlines()
        # Stock line readers give up on longer lines.
        assert max(map(len, lines)) < 64 * 1024
        events = [json.loads(line) for line in lines]
        assert [event["status"] for event in events[1:-1]] == ["processing_batch", "batch_complete"] * 90
        assert [result["sentiment"] for result in events[-1]["final_results"]] == SENTIMENTS * 30

    through_gateway(instance, scenario)


def test_a_stream_comes_in_several_writes_but_at_most_60(instance: Instance) -> None:
    async def scenario(gateway: Gateway) -> None:
        async with gateway.stream("/process-batch-stream", {"texts": TEXTS * 30, "batch_size": 1}) as stream:
            chunks = [chunk async for chunk in stream.chunks]
        # Few writes, or a user who leaves would cost a thread for ever; but not one.
        assert 10 < len(chunks) <= 60
        assert json.loads(chunks[0].splitlines()[0])["status"] == "started"

    through_gateway(instance, scenario)


def test_one_text(instance: Instance) -> None:
    async def scenario(gateway: Gateway) -> None:
        answer = await gateway.post("/analyze-single", {"text": TEXTS[0], "return_all_scores": True})
        assert (answer.status, answer.media_type) == (200, "application/json")
        assert answer.json()["sentiment"] == "POSITIVE"
        assert answer.json()["scores"].keys() == {"NEGATIVE", "NEUTRAL", "POSITIVE"}

    through_gateway(instance, scenario)


def test_statistics_by_get(instance: Instance) -> None:
    async def scenario(gateway: Gateway) -> None:
        answer = await gateway.call("GET", "/batch-stats")
        assert (answer.status, answer.media_type) == (200, "application/json")
        assert answer.json()["model"] == "bundled"
        assert (await gateway.call("POST", "/batch-stats", b"{}")).status == 404

    through_gateway(instance, scenario)


def test_the_keys_that_the_platform_adds_are_tolerated(instance: Instance) -> None:
    async def scenario(gateway: Gateway) -> None:
        extra = {"stream": False, "stream_options": None}
        for path, request in [
            ("/process-batch", {"texts": TEXTS}),
            ("/process-batch-stream", {"texts": TEXTS}),
            ("/analyze-single", {"text": "fine"}),
        ]:
            assert (await gateway.post(path, request | extra)).status == 200

    through_gateway(instance, scenario)


def test_a_request_that_the_platform_did_not_sign_is_turned_away(instance: Instance) -> None:
    # It knows how to encrypt, but has another hotkey.
    session = replace(instance.session, validator_seed=Session.create().validator_seed)
    stranger = replace(instance, session=session)

    async def scenario() -> None:
        async with Gateway(stranger) as gateway:
            assert (await gateway.post("/process-batch", {"texts": TEXTS})).status == 500
            assert "HTTP_401" in gateway.faults[0]

    asyncio.run(scenario())
