"""Whatever is sent to the SDK's server in dev mode gets one of five statuses, and leaves nothing behind.

`make fuzz` sends 50,000 requests here and to the rehearsal of production, `make test` some hundred.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given

from rehearsal.dev_server import Server, running_server
from tests.fuzz import NUM_REQUESTS, SEED, fuzzing
from tests.fuzz.answers import NOT_HTTP, STATUSES, check_answer, num_answered
from tests.fuzz.raw import LAST, damaged_bytes, exchange
from tests.fuzz.requests import Request, requests
from tests.fuzz.watch import settled

NUM_CLIENTS = 8
MAX_THREADS = 100
"""The SDK's pool of 65, which makes a thread only when none is idle, torch's own, and a few of the server."""

ALLOWED_GROWTH_MIB = 24
"""Of resident memory over the second half of a run: glibc's arenas breathe by about so much."""


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own: what it holds and logs is looked at."""
    with running_server(tmp_path_factory.mktemp("fuzzed") / "log") as server:
        yield server


def test_any_request_over_http(fuzzed: Server) -> None:
    seen: Counter[int] = Counter()
    texts = 0
    with httpx.Client(base_url=fuzzed.url, timeout=120) as client:
        before = client.get("/batch-stats").json()

        @fuzzing(NUM_REQUESTS * 3 // 10)
        @given(requests())
        def try_one(request: Request) -> None:
            nonlocal texts
            headers = {"Content-Type": "application/json"}
            response = client.request(request.method, request.path, content=request.body, headers=headers)
            if request.method != "HEAD" or response.status_code not in STATUSES:
                check_answer(request.path, request.decoded, response.status_code, response.content)
            if request.is_valid:
                assert response.status_code == 200, response.text[:300]
            seen[response.status_code] += 1
            if response.status_code == 200:
                texts += num_answered(request.path, response.content)

        try_one()
        after = client.get("/batch-stats").json()
    print(f"over HTTP: {sum(seen.values())} requests, {dict(seen)}, {texts} texts")
    assert seen[200] > 0
    assert seen[400] > 0
    assert after["total_texts_processed"] - before["total_texts_processed"] == texts
    assert after["errors"].get("invalid_request", 0) - before["errors"].get("invalid_request", 0) == seen[400]
    assert set(after["errors"]) <= {"invalid_request"}


def test_any_bytes(fuzzed: Server) -> None:
    parts = urlsplit(fuzzed.url)
    address = (parts.hostname or "", parts.port or 0)
    seeds = itertools.count((SEED or 0) * 10**9)

    def one_client(number: int) -> Counter[int]:
        seen: Counter[int] = Counter()
        for _ in range(NUM_REQUESTS * 4 // 10 // 2 // NUM_CLIENTS):
            seed = next(seeds)
            rng = random.Random(seed)
            sent = damaged_bytes(rng) + LAST
            statuses = exchange(address, sent, rng)
            assert set(statuses) <= STATUSES | NOT_HTTP, f"seed {seed}: {statuses} for {sent[:2000]!r}"
            seen.update(statuses or [0])
        assert httpx.get(f"{fuzzed.url}/batch-stats", timeout=60).status_code == 200
        return seen

    def one_round() -> Counter[int]:
        with ThreadPoolExecutor(NUM_CLIENTS) as pool:
            return sum(pool.map(one_client, range(NUM_CLIENTS)), Counter())

    first = one_round()
    halfway = settled(fuzzed.process.pid, fuzzed.url)
    second = one_round()
    at_end = settled(fuzzed.process.pid, fuzzed.url)
    print(f"raw: {dict(first + second)} (0: no answer), {halfway} halfway, {at_end} at the end")
    assert first[200] > 0
    assert at_end.num_threads <= MAX_THREADS
    assert at_end.num_descriptors <= halfway.num_descriptors + 2
    assert at_end.resident_mib < halfway.resident_mib + ALLOWED_GROWTH_MIB
    assert httpx.post(f"{fuzzed.url}/process-batch", json={"texts": ["fine"]}, timeout=60).status_code == 200


def test_mistakes_leave_no_traceback_in_the_log(fuzzed: Server) -> None:
    assert "Traceback" not in fuzzed.log.read_text(encoding="utf-8", errors="replace")
