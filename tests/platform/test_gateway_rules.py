"""What the server decides by itself between users and instances, which here answer by a script."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from rehearsal.answers import UserAnswer
from rehearsal.demand import Demand
from rehearsal.front import running_front
from rehearsal.gateway import Gateway
from rehearsal.scripted import Reply, Script, ScriptedInstance

FULL = (429, "Infrastructure is at maximum capacity, try again later")
NOWHERE = (500, "No infrastructure available to serve request")


def told(answer: UserAnswer) -> tuple[int, str]:
    """Status and sentence of an error."""
    return answer.status, answer.json()["detail"]


async def post(gateway: Gateway, path: str = "/process-batch") -> UserAnswer:
    return await gateway.post(path, {"texts": ["a"]})


def run(scenario: Callable[[Gateway], Awaitable[None]], gateway: Gateway) -> None:
    async def opened() -> None:
        async with gateway:
            await scenario(gateway)

    asyncio.run(opened())


async def fine(_: str, body: Any) -> Reply:
    return Reply(document=body)


def answering(status: int) -> Script:
    async def script(_: str, body: Any) -> Reply:
        return Reply(status, {"detail": "a sentence"})

    return script


def held_until(event: asyncio.Event) -> Script:
    async def script(_: str, body: Any) -> Reply:
        await event.wait()
        return Reply(document=body)

    return script


async def settled(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


def test_the_65th_request_never_reaches_the_instance() -> None:
    event = asyncio.Event()
    instance = ScriptedInstance(held_until(event))

    async def scenario(gateway: Gateway) -> None:
        users = [asyncio.create_task(post(gateway)) for _ in range(64)]
        await settled(lambda: instance.num_asked == 64)
        assert told(await post(gateway)) == FULL
        assert instance.num_asked == 64
        event.set()
        assert [answer.status for answer in await asyncio.gather(*users)] == [200] * 64
        assert (await post(gateway)).status == 200

    run(scenario, Gateway(instance))


def test_a_burst_may_overtake_the_count_and_meet_the_instances_own() -> None:
    event = asyncio.Event()
    instance = ScriptedInstance(held_until(event), concurrency=2)

    async def scenario(gateway: Gateway) -> None:
        users = [asyncio.create_task(post(gateway)) for _ in range(2)]
        await settled(lambda: instance.num_asked == 2)
        assert told(await post(gateway)) == FULL
        assert instance.num_asked == 3
        event.set()
        await asyncio.gather(*users)

    run(scenario, Gateway(instance, overshoots=True))


def test_one_429_of_the_instance_lets_one_request_at_a_time_through_until_a_200() -> None:
    event, is_full = asyncio.Event(), [True]

    async def script(_: str, body: Any) -> Reply:
        if is_full[0]:
            return Reply(429, {"detail": "The queue is full"})
        await event.wait()
        return Reply(document=body)

    instance = ScriptedInstance(script)

    async def scenario(gateway: Gateway) -> None:
        assert told(await post(gateway)) == FULL
        is_full[0] = False
        # Nobody is there, yet only one of ten gets through.
        users = [asyncio.create_task(post(gateway)) for _ in range(10)]
        await settled(lambda: sum(user.done() for user in users) == 9)
        assert instance.num_asked == 2
        event.set()
        assert sorted(answer.status for answer in await asyncio.gather(*users)) == [200] + [429] * 9
        # Its `X-Chutes-Conn-Used` has set the count right.
        answers = await asyncio.gather(*(post(gateway) for _ in range(10)))
        assert [answer.status for answer in answers] == [200] * 10

    run(scenario, Gateway(instance))


def test_the_only_instance_failing_leaves_no_infrastructure_and_disabled_it_is_full() -> None:
    async def scenario(gateway: Gateway) -> None:
        for _ in range(7):
            assert told(await post(gateway)) == NOWHERE
        assert told(await post(gateway)) == FULL
        assert len(gateway.faults) == 7

    run(scenario, Gateway(ScriptedInstance(answering(500))))


def test_three_instances_that_fail_exhaust_the_attempts() -> None:
    first, *others = (ScriptedInstance(answering(502)) for _ in range(4))

    async def scenario(gateway: Gateway) -> None:
        assert told(await post(gateway)) == (500, "exhausted all available targets to no avail")

    run(scenario, Gateway(first, others=tuple(others)))


def test_another_instance_is_tried_after_a_failure_and_after_a_429() -> None:
    for status in (500, 429):
        bad, good = ScriptedInstance(answering(status)), ScriptedInstance(fine)

        async def scenario(gateway: Gateway) -> None:
            assert [(await post(gateway)).status for _ in range(6)] == [200] * 6

        run(scenario, Gateway(bad, others=(good,)))


LINES = ('{"status":"started"}\n', '{"status":"batch_complete","n":1}\n', '{"status":"completed"}\n')


def test_a_stream_that_breaks_ends_cleanly_with_an_error_in_it() -> None:
    async def breaking(_: str, body: Any) -> Reply:
        return Reply(chunks=LINES[:2], breaks=True)

    async def scenario(gateway: Gateway) -> None:
        answer = await post(gateway, "/process-batch-stream")
        assert answer.status == 200
        *before, last = answer.content.decode().splitlines()
        assert [line + "\n" for line in before] == list(LINES[:2])
        error = "Unhandled exception during response stream: No infrastructure available to serve request"
        assert json.loads(last) == {"error": error}
        assert "ReadError" in gateway.faults[0]

    run(scenario, Gateway(ScriptedInstance(breaking)))


def test_a_stream_that_breaks_before_its_first_line_is_a_500() -> None:
    async def breaking(_: str, body: Any) -> Reply:
        return Reply(breaks=True)

    async def scenario(gateway: Gateway) -> None:
        assert told(await post(gateway, "/process-batch-stream")) == NOWHERE

    run(scenario, Gateway(ScriptedInstance(breaking)))


def test_with_a_second_instance_a_broken_stream_starts_over() -> None:
    async def breaking(_: str, body: Any) -> Reply:
        return Reply(chunks=LINES[:2], breaks=True)

    async def whole(_: str, body: Any) -> Reply:
        return Reply(chunks=LINES)

    async def scenario(gateway: Gateway) -> None:
        seen = set()
        for _ in range(20):
            seen.add((await post(gateway, "/process-batch-stream")).content.decode())
        assert seen <= {"".join(LINES), "".join(LINES[:2] + LINES)}
        assert "".join(LINES[:2] + LINES) in seen

    run(scenario, Gateway(ScriptedInstance(breaking), others=(ScriptedInstance(whole),)))


def test_a_line_of_a_stream_may_have_any_length() -> None:
    long = json.dumps({"text": "a" * 12_000_000}) + "\n"

    async def script(_: str, body: Any) -> Reply:
        return Reply(chunks=(long,))

    async def scenario(gateway: Gateway) -> None:
        assert (await post(gateway, "/process-batch-stream")).content.decode() == long

    run(scenario, Gateway(ScriptedInstance(script)))


def test_nobody_counts_equal_bodies() -> None:
    async def scenario(gateway: Gateway) -> None:
        for _ in range(20):
            assert (await post(gateway)).status == 200
        assert not [name for name in vars(gateway) if "bod" in name]

    run(scenario, Gateway(ScriptedInstance(fine)))


def test_an_owner_without_balance_and_a_chute_that_is_turned_off() -> None:
    async def scenario(gateway: Gateway) -> None:
        status, detail = told(await post(gateway))
        assert status == 402
        assert "balance" in detail
        gateway.is_disabled = True
        assert told(await post(gateway)) == (503, "This chute is currently disabled.")

    run(scenario, Gateway(ScriptedInstance(fine), balance=0.0))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_body_is_parsed_whatever_becomes_of_it(method: str) -> None:
    async def scenario(gateway: Gateway) -> None:
        status, detail = told(await gateway.call(method, "/process-batch", b"{"))
        assert status == 400
        assert detail.startswith("invalid request JSON payload")

    run(scenario, Gateway(ScriptedInstance(fine)))


def test_a_trace_turns_any_answer_into_a_stream_of_events() -> None:
    for script, kinds in [(fine, ["trace", "result", "trace"]), (answering(500), ["trace", "error"])]:
        instance = ScriptedInstance(script)
        with running_front(Gateway(instance)) as url:
            headers = {"X-Chutes-Trace": "true"}
            answer = httpx.post(f"{url}/process-batch", json={"texts": []}, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line]
        assert [next(iter(event)) for event in events] == kinds


def test_a_body_that_the_instance_leaves_unread_is_a_failure() -> None:
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        async def scenario(gateway: Gateway) -> None:
            # Compressed, it is still more than the kernel takes in.
            answer = await gateway.post("/process-batch", {"texts": [random.randbytes(8_000_000).hex()]})
            assert told(answer) == NOWHERE
            assert "WriteTimeout" in gateway.faults[0]

        deaf = Deaf(fine, url=f"http://127.0.0.1:{listening.getsockname()[1]}")
        run(scenario, Gateway(deaf, http2=False, write_timeout_s=0.3))


class Deaf(ScriptedInstance):
    """An instance that is really connected to."""

    @property
    def transport(self) -> None:  # type: ignore[override]
        return None


def test_the_timeouts_are_the_servers() -> None:
    async def scenario(gateway: Gateway) -> None:
        timeout = gateway._targets.targets[0].client.timeout
        assert (timeout.connect, timeout.read, timeout.write, timeout.pool) == (10.0, 1800.0, 30.0, 10.0)

    run(scenario, Gateway(ScriptedInstance(fine)))


def test_calls_keep_a_cold_chute_wanted_and_its_instance_up() -> None:
    now = [0.0]
    demand = Demand(cold_for_s=5820, shutdown_after_s=600, clock=lambda: now[0])

    async def scenario(gateway: Gateway) -> None:
        assert told(await post(gateway))[0] == 503
        now[0] = 5820.0
        assert told(await post(gateway))[0] == 503, "the wish has expired, and nobody renewed it"
        for _ in range(97):
            assert (await post(gateway)).status == 503
            now[0] += 60
        assert (await post(gateway)).status == 200
        now[0] += 601
        assert (await post(gateway)).status == 503
        assert demand.paid_s == pytest.approx(600)

    run(scenario, Gateway(ScriptedInstance(fine), demand=demand))


def test_a_deleted_instance_is_gone() -> None:
    async def scenario(gateway: Gateway) -> None:
        assert told(await post(gateway)) == NOWHERE
        assert told(await post(gateway))[0] == 503

    run(scenario, Gateway(ScriptedInstance(answering(426))))
