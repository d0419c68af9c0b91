"""The one sign that a caller has left, and what a cord's thread holds until it ends."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError
from typing import Any

import pytest

from batch_http.callers import Channel, CordCaller


def test_what_a_request_holds_is_given_back_when_its_thread_ends() -> None:
    caller, given_back = CordCaller(), []
    with caller.at_work():
        assert not caller.close(lambda: given_back.append(1))
        assert caller.has_left
        assert given_back == []
    assert given_back == [1]


def test_work_that_has_not_begun_when_the_request_is_over_never_begins() -> None:
    caller = CordCaller()
    assert caller.close(lambda: None)
    with pytest.raises(CancelledError), caller.at_work():
        raise AssertionError
    assert not caller.has_begun


def test_work_that_is_over_holds_nothing() -> None:
    caller = CordCaller()
    with caller.at_work():
        pass
    assert caller.close(lambda: pytest.fail("it was given back twice"))


def test_the_sign_is_given_once_to_each_and_at_once_to_those_who_ask_late() -> None:
    caller, signs = CordCaller(), []
    caller.on_leaving(lambda: signs.append("early"))
    caller.leave()
    caller.leave()
    caller.on_leaving(lambda: signs.append("late"))
    assert signs == ["early", "late"]


def test_all_who_wait_on_a_channel_learn_that_the_client_has_left() -> None:
    async def scenario() -> None:
        messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        caller = CordCaller()
        channel = Channel(b"body", messages.get, caller)
        assert (await channel())["body"] == b"body"
        waiting = [asyncio.create_task(channel()) for _ in range(3)]
        waiting[0].cancel()
        await asyncio.sleep(0)
        await messages.put({"type": "http.disconnect"})
        assert [message["type"] for message in await asyncio.gather(*waiting[1:])] == ["http.disconnect"] * 2
        assert caller.has_left
        assert (await channel())["type"] == "http.disconnect"

    asyncio.run(scenario())
