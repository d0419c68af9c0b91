"""The rehearsal catches what it is for: each mistake, made on purpose, counts against its instance."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rehearsal.answers import UserAnswer
from rehearsal.gateway import Gateway
from rehearsal.running import Instance, running_instance
from tests.helpers import is_idle, until

BROKEN_CHUTES = Path(__file__).parent / "broken_chutes"

NUM_THREADS = 5
"""The SDK's thread pool at the concurrency of 4 that `long_stream` has."""

UNANSWERED_AFTER_S = 5.0


def answers_and_faults(instance: Instance, requests: list[object]) -> tuple[list[UserAnswer], list[str]]:
    async def run() -> tuple[list[UserAnswer], list[str]]:
        async with Gateway(instance) as gateway:
            return [await gateway.post("/answer", request) for request in requests], gateway.faults

    return asyncio.run(run())


def test_a_pydantic_model_as_answer_is_caught(tmp_path: Path) -> None:
    with running_instance(tmp_path, "pydantic_answer:chute", BROKEN_CHUTES) as instance:
        answers, faults = answers_and_faults(instance, [{"a": 1}])
    assert [answer.status for answer in answers] == [500]
    assert "HTTP_500" in faults[0]


def test_json_for_a_caller_who_asks_for_a_stream_is_caught(tmp_path: Path) -> None:
    with running_instance(tmp_path, "json_for_a_stream:chute", BROKEN_CHUTES) as instance:
        answers, faults = answers_and_faults(instance, [{"a": 1}, {"a": 1, "stream": True}])
    assert [answer.status for answer in answers] == [200, 500]
    assert "cannot be decrypted" in faults[0]


def test_a_dict_in_a_stream_is_caught(tmp_path: Path) -> None:
    with running_instance(tmp_path, "dict_stream:chute", BROKEN_CHUTES) as instance:
        answers, faults = answers_and_faults(instance, [{"a": 1}])
    assert [answer.status for answer in answers] == [500]
    assert "HTTP_500" in faults[0]


def test_a_schema_given_as_a_class_is_caught(tmp_path: Path) -> None:
    with running_instance(tmp_path, "schema_class:chute", BROKEN_CHUTES) as instance:
        answers, faults = answers_and_faults(instance, [{"texts": ["fine"]}, {"texts": 5}, {}])
    # Good bodies work and bad ones are a bare 400: only the empty one shows the mistake.
    assert [answer.status for answer in answers] == [200, 400, 500]
    assert b"Invalid input parameters" in answers[1].content
    assert len(faults) == 1


def test_a_download_after_start_up_is_caught(tmp_path: Path) -> None:
    with running_instance(tmp_path, "late_download:chute", BROKEN_CHUTES) as instance:
        answers, _ = answers_and_faults(instance, [{"a": 1}])
    assert [answer.status for answer in answers] == [500]
    assert "the network is locked" in (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.parametrize("num_yields", [60, 65])
def test_a_stream_of_65_yields_blocks_the_instance_for_ever(tmp_path: Path, num_yields: int) -> None:
    """Its user leaves after the first yield: 64 more fill the SDK's queue, and the stream's end waits for ever."""
    released = tmp_path / "released"
    environment = {"NUM_YIELDS": str(num_yields), "RELEASED": str(released)}

    async def abandon_one_stream_per_thread(instance: Instance) -> None:
        async with Gateway(instance, http2=False) as gateway:
            for _ in range(NUM_THREADS):
                async with gateway.stream("/stream", {"a": 1}) as stream:
                    assert await anext(stream.chunks) == "0\n"
                # Not before the SDK knows that the user has left: until then it would go on emptying the queue.
                await until(lambda: is_idle(gateway))

    async def ask(instance: Instance) -> tuple[UserAnswer, list[str]]:
        async with Gateway(instance, http2=False, timeout_s=UNANSWERED_AFTER_S) as gateway:
            return await gateway.post("/answer", {"a": 1}), gateway.faults

    with running_instance(tmp_path, "long_stream:chute", BROKEN_CHUTES, **environment) as instance:
        asyncio.run(abandon_one_stream_per_thread(instance))
        released.touch()
        answer, faults = asyncio.run(ask(instance))
    if num_yields == 65:
        assert answer.status == 500
        assert "ReadTimeout" in faults[0]
    else:
        assert (answer.status, faults) == (200, [])
