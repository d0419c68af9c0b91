"""The same text gets the same answer whatever else runs, within what README states for float32."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from rehearsal.dev_server import Server

TOLERANCE = 1e-4


def classify(client: httpx.Client, texts: list[str]) -> list[dict[str, Any]]:
    response = client.post("/process-batch", json={"texts": texts, "return_all_scores": True})
    assert response.status_code == 200, response.text[:300]
    results: list[dict[str, Any]] = response.json()["results"]
    return results


@pytest.mark.parametrize("num_texts", [500, pytest.param(2000, marks=pytest.mark.slow)])
def test_texts_alone_and_under_heavy_mixed_traffic(
    server: Server, tweets: list[str], long_texts: list[str], num_texts: int
) -> None:
    requests = [tweets[start : start + 100] for start in range(0, num_texts, 100)]
    is_over = threading.Event()

    def traffic(number: int) -> int:
        """One more client: single texts, streams, and batches with long texts among them, until it is over."""
        with httpx.Client(base_url=server.url, timeout=120) as client:
            for turn in itertools.count(number):
                if is_over.is_set():
                    return turn - number
                start = turn * 37 % 1900
                mixed = [*tweets[start : start + 12], long_texts[turn % 30]]
                sent = [
                    lambda text=tweets[start]: client.post("/analyze-single", json={"text": text}),
                    lambda texts=mixed: client.post("/process-batch", json={"texts": texts, "max_length": 300}),
                    lambda texts=mixed: client.post("/process-batch-stream", json={"texts": texts, "batch_size": 3}),
                ][turn % 3]()
                assert sent.status_code == 200
        raise AssertionError

    with httpx.Client(base_url=server.url, timeout=120) as client:
        alone = [classify(client, texts) for texts in requests]
    with ThreadPoolExecutor(8) as others, ThreadPoolExecutor(4) as pool:
        turns = [others.submit(traffic, number) for number in range(8)]
        with httpx.Client(base_url=server.url, timeout=240) as client:
            crowded = list(pool.map(lambda texts: classify(client, texts), requests))
        is_over.set()
        assert sum(turn.result() for turn in turns) > 8

    differences = [
        abs(one["scores"][label] - other["scores"][label])
        for before, now in zip(alone, crowded, strict=True)
        for one, other in zip(before, now, strict=True)
        for label in one["scores"]
    ]
    print(f"largest difference of {len(differences)} scores: {max(differences):.2g}")
    assert max(differences) < TOLERANCE
    for before, now in zip(alone, crowded, strict=True):
        assert [result["text"] for result in before] == [result["text"] for result in now]
        assert [result["token_count"] for result in before] == [result["token_count"] for result in now]
