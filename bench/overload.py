"""What the service does under ten times the load it can take, and what one greedy client costs the others.

$ python -m bench.overload                     # two minutes of overload, six in all, with the bundled model
$ python -m bench.overload --seconds 20        # to see that it works; no figures to quote
$ python -m bench.overload --body-bytes 300000 # requests of so many bytes: their texts are the short ones, repeated

The load is open: requests of 100 texts are sent at fixed times, however many are unanswered. Its generator shares the
machine with the service, so what is offered beyond the service's best costs both. Every text is sent once only.

A phase lasts as long as it was given. Its rate is that of the texts which the service ran meanwhile, by its own count,
and what is unanswered after it is given up: a full queue of large requests would take a minute more to be answered.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]

from bench.checkpoints import checkpoint
from bench.machine import describe_machine
from bench.processes import MIB, cpu_s, end_tree
from bench.record import percentile
from bench.servers import SERVERS
from bench.tuning import Tuning
from rehearsal.dev_server import wait_until_answered
from rehearsal.ports import free_port
from rehearsal.texts import OWN_SHORT_TEXTS, read_labelled

TEXTS_PER_REQUEST = 100
CLOSED_CLIENTS = 8
LONE_TEXTS = 20
LONE_PAUSE_S = 0.25
LONG_TEXT = "so good " * 250
"""Nearly as many tokens as the model's window has."""
IDLE_TIMEOUT_S = 60.0
START_S = 300.0


def numbered_texts() -> Iterator[str]:
    """The repository's short texts over and over, each with a number that makes it another text."""
    texts = [labelled.text for labelled in read_labelled(OWN_SHORT_TEXTS)]
    return (f"{text} {number}" for number, text in enumerate(itertools.cycle(texts)))


@dataclass
class Outcomes:
    """What became of the requests of a phase; seconds from sending to the answer's end."""

    admitted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


