"""`POST /process-batch-stream`: JSON lines in order, short enough for any reader, in few writes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import torch

from batch_classification.in_process import start_engine
from batch_classification.stream import stream_batch
from batch_http.json_lines import MAX_WRITES
from batch_inference.engine import Engine
from batch_inference.forward.kernels import DeviceRows
from rehearsal.dev_server import Server
from schemas import BatchRequest
from tests.http.contract import check_line


def lines_of(client: httpx.Client, request: dict[str, Any]) -> list[dict[str, Any]]:
    with client.stream("POST", "/process-batch-stream", json=request) as response:
        assert response.status_code == 200
        body = b"".join(response.iter_bytes())
    assert body.endswith(b"\n")
    lines = body.splitlines(keepends=True)
    assert all(len(line) < 64 * 1024 for line in lines)
    events = [json.loads(line) for line in lines]
    for event in events:
        check_line(event)
    return events


@pytest.mark.parametrize("batch_size", [1, 3, 16, 32])
def test_events_of_a_hundred_tweets(client: httpx.Client, tweets: list[str], batch_size: int) -> None:
    texts = tweets[:100]
    whole = client.post("/process-batch", json={"texts": texts}).json()["results"]
    events = lines_of(client, {"texts": texts, "batch_size": batch_size})
    num_chunks = math.ceil(100 / batch_size)

    assert events[0] == {
        "status": "started", "total_texts": 100, "batch_size": batch_size, "estimated_batches": num_chunks,
    }  # fmt: skip
    assert [event["status"] for event in events[1:-1]] == ["processing_batch", "batch_complete"] * num_chunks
    begun, done, completed = events[1:-1:2], events[2:-1:2], events[-1]
    assert [event["batch_number"] for event in begun] == [event["batch_number"] for event in done]
    assert [event["batch_number"] for event in done] == list(range(1, num_chunks + 1))
    assert begun[-1]["progress"] == 1
    assert sum(event["batch_size"] for event in begun) == 100
    for event in done:
        assert event["batch_time"] > 0
        assert event["texts_per_second"] == pytest.approx(len(event["partial_results"]) / event["batch_time"])

    assert completed.keys() == {"status", "total_time", "average_time_per_text", "final_results"}
    assert completed["final_results"] == [result for event in done for result in event["partial_results"]]
    assert completed["average_time_per_text"] == pytest.approx(completed["total_time"] / 100)
    for streamed, expected in zip(completed["final_results"], whole, strict=True):
        assert streamed["confidence"] == pytest.approx(expected.pop("confidence"), abs=1e-4)
        del streamed["confidence"]
        assert streamed == expected


def test_lines_arrive_while_the_work_goes_on(client: httpx.Client) -> None:
    # Texts as long as the model can take: seconds of work.
    request = {"texts": ["word " * 510] * 100, "batch_size": 5}
    with client.stream("POST", "/process-batch-stream", json=request) as response:
        # Kept: letting go of the iterator would close the connection.
        chunks = response.iter_raw()
        assert json.loads(next(chunks).splitlines()[0])["status"] == "started"
        assert client.get("/batch-stats").json()["requests_in_flight"] == 1


def test_long_lines_leave_the_texts_out(client: httpx.Client) -> None:
    events = lines_of(
        client, {"texts": ["字" * 10_000] * 9, "batch_size": 1, "max_length": 50, "return_all_scores": True}
    )
    partial = [event for event in events if event["status"] == "batch_complete"]
    assert all(event["partial_results"][0]["text"] == "字" * 10_000 for event in partial)
    assert all("texts_omitted" not in event for event in partial)
    assert events[-1]["texts_omitted"] is True
    assert [result["text"] for result in events[-1]["final_results"]] == [None] * 9
    assert [result["processing_order"] for result in events[-1]["final_results"]] == list(range(9))


@pytest.fixture(scope="module")
def remembering() -> Iterator[Engine]:
    """Computes a text once, however often it is asked for."""
    engine = start_engine(model="bundled", device="cpu", forward="packed")
    yield engine
    engine.close()


@pytest.mark.parametrize("batch_size", range(1, 33))
@pytest.mark.parametrize("num_texts", [1, 59, 60, 61, 100])
def test_a_stream_never_fills_the_sdks_buffer(remembering: Engine, num_texts: int, batch_size: int) -> None:
    writes = list(stream_batch(remembering, BatchRequest(texts=["ok"] * num_texts, batch_size=batch_size)))
    assert len(writes) <= MAX_WRITES
    assert all(write.endswith(b"\n") for write in writes)


def test_a_failure_midway_is_the_last_line_and_is_counted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    # The real model does not fail on texts: a pass that holds the marked one is made to.
    logits = engine.model.forward.logits
    poison = engine.model.tokenizer.encode(["zebra"], 512).rows.input_ids[1]

    def failing(packed: DeviceRows) -> torch.Tensor:
        if poison in packed.input_ids:
            raise RuntimeError("secret details")
        return logits(packed)

    monkeypatch.setattr(engine.model.forward, "logits", failing)
    before = engine.stats.snapshot().errors.get("inference_failed", 0)
    request = BatchRequest(texts=["fine"] * 40 + ["zebra"] + ["fine"] * 9, batch_size=10)
    events = [json.loads(line) for write in stream_batch(engine, request) for line in write.splitlines()]
    assert events[-1]["status"] == "error"
    assert events[-1]["completed_texts"] == 40
    assert events[-1]["error"]["code"] == "inference_failed"
    assert "secret" not in events[-1]["error"]["message"]
    assert "completed" not in [event["status"] for event in events]
    assert engine.stats.snapshot().errors["inference_failed"] == before + 1


def test_any_reader_of_lines_finds_the_same_lines(client: httpx.Client, server: Server) -> None:
    texts = [f"before{character}after" for character in "\u0085\u2028\u2029\x0b\x0c\x1c\x1d\x1e"]
    request = {"texts": texts, "batch_size": 2}
    with client.stream("POST", "/process-batch-stream", json=request) as response:
        lines = list(response.iter_lines())
    with requests.post(f"{server.url}/process-batch-stream", json=request, stream=True, timeout=60) as response:
        assert [json.loads(line)["status"] for line in response.iter_lines(decode_unicode=True)][-1] == "completed"
    assert len(lines) == 2 + 2 * 4
    assert [result["text"] for result in json.loads(lines[-1])["final_results"]] == texts


def test_a_refusal_is_a_400_and_not_a_stream(client: httpx.Client) -> None:
    response = client.post("/process-batch-stream", json={"texts": []})
    assert response.status_code == 400
    assert response.json()["detail"][0]["loc"] == ["texts"]
