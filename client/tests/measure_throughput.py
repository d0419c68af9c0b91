"""Compares the client's throughput with that of the bench's load generator, which does little more than the sockets.

    PYTHONPATH=. python client/tests/measure_throughput.py --url http://127.0.0.1:8000 --texts 5000 --rounds 3

Both send texts in requests of 100, in turn; real ones, repeated with their number, so that no cache knows them. The
load generator is given several numbers of connections and its best in a round counts; the client finds its own. Rates
are medians over the rounds, and so is the ratio, for a machine is not equally fast in all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from statistics import median

from batch_client import AsyncClient
from bench.loadgen import run_load
from measure_volume import TWEETS

CONNECTIONS = (4, 8)


async def main() -> None:
    """Print both rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    lines = [line.split("\t", 1)[1].strip() for line in TWEETS.open(encoding="utf-8")]
    client_rates: list[float] = []
    load_rates: dict[int, list[float]] = {connections: [] for connections in CONNECTIONS}
    numbers = itertools.count()
    for _ in range(arguments.rounds):
        for connections in CONNECTIONS:
            texts = [f"{lines[number % len(lines)]} {number}" for number in itertools.islice(numbers, arguments.texts)]
            bodies = [json.dumps({"texts": texts[at : at + 100]}).encode() for at in range(0, len(texts), 100)]
            result = await run_load(f"{arguments.url}/process-batch", bodies, connections)
            load_rates[connections].append(len(texts) / result.elapsed_s)
        texts = [f"{lines[number % len(lines)]} {number}" for number in itertools.islice(numbers, arguments.texts)]
        async with AsyncClient(arguments.url) as client:
            started = time.perf_counter()
            await client.classify(texts)
            client_rates.append(len(texts) / (time.perf_counter() - started))
    for connections, rates in load_rates.items():
        print(f"load generator, {connections} connections: {median(rates):,.0f} texts/s")
    best = [max(rates) for rates in zip(*load_rates.values(), strict=True)]
    ratio = median(ours / other for ours, other in zip(client_rates, best, strict=True))
    print(f"client: {median(client_rates):,.0f} texts/s, {ratio:.3f} of the better one above in the same round")


if __name__ == "__main__":
    asyncio.run(main())
