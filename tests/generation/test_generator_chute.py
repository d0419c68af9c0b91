"""The generator through the real SDK server, over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterator

import httpx
import pytest
from pydantic import BaseModel

from batch_generation.answers import event_writes, result_events
from batch_generation.completion import Completion
from batch_generation.wire import GenerationCompleted, GenerationFinished, GenerationInfo, GenerationStarted
from batch_http.json_lines import MAX_LINE_BYTES, MAX_WRITES
from rehearsal.dev_server import Server, running_server
from rehearsal.random_checkpoints import save_random_generator

LONG = {"prompts": ["x" * 300] * 12, "max_new_tokens": 1500}
"""Nearly all that may be queued, and hours of work for a shared CPU."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("generator")
    checkpoint = save_random_generator(folder / "checkpoint", max_positions=4096, is_endless=True)
    environment = {
        "BATCH_GENERATOR_MODEL": str(checkpoint),
        "BATCH_GENERATOR_DEVICE": "cpu",
        "BATCH_GENERATOR_CACHE_TOKENS": "8192",
        "BATCH_GENERATOR_MAX_QUEUED_TOKENS": "25000",
    }
    with running_server(folder / "log", "batch_generator:chute", **environment) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A plain one: what the classifier's is held against describes other endpoints."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def wait_until_idle(client: httpx.Client) -> dict[str, object]:
    for _ in range(600):
        stats = client.get("/batch-stats").json()
        if stats["requests_in_flight"] == stats["queued_prompts"] == 0:
            return dict(stats)
        time.sleep(0.05)
    raise AssertionError("the generator is still busy")


def test_a_batch_comes_in_order(client: httpx.Client) -> None:
    prompts = ["a" * length for length in (200, 1, 50, 3)]
    answer = client.post("/generate-batch", json={"prompts": prompts, "max_new_tokens": 20}).json()
    assert [result["processing_order"] for result in answer["results"]] == [0, 1, 2, 3]
    overhead = answer["results"][1]["prompt_tokens"] - 1
    assert [result["prompt_tokens"] - overhead for result in answer["results"]] == [200, 1, 50, 3]
    for result in answer["results"]:
        assert result["finish_reason"] == ("length" if result["completion_tokens"] == 20 else "stop")
    assert answer["total_prompts"] == 4
    assert answer["performance_metrics"]["total_completion_tokens"] == sum(
        result["completion_tokens"] for result in answer["results"]
    )


def test_the_seed_that_was_picked_repeats_the_answer(client: httpx.Client) -> None:
    request = {"prompts": ["Tell me"], "max_new_tokens": 20, "temperature": 1.0}
    first = client.post("/generate-batch", json=request).json()
    again = client.post("/generate-batch", json=request | {"seed": first["generation_info"]["seed"]}).json()
    assert again["results"] == first["results"]


def test_a_stream_has_the_same_results_as_they_finish(client: httpx.Client) -> None:
    request = {"prompts": ["b" * length for length in range(1, 101)], "max_new_tokens": 4}
    whole = client.post("/generate-batch", json=request).json()["results"]
    with client.stream("POST", "/generate-batch-stream", json=request) as response:
        assert response.status_code == 200
        writes = list(response.iter_raw())
    events = [json.loads(line) for line in b"".join(writes).splitlines()]
    assert events[0]["status"] == "started"
    assert events[-1]["status"] == "completed"
    results = sorted(events[1:-1], key=lambda event: event["processing_order"])
    assert [event.pop("status") for event in results] == ["result"] * 100
    assert results == whole


def test_a_stream_has_few_writes_and_short_lines() -> None:
    # Control characters take the most bytes in JSON, six each.
    texts = ["\x01" * (30_000 + order) for order in range(100)]
    finished = (Completion(order, text, "stop", 1, 1, 0.0) for order, text in enumerate(texts))
    info = GenerationInfo(model="m", device="cpu", precision="float32", max_new_tokens=1, temperature=0, seed=0)

    def events() -> Iterator[BaseModel]:
        yield GenerationStarted(total_prompts=100, generation_info=info)
        for completion in finished:
            yield from result_events(completion)
        yield GenerationCompleted(total_time=1, total_prompt_tokens=1, total_completion_tokens=1)

    writes = list(event_writes(events(), len(texts)))
    assert len(writes) <= MAX_WRITES
    lines = b"".join(writes).splitlines(keepends=True)
    assert max(map(len, lines)) <= MAX_LINE_BYTES
    received: dict[int, str] = defaultdict(str)
    for event in map(json.loads, lines[1:-1]):
        received[event["processing_order"]] += event["text"]
    assert [received[order] for order in range(100)] == texts


def test_a_streams_lines_are_lines_to_every_reader() -> None:
    text = "".join(chr(number) for number in range(0x20)) + "\x7f\u0085\u2028\u2029 the end"
    finished = GenerationFinished(
        text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1, processing_order=0
    )
    [written] = event_writes(iter([finished]), 1)
    [line] = written.decode().splitlines()
    assert json.loads(line)["text"] == text


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, 'send a JSON object such as {"prompts": ["Name three colours."]}'),
        ({"prompts": []}, "prompts is empty"),
        ({"prompts": ["a"] * 101}, "prompts has 101 entries, 100 are allowed"),
        ({"prompts": [" "]}, "prompts[0] is blank"),
        ({"prompts": ["a"], "temperature": "hot"}, "temperature must be a number, but is a string"),
        ({"prompts": ["a"], "temperature": 3}, "temperature must be 2.0 or less"),
        ({"prompts": ["a"], "seed": 1.5}, "seed must be an integer"),
        ({"prompts": ["a"], "max_new_tokens": 0}, "max_new_tokens must be 1 or more"),
        ({"prompts": ["a"], "top_p": 0.9}, "top_p is not a known field"),
        ({"prompts": ["a"], "stream": True}, "POST /generate-batch-stream"),
        ({"prompts": ["a", "b" * 9000]}, "prompts[1] has 90"),
    ],
)
def test_mistakes_are_told(client: httpx.Client, body: object, sentence: str) -> None:
    response = client.post("/generate-batch", json=body)
    assert response.status_code == 400
    assert sentence in response.json()["detail"][0]["msg"]


def test_a_full_queue_is_a_429_and_a_caller_who_leaves_frees_it(client: httpx.Client) -> None:
    async def meanwhile_refused() -> httpx.Response:
        async with httpx.AsyncClient(base_url=client.base_url, timeout=60) as leaving:
            call = asyncio.create_task(leaving.post("/generate-batch", json=LONG))
            while (await leaving.get("/batch-stats")).json()["queued_prompts"] == 0:
                await asyncio.sleep(0.02)
            refused = await leaving.post("/generate-batch", json=LONG)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            return refused

    refused = asyncio.run(meanwhile_refused())
    assert refused.status_code == 429
    assert "the queue is full" in refused.json()["detail"]
    assert int(refused.headers["retry-after"]) >= 1
    stats = wait_until_idle(client)
    assert stats["errors"]["client_gone"] == 1
    assert client.post("/generate-batch", json={"prompts": ["a"], "max_new_tokens": 2}).status_code == 200


def test_an_abandoned_stream_frees_its_places(client: httpx.Client) -> None:
    with client.stream("POST", "/generate-batch-stream", json=LONG) as response:
        assert json.loads(next(response.iter_lines()))["status"] == "started"
    wait_until_idle(client)
    assert client.post("/generate-batch", json={"prompts": ["a"], "max_new_tokens": 2}).status_code == 200
