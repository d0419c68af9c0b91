"""The attacks, and what each of them is measured by."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import httpx
import psutil

from tests.attack.polite import polite_caller

MIB = 2**20
MIXED_S = float(os.environ.get("MIXED_S", "60"))
_numbers = itertools.count()


class Target:
    """A service under attack."""

    def __init__(self, url: str, pid: int | None) -> None:
        self.url = url
        address = urlsplit(url)
        self.address = (address.hostname or "", address.port or 80)
        self._process = psutil.Process(pid) if pid else None

    def resident_mib(self) -> float:
        """Memory of its process; 0 if that is not known."""
        return float(self._process.memory_info().rss) / MIB if self._process else 0.0

    async def stats(self) -> dict[str, object]:
        """Its answer to `/batch-stats`."""
        async with httpx.AsyncClient(base_url=self.url, timeout=100, verify=False) as client:
            return dict((await client.get("/batch-stats")).json())

    async def until_idle(self, seconds: float) -> None:
        """Wait until it works on nothing, or for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and (await self.stats())["requests_in_flight"]:
            await asyncio.sleep(0.5)

    async def post(self, path: str, body: object) -> tuple[int, float, str]:
        """Status, seconds and the answer's first characters, on a connection of its own."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent_at = time.perf_counter()
        async with httpx.AsyncClient(base_url=self.url, timeout=100, verify=False) as client:
            response = await client.post(path, content=content)
        return response.status_code, time.perf_counter() - sent_at, response.text[:300]

    async def single(self, text: str | None = None) -> tuple[int, float]:
        """Status and seconds of a lone text, a new one unless given."""
        status, took_s, _ = await self.post("/analyze-single", {"text": text or f"a polite caller {next(_numbers)}"})
        return status, took_s

    async def exchange(self, content: bytes) -> tuple[int, float]:
        """Send bytes on a connection of its own, at little cost to the attackers: status (0 if none comes), seconds."""
        sent_at = time.perf_counter()
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(content)
            line = await reader.readline()
            return int(line.split()[1]) if line else 0, time.perf_counter() - sent_at
        finally:
            writer.close()

    def send_raw(self, content: bytes) -> socket.socket:
        """Send bytes on a connection of its own, and leave it open."""
        connection = socket.create_connection(self.address, timeout=60)
        connection.sendall(content)
        return connection


def large_texts(num_characters: int = 9_900, count: int = 100) -> list[str]:
    """Texts that were never sent before."""
    return [(f"{next(_numbers)} " + "wonderful weather today " * 420)[:num_characters] for _ in range(count)]


def request(path: str, body: object) -> bytes:
    """A POST in HTTP/1.1."""
    content = json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


async def shared(target: Target) -> str:
    """A single whose text also stands in a large request in flight."""
    texts = large_texts(2_000)
    large = asyncio.create_task(target.post("/process-batch", {"texts": texts}))
    await asyncio.sleep(0.5)
    (_, equal_s), (_, unique_s) = await asyncio.gather(
        target.single(texts[-1]), target.single(large_texts(2_000, 1)[0])
    )
    await large
    return f"equal text {equal_s:.1f} s, unique text beside it {unique_s:.1f} s"


async def waiters(target: Target) -> str:
    """80 callers hang up while they wait for a text of a large request."""
    texts = large_texts(2_000)
    large = asyncio.create_task(target.post("/process-batch", {"texts": texts}))
    await asyncio.sleep(0.5)
    connections = [target.send_raw(request("/analyze-single", {"text": texts[-1]})) for _ in range(80)]
    await asyncio.sleep(0.5)
    for connection in connections:
        connection.close()
    started_at = time.perf_counter()
    await target.stats()
    took_s = time.perf_counter() - started_at
    large.cancel()
    return f"/batch-stats takes {took_s:.1f} s"


async def leavers(target: Target) -> str:
    """40 callers hang up on legal 1 MB bodies after 0.3 s."""
    connections = [target.send_raw(request("/process-batch", {"texts": large_texts()})) for _ in range(40)]
    await asyncio.sleep(0.3)
    for connection in connections:
        connection.close()
    status, took_s = await target.single()
    return f"somebody else's single {took_s:.1f} s ({status})"


async def crowd(target: Target) -> str:
    """60 clients of 300 KB bodies, for ten seconds."""
    refused_s: list[float] = []
    ends_at = time.perf_counter() + 10

    async def client(content: bytes) -> None:
        while time.perf_counter() < ends_at:
            status, took_s = await target.exchange(content)
            if status == 429:
                refused_s.append(took_s)
                await asyncio.sleep(0.5)

    contents = [request("/process-batch", {"texts": large_texts(3_000)}) for _ in range(60)]
    async with polite_caller(target.address, 8) as polite:
        clients = [asyncio.create_task(client(content)) for content in contents]
        answers = await polite
        for each in clients:
            each.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
    statuses = dict(Counter(status for status, _ in answers))
    lone_s = statistics.median(took_s for _, took_s in answers)
    refusal_s = statistics.median(refused_s or [0])
    return (
        f"{len(refused_s)} refusals {refusal_s:.2f} s, {len(answers)} lone texts {lone_s:.2f} s (medians), "
        f"lone texts' statuses {statuses}"
    )


async def memory(target: Target) -> str:
    """48 legal 1 MB requests at once, twice."""
    peaks = [target.resident_mib()]
    for _ in range(2):
        calls = [asyncio.create_task(target.post("/process-batch", {"texts": large_texts()})) for _ in range(48)]
        ends_at = time.monotonic() + 15
        peak = 0.0
        while time.monotonic() < ends_at and not all(call.done() for call in calls):
            peak = max(peak, target.resident_mib())
            await asyncio.sleep(0.2)
        peaks.append(peak)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await target.until_idle(30)
    return f"resident {peaks[0]:.0f} MiB, then at most {peaks[1]:.0f} and {peaks[2]:.0f} MiB"


async def giant(target: Target) -> str:
    """One legal 1 MB request in windows of 50 tokens."""
    body = {"texts": large_texts(), "max_length": 50, "on_long_text": "window"}
    connection = target.send_raw(request("/process-batch", body))
    await asyncio.sleep(5)
    singles = [await target.single() for _ in range(5)]
    connection.close()
    return f"singles beside it: {dict(Counter(status for status, _ in singles))}, longest {max(singles)[1]:.1f} s"


async def early(target: Target) -> str:
    """20 streams hung up before their first line."""
    before = dict(await _errors(target))
    connections = [target.send_raw(request("/process-batch-stream", {"texts": large_texts()})) for _ in range(20)]
    for connection in connections:
        connection.close()
    await asyncio.sleep(3)
    await target.until_idle(60)
    after = await _errors(target)
    return f"counted { ({kind: count - before.get(kind, 0) for kind, count in after.items()}) }"


async def half(target: Target) -> str:
    """Clients that close their side once they have sent."""
    statuses = []
    for path in ("/process-batch", "/process-batch-stream"):
        for texts in (["hello"], large_texts(2_000)):
            connection = target.send_raw(request(path, {"texts": texts}))
            connection.shutdown(socket.SHUT_WR)
            answer = await asyncio.to_thread(connection.recv, 2**16)
            statuses.append(answer.split(b" ", 2)[1].decode() if answer else "none")
            connection.close()
    return f"statuses {statuses}"


async def costly(target: Target) -> str:
    """16 MiB of colons, quotes and digits: how long the event loop stands still."""
    longest = {}
    for name, mark in {"colons": b":", "quotes": b'"', "digits": b"7"}.items():
        call = asyncio.create_task(target.post("/process-batch", b"[1." + mark * (16 * MIB - 4)))
        waits = []
        while not call.done():
            started_at = time.perf_counter()
            await target.stats()
            waits.append(time.perf_counter() - started_at)
        longest[name] = f"{max(waits):.2f} s ({(await call)[0]})"
    return f"longest /batch-stats beside {longest}"


async def unfinished(target: Target) -> str:
    """16 bodies of 16 MiB that never end."""
    head = f"POST /process-batch HTTP/1.1\r\nHost: x\r\nContent-Length: {16 * MIB}\r\n\r\n".encode()
    connections = [await asyncio.to_thread(target.send_raw, head + bytes(16 * MIB - 1)) for _ in range(16)]
    await asyncio.sleep(1)
    singles = [await target.single() for _ in range(5)]
    started_at = time.perf_counter()
    await asyncio.to_thread(connections[0].settimeout, 60)
    try:
        ended = bool(await asyncio.to_thread(connections[0].recv, 100))
    except TimeoutError:
        ended = False
    for connection in connections:
        connection.close()
    statuses = dict(Counter(status for status, _ in singles))
    silence = f"ended after {time.perf_counter() - started_at:.0f} s" if ended else "not ended within a minute"
    return f"small requests beside them: {statuses}; the silent ones are {silence}"


async def twice(target: Target) -> str:
    """A field given twice, once with an escape in its name."""
    status, _, answer = await target.post("/process-batch", b'{"texts": ["good"], "te\\u0078ts": ["bad"]}')
    return f"{status} {answer[:80]}"


async def mixed(target: Target) -> str:
    """The others in turns, for a minute or MIXED_S seconds, beside a polite caller of lone texts."""
    resident_mib = []
    ends_at = time.monotonic() + MIXED_S
    async with polite_caller(target.address, MIXED_S) as polite:
        for row in itertools.cycle((leavers, crowd, early, half, giant, costly, twice)):
            if time.monotonic() > ends_at:
                break
            await row(target)
            resident_mib.append(target.resident_mib())
        answers = await polite
    statuses = dict(Counter(status for status, _ in answers))
    p95_s = sorted(took_s for _, took_s in answers)[len(answers) * 95 // 100]
    resident = ", ".join(f"{mib:.0f}" for mib in resident_mib)
    return f"polite caller: {statuses}, p95 {p95_s:.2f} s; resident after each attack: {resident} MiB"


async def _errors(target: Target) -> dict[str, int]:
    errors = (await target.stats())["errors"]
    assert isinstance(errors, dict)
    return errors


ROWS: dict[str, Callable[[Target], Awaitable[str]]] = {
    row.__name__: row
    for row in (shared, waiters, leavers, crowd, memory, giant, early, half, costly, unfinished, twice, mixed)
}
