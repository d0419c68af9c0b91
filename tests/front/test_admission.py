"""Laws of the slots for requests at work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from batch_http.admission import SMALL_BODY_BYTES, SMALL_BODY_QUOTES, Slots
from batch_http.body import ClientLeft
from batch_http.refusals import Refused

SMALL, LARGE = b" " * SMALL_BODY_BYTES, b" " * (SMALL_BODY_BYTES + 1)
MANY_SHORT_TEXTS = b'""' * (SMALL_BODY_QUOTES // 2 + 1)


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


class Crowd:
    """Requests that hold their slots until they may end."""

    def __init__(self, num_slots: int) -> None:
        self._slots = Slots(num_slots)

    async def ask(self, body: bytes) -> Request:
        request = Request(asyncio.Event(), asyncio.Event(), asyncio.Event())
        request.task = asyncio.create_task(self._hold(body, request))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return request

    async def _hold(self, body: bytes, request: Request) -> None:
        async def left() -> None:
            await request.has_left.wait()

        slot = await self._slots.take(body, left)
        request.is_at_work.set()
        await request.may_end.wait()
        slot.give_back()


class Request:
    def __init__(self, is_at_work: asyncio.Event, may_end: asyncio.Event, has_left: asyncio.Event) -> None:
        self.is_at_work, self.may_end, self.has_left = is_at_work, may_end, has_left
        self.task: asyncio.Task[None]

    async def end(self) -> None:
        self.may_end.set()
        await self.task

    @property
    def is_refused(self) -> bool:
        return self.task.done() and isinstance(self.task.exception(), Refused)


@on_a_loop
async def test_large_requests_leave_slots_to_small_ones() -> None:
    crowd = Crowd(8)
    large = [await crowd.ask(LARGE) for _ in range(8)]
    assert [request.is_refused for request in large] == [False] * 6 + [True] * 2
    small = [await crowd.ask(SMALL) for _ in range(2)]
    assert all(request.is_at_work.is_set() for request in small)
    for request in [*large[:6], *small]:
        await request.end()


@on_a_loop
async def test_small_requests_wait_in_line_and_beyond_it_are_refused() -> None:
    crowd = Crowd(2)
    requests = [await crowd.ask(SMALL) for _ in range(5)]
    assert [request.is_at_work.is_set() for request in requests] == [True, True, False, False, False]
    assert requests[4].is_refused
    await requests[0].end()
    await requests[2].is_at_work.wait()
    assert not requests[3].is_at_work.is_set()
    await requests[1].end()
    await requests[2].end()
    await requests[3].end()
    # All slots are free again.
    assert [(await crowd.ask(SMALL)).is_at_work.is_set() for _ in range(2)] == [True, True]


@on_a_loop
async def test_many_short_texts_are_a_large_request() -> None:
    crowd = Crowd(4)
    requests = [await crowd.ask(MANY_SHORT_TEXTS) for _ in range(4)]
    assert [request.is_refused for request in requests] == [False, False, False, True]
    assert (await crowd.ask(SMALL)).is_at_work.is_set()


@on_a_loop
async def test_a_request_that_ends_in_line_takes_no_slot_along() -> None:
    crowd = Crowd(1)
    first, leaving, handed = await crowd.ask(SMALL), await crowd.ask(SMALL), None
    leaving.task.cancel()
    await asyncio.gather(leaving.task, return_exceptions=True)
    handed = await crowd.ask(SMALL)
    # Cancelled just as its turn has come.
    first.may_end.set()
    await first.task
    handed.task.cancel()
    await asyncio.gather(handed.task, return_exceptions=True)
    assert (await crowd.ask(LARGE)).is_at_work.is_set()


@on_a_loop
async def test_callers_who_left_leave_the_line() -> None:
    crowd = Crowd(1)
    first, leaving = await crowd.ask(SMALL), await crowd.ask(SMALL)
    assert (await crowd.ask(SMALL)).is_refused
    leaving.has_left.set()
    with pytest.raises(ClientLeft):
        await leaving.task
    # There is room in line again, and the slot goes to the next one.
    waiting = await crowd.ask(SMALL)
    await first.end()
    await waiting.is_at_work.wait()
    await waiting.end()


@on_a_loop
async def test_a_refusal_says_when_to_come_back() -> None:
    crowd = Crowd(1)
    # The loop knows tasks weakly: without a name, garbage collection would end the request.
    at_work = await crowd.ask(LARGE)
    refused = await crowd.ask(LARGE)
    with pytest.raises(Refused, match="1 requests are being worked on") as error:
        await refused.task
    assert (error.value.status, error.value.headers) == (429, {"retry-after": "1"})
    await at_work.end()