class Service:
    """The service that is measured, and what is asked of it.

    Args:
        session: of the service's address.
        pid: its process.
        characters: that each text of a batch is brought to by repetition; 0 leaves it as it is.
    """

    def __init__(self, session: aiohttp.ClientSession, pid: int, characters: int = 0) -> None:
        self._session = session
        self._characters = characters
        self._process = psutil.Process(pid)
        self._texts = numbered_texts()

    def resident_mib(self) -> float:
        """Memory of the service's process."""
        return float(self._process.memory_info().rss) / MIB

    def cpu_s(self) -> float:
        """CPU seconds of the service so far."""
        return cpu_s(self._process.pid)

    async def stats(self) -> dict[str, Any]:
        """Its answer to `/batch-stats`."""
        async with self._session.get("/batch-stats") as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def num_texts_run(self) -> int:
        """Texts that its passes have held so far. Nothing here is read in windows, or answered from memory."""
        stats = await self.stats()
        num_passes: int = stats["forward_passes"]
        return round(num_passes * float(stats["mean_texts_per_pass"]))

    async def until_idle(self) -> None:
        """Wait until it works on nothing.

        Raises:
            TimeoutError: it still does after `IDLE_TIMEOUT_S`.
        """
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            while (await self.stats())["requests_in_flight"]:
                await asyncio.sleep(0.1)

    async def batch(self, texts: list[str], outcomes: Outcomes) -> dict[str, Any]:
        """Send one request of several texts, and note what becomes of it."""
        sent_at = time.perf_counter()
        try:
            async with self._session.post("/process-batch", json={"texts": texts}) as response:
                content = await response.read()
                took_s = time.perf_counter() - sent_at
                answer: dict[str, Any] = json.loads(content)
                if response.status == 200 and len(answer["results"]) == len(texts):
                    outcomes.admitted_s.append(took_s)
                elif response.status == 429 and int(response.headers["Retry-After"]) >= 1:
                    outcomes.refused_s.append(took_s)
                else:
                    outcomes.others.append(f"{response.status}: {content[:200]!r}")
                return answer
        except (aiohttp.ClientError, KeyError, ValueError) as error:
            outcomes.others.append(repr(error))
            return {}

    async def next_batch(self, outcomes: Outcomes) -> None:
        """Send texts that were never sent before."""
        texts = itertools.islice(self._texts, TEXTS_PER_REQUEST)
        await self.batch([self._lengthened(text) for text in texts], outcomes)

    def _lengthened(self, text: str) -> str:
        return (text + " ") * (self._characters // (len(text) + 1)) or text

    async def lone_texts(self, count: int = LONE_TEXTS) -> list[float]:
        """Seconds that single texts take, one after the other."""
        took_s = []
        for text in itertools.islice(self._texts, count):
            sent_at = time.perf_counter()
            async with self._session.post("/analyze-single", json={"text": text}) as response:
                response.raise_for_status()
                await response.read()
            took_s.append(time.perf_counter() - sent_at)
            await asyncio.sleep(LONE_PAUSE_S)
        return took_s


class Phase:
    """What the service does from now on, until it is asked for."""

    def __init__(self, service: Service, num_texts_run: int) -> None:
        self._service = service
        self._num_texts_before = num_texts_run
        self._cpu_before_s = service.cpu_s()
        self._started_at = time.perf_counter()

    @classmethod
    async def begun(cls, service: Service) -> Phase:
        """A phase that begins now."""
        return cls(service, await service.num_texts_run())

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self._started_at

    async def rates(self) -> tuple[float, float]:
        """Texts that the service has run a second, and its CPU seconds a text."""
        elapsed_s, used_s = self.elapsed_s, self._service.cpu_s() - self._cpu_before_s
        num_texts = max(1, await self._service.num_texts_run() - self._num_texts_before)
        return num_texts / elapsed_s, used_s / num_texts


async def give_up(service: Service, calls: list[asyncio.Task[None]]) -> int:
    """Hang up on what is unanswered, and wait until the service has noticed. Returns how many that were."""
    num_open = sum(call.cancel() for call in calls)
    results = await asyncio.gather(*calls, return_exceptions=True)
    if failures := [each for each in results if isinstance(each, Exception)]:
        raise failures[0]
    await service.until_idle()
    return num_open


async def best_rate(service: Service, seconds: float) -> tuple[float, float]:
    """Texts/s with as many clients as keep the service busy, each waiting for its answer; and CPU seconds a text."""
    outcomes = Outcomes()

    async def client() -> None:
        while True:
            await service.next_batch(outcomes)

    phase = await Phase.begun(service)
    clients = [asyncio.create_task(client()) for _ in range(CLOSED_CLIENTS)]
    await asyncio.sleep(seconds)
    rates = await phase.rates()
    await give_up(service, clients)
    if outcomes.refused_s or outcomes.others:
        raise RuntimeError(f"not all was answered: {len(outcomes.refused_s)} refused, {outcomes.others[:3]}")
    return rates


async def overload(service: Service, times: float, seconds: float) -> dict[str, float]:
    """Offer `times` as many texts as the service can take, and see what it does.

    Its best is measured before and after, for the machine may be faster at one time than at another.
    """
    best, best_cpu_s = await best_rate(service, min(seconds, 20))
    before_s = statistics.median(await service.lone_texts())
    resident_before, resident = service.resident_mib(), [service.resident_mib()]
    outcomes, calls = Outcomes(), []
    pause_s = TEXTS_PER_REQUEST / (best * times)
    phase = await Phase.begun(service)
    for number in range(round(seconds / pause_s)):
        await asyncio.sleep(number * pause_s - phase.elapsed_s)
        calls.append(asyncio.create_task(service.next_batch(outcomes)))
        if number % 20 == 0:
            resident.append(service.resident_mib())
    offered_s, num_answered = phase.elapsed_s, len(outcomes.admitted_s)
    throughput, load_cpu_s = await phase.rates()
    await asyncio.sleep(1)
    after_1_s = statistics.median(await service.lone_texts(8))
    num_open = await give_up(service, calls)
    after_all_s = statistics.median(await service.lone_texts())
    best_after, best_after_cpu_s = await best_rate(service, min(seconds, 20))
    return {
        "best before, texts/s": best,
        "best after, texts/s": best_after,
        "requests": len(calls),
        "offered, times the best before": len(calls) * TEXTS_PER_REQUEST / offered_s / best,
        "answered with 200 while it lasted": num_answered,
        "refused with 429 and Retry-After": len(outcomes.refused_s),
        "anything else": len(outcomes.others),
        "given up some seconds after it": num_open,
        "refusal: median, ms": statistics.median(outcomes.refused_s or [0]) * 1e3,
        "refusal: 95th percentile, ms": percentile(outcomes.refused_s or [0], 95) * 1e3,
        "texts/s run while it lasted": throughput,
        "over the mean of the bests": throughput / statistics.mean([best, best_after]),
        "the service's CPU a text, over the mean at its best": load_cpu_s
        / statistics.mean([best_cpu_s, best_after_cpu_s]),
        "resident memory: before, MiB": resident_before,
        "resident memory: most, MiB": max(resident),
        "lone text before, ms": before_s * 1e3,
        "lone text from 1 s after the load's end, the queue still full, ms": after_1_s * 1e3,
        "lone text once nothing waits, ms": after_all_s * 1e3,
    }


async def fairness(service: Service, in_flight: int, seconds: float) -> dict[str, float]:
    """Single texts beside one client that always has so many requests of 100 long texts in flight."""
    outcomes, pass_s = Outcomes(), []
    own_s = statistics.median(await service.lone_texts())
    ends_at = time.perf_counter() + seconds

    async def greedy(name: int) -> None:
        for number in itertools.count():
            if time.perf_counter() > ends_at:
                return
            texts = [f"{name} {number} {index} {LONG_TEXT}" for index in range(TEXTS_PER_REQUEST)]
            answer = await service.batch(texts, outcomes)
            inference_s = answer["performance_metrics"]["inference_time"]
            pass_s.append(inference_s / answer["batch_info"]["actual_batches_used"])

    clients = [asyncio.create_task(greedy(name)) for name in range(in_flight)]
    await asyncio.sleep(2)
    beside_s = []
    while time.perf_counter() < ends_at:
        beside_s += await service.lone_texts(5)
    await asyncio.gather(*clients)
    allowed_s = 3 * statistics.median(pass_s) + own_s
    return {
        "requests of the greedy client": len(pass_s),
        "a pass of its texts, ms": statistics.median(pass_s) * 1e3,
        "lone text alone, ms": own_s * 1e3,
        "lone texts beside it": len(beside_s),
        "their median, ms": statistics.median(beside_s) * 1e3,
        "their 95th percentile, ms": percentile(beside_s, 95) * 1e3,
        "their longest, ms": max(beside_s) * 1e3,
        "allowed: three passes and its own, ms": allowed_s * 1e3,
        "share within that": sum(took_s <= allowed_s for took_s in beside_s) / len(beside_s),
    }


async def measure(url: str, pid: int, times: float, seconds: float, body_bytes: int = 0) -> dict[str, dict[str, float]]:
    """All phases."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as session:
        service = Service(session, pid, body_bytes // TEXTS_PER_REQUEST)
        await best_rate(service, min(seconds, 5))
        measured = {f"overload, {times:g} times": await overload(service, times, seconds)}
        # The greedy client's texts are the same whatever the bodies are.
        for in_flight in () if body_bytes else (1, 4):
            name = f"one greedy client, {in_flight} in flight"
            measured[name] = await fairness(service, in_flight, seconds / 2)
        return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="of overload (default 120)")
    parser.add_argument("--times", type=float, default=10, help="texts offered over the service's best (default 10)")
    parser.add_argument("--body-bytes", type=int, default=0, help="of a request of 100 texts (default: as they are)")
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False), help="torch's threads")
    args = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        server = SERVERS["service"].start(checkpoint("bundled"), port, args.threads, Tuning(), Path(folder) / "log")
        try:
            wait_until_answered(f"http://127.0.0.1:{port}/batch-stats", server)
            measured = asyncio.run(
                measure(f"http://127.0.0.1:{port}", server.pid, args.times, args.seconds, args.body_bytes)
            )
        finally:
            end_tree(server)
    for name, value in describe_machine(args.threads).items():
        print(f"{name}: {value}")
    for phase, figures in measured.items():
        print(f"\n| {phase} | |\n|---|---|")
        for name, figure in figures.items():
            print(f"| {name} | {figure:,.2f} |".replace(".00 |", " |"))
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
