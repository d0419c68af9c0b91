"""The public example's callers, as users copied them: only the host differs, and prints are collected."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import requests

from rehearsal.dev_server import Server

TEXTS = [
    "I absolutely love this new product!",
    "Worst purchase I've ever made.",
    "It's okay, nothing special.",
    "Fantastic quality and great service!",
    "Complete waste of money.",
    "Highly recommend to everyone!",
    "Poor customer support experience.",
    "Exceeded all my expectations!",
    "Not worth the high price.",
    "Perfect for my needs!",
]


def test_a_loop_over_batch_sizes_with_requests(server: Server) -> None:
    for batch_size in [2, 5, 10]:
        response = requests.post(
            f"{server.url}/process-batch",
            json={"texts": TEXTS, "batch_size": batch_size, "max_length": 256},
            timeout=60,
        )
        result = response.json()
        assert result["processing_time"] > 0
        assert result["performance_metrics"]["texts_per_second"] > 0
        assert result["average_time_per_text"] > 0
        assert result["batch_info"]["requested_batch_size"] == batch_size
        assert [entry["text"] for entry in result["results"]] == TEXTS


def test_individual_requests_against_one_batch_with_aiohttp(server: Server) -> None:
    async def compare_batch_vs_individual() -> tuple[list[dict[str, object]], dict[str, object], float, float]:
        texts = ["Sample text for testing"] * 20
        start_time = time.time()
        individual_results = []
        async with aiohttp.ClientSession() as session:
            tasks = [session.post(f"{server.url}/analyze-single", json={"text": text}) for text in texts]
            responses = await asyncio.gather(*tasks)
            for resp in responses:
                result = await resp.json()
                individual_results.append(result)
        individual_time = time.time() - start_time

        start_time = time.time()
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{server.url}/process-batch", json={"texts": texts, "batch_size": 10}) as resp,
        ):
            batch_result = await resp.json()
        return individual_results, batch_result, individual_time, time.time() - start_time

    individual, batch, individual_time, batch_time = asyncio.run(compare_batch_vs_individual())
    assert f"Speedup: {individual_time / batch_time:.1f}x"
    assert len(individual) == batch["total_texts"] == 20
    assert {result["sentiment"] for result in individual} == {result["sentiment"] for result in batch["results"]}  # type: ignore[attr-defined]


def test_a_stream_read_line_by_line_with_aiohttp(server: Server) -> None:
    async def stream() -> list[str]:
        printed = []
        texts = [f"Test message number {i} for batch processing" for i in range(25)]
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{server.url}/process-batch-stream", json={"texts": texts, "batch_size": 5}) as response,
        ):
            async for line in response.content:
                if line:
                    data = json.loads(line.decode())
                    if data["status"] == "processing_batch":
                        printed.append(f"Processing batch {data['batch_number']} ({data['progress']:.1%} complete)")
                    elif data["status"] == "batch_complete":
                        printed.append(f"Batch {data['batch_number']} completed in {data['batch_time']:.2f}s")
                    elif data["status"] == "completed":
                        printed.append(f"All processing completed in {data['total_time']:.2f}s")
        return printed

    printed = asyncio.run(stream())
    assert printed[0] == "Processing batch 1 (20.0% complete)"
    assert printed[1].startswith("Batch 1 completed in ")
    assert printed[-1].startswith("All processing completed in ")
    assert len(printed) == 11
