"""The limit against a service whose throughput is a function of the requests in flight, on a clock of its own."""

import asyncio
from collections.abc import Callable

from batch_client.concurrency import AdaptiveLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def drive(limit: AdaptiveLimit, clock: Clock, texts_per_second: Callable[[int], float], num_answers: int) -> list[int]:
    levels = []
    for _ in range(num_answers):
        clock.now += 100 / texts_per_second(limit.limit)
        limit.report_answer(100)
        levels.append(limit.limit)
    return levels


def test_it_grows_while_throughput_grows() -> None:
    clock = Clock()
    limit = AdaptiveLimit(32, start=2, clock=clock)
    drive(limit, clock, lambda level: 1000 * min(level, 16), 2000)
    assert 15 <= limit.limit <= 18


def test_it_stays_low_where_more_does_not_help() -> None:
    clock = Clock()
    levels = drive(AdaptiveLimit(32, start=2, clock=clock), clock, lambda level: 1000.0, 2000)
    assert max(levels) <= 4


def test_it_never_passes_its_maximum() -> None:
    clock = Clock()
    assert max(drive(AdaptiveLimit(5, clock=clock), clock, lambda level: 100.0 * level, 1000)) == 5


def test_a_burst_of_overloads_halves_it_once() -> None:
    clock = Clock()
    limit = AdaptiveLimit(32, start=16, clock=clock)
    started, clock.now = clock.now, 1.0
    for _ in range(16):
        limit.report_overload(started, None)
    assert limit.limit == 8
    limit.report_overload(2.0, None)
    assert limit.limit == 4


def test_nothing_is_sent_until_retry_after_is_over() -> None:
    async def scenario() -> float:
        limit = AdaptiveLimit(4)
        loop = asyncio.get_running_loop()
        began = loop.time()
        limit.report_overload(began, 0.2)
        async with limit.slot():
            return loop.time() - began

    assert asyncio.run(scenario()) >= 0.19


def test_no_more_than_the_limit_are_in_flight() -> None:
    async def scenario() -> int:
        limit = AdaptiveLimit(3, start=3)
        in_flight = most = 0

        async def request() -> None:
            nonlocal in_flight, most
            async with limit.slot():
                in_flight += 1
                most = max(most, in_flight)
                await asyncio.sleep(0)
                in_flight -= 1

        await asyncio.gather(*(request() for _ in range(20)))
        return most

    assert asyncio.run(scenario()) == 3
