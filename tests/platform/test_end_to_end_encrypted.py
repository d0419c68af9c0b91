"""The end-to-end-encrypted variant: same answers, although the SDK adds keys to the body and takes another way."""

from __future__ import annotations

import json

import pytest

from rehearsal.answers import Refused
from rehearsal.end_to_end import call_end_to_end
from rehearsal.gateway import Gateway, through_gateway
from rehearsal.running import Instance

TEXTS = ["I love this!", "What a waste of money."]


def test_answers_in_one_piece(instance: Instance) -> None:
    async def scenario(gateway: Gateway) -> None:
        batch = (await call_end_to_end(gateway, "/process-batch", {"texts": TEXTS})).json()
        assert [result["sentiment"] for result in batch["results"]] == ["POSITIVE", "NEGATIVE"]
        single = (await call_end_to_end(gateway, "/analyze-single", {"text": TEXTS[0]})).json()
        assert single["sentiment"] == "POSITIVE"

    through_gateway(instance, scenario)


@pytest.mark.parametrize("extra", [{"stream": True}, {"stream": True, "stream_options": {"include_usage": False}}])
def test_a_stream(instance: Instance, extra: dict[str, object]) -> None:
    # Asked for a stream, the SDK puts its own `stream_options` into the body.
    async def scenario(gateway: Gateway) -> None:
        answer = await call_end_to_end(gateway, "/process-batch-stream", {"texts": TEXTS} | extra)
        events = [json.loads(line) for line in answer.content.splitlines()]
        assert [event["status"] for event in events] == ["started", "processing_batch", "batch_complete", "completed"]

    through_gateway(instance, scenario)


@pytest.mark.parametrize("body", [{}, {"texts": []}, {"texts": ["\ud83d"]}, [], ["a"], "text", None, 5])
def test_what_only_the_instance_sees_is_refused_as_the_users_mistake(instance: Instance, body: object) -> None:
    async def scenario(gateway: Gateway) -> None:
        with pytest.raises(Refused) as refusal:
            await call_end_to_end(gateway, "/process-batch", body)
        assert refusal.value.answer.status == 400

    through_gateway(instance, scenario)
